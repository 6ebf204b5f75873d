/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stop token: set by a signal handler, looked at by every loop at its safe points. One of the
 * two pieces of global state (the other is the log sink). Async-signal-safe and thread-safe.
 */
#pragma once

#include <stdbool.h>

/* Asks all loops to stop at their next safe point; signo is remembered (the first one wins). */
void vu_stop_request(int signo);

/* Has a stop been asked for? Loops answer it by returning -ECANCELED. */
bool vu_stop_requested(void);

/* The signal that asked for it, or 0. */
int vu_stop_signal(void);

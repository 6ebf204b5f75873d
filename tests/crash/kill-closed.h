/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moments that a killed vunify left open: objects without their flag, guests that are frozen. Part of
 * kill-processes.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Counts and tells what is open, with none of its processes left; thaws. */
void check_closed(void);

/* The worker was killed (and may be traced still): how long is it until everything is closed? */
void time_closing(uint64_t since);

/*
 * Without a kill: a process that looks from the host, all the time, for how long a guest is frozen. What
 * was not seen is not counted, so it was at least so long.
 */
void start_watcher(void);
/* Ends it; in ns. */
uint64_t stop_watcher(void);

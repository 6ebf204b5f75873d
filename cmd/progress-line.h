/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The progress line: a thread that reads the counters of a run five times a second and draws one
 * line on stderr, if that is a terminal: phase, files, bytes, rate, guest, time left. Others who
 * write to the terminal hide it first. All functions accept NULL: no line.
 */
#pragma once

#include "model/guest.h"
#include "model/progress.h"

struct vu_progress_line;

/* Starts it; p outlives it. NULL where stderr is no terminal, or without memory or a thread. */
struct vu_progress_line *vu_progress_line_new(struct vu_progress *p);

/* Erases the line and ends the thread. */
struct vu_progress_line *vu_progress_line_free(struct vu_progress_line *l);

/* Copies the guests' names; arg is the line. Fits vu_ops.guests_known. */
void vu_progress_line_guests(void *arg, const struct vu_guests *guests);

/* Erases the line and keeps it away until show. Every hide has its show, by the same thread. */
void vu_progress_line_hide(struct vu_progress_line *l);
void vu_progress_line_show(struct vu_progress_line *l);

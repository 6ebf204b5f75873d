/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A run's row in the history, from its begin to its end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "db/catalog-run.h"
#include "ops/session.h"

/* Writes the row of a run that begins. Returns 0, or a code with the problem filled. */
int vu_run_begin(struct vu_session *s, const char *verb, bool dry_run, struct vu_run *ret_run);

/* For how long it has been running, in seconds; 0: it has not begun, or the clock was set back. */
double vu_run_seconds(const struct vu_run *run);

/*
 * Writes how it ended: r as the use-case returns it. A failure to write it is told as a warning, since
 * the work itself is done.
 */
void vu_run_end(struct vu_session *s, struct vu_run *run, const struct vu_guest_stat *stats,
		size_t n_stats, int r);

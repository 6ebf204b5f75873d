/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Putting right what a killed run left behind, for `recover` and before every run that links. */
#pragma once

#include <stdbool.h>

#include "link/recover.h"
#include "ops/eviction.h"
#include "ops/session.h"

/*
 * Recovers all pools of the session e was opened for, and evicts what is noted there; with dry_run only
 * says what would be put right. Adds to stats. Returns 0, an enum vu_ops_e or a negative errno, with the
 * problem filled.
 */
int vu_recovery_run(struct vu_eviction *e, bool dry_run, struct vu_recover_stats *stats);

/* The same where a pool's journal says that it is necessary; with dry_run that is told as a warning. */
int vu_recovery_before_run(struct vu_eviction *e, bool dry_run);

/* The same, but no object is asked for its flag (see vu_recover_is_left()). */
int vu_recovery_of_left(struct vu_eviction *e, bool dry_run);

/* Says that linker or breaker found a journal that is still needed (-EBUSY). Returns -EBUSY. */
int vu_recovery_awaited(const struct vu_ops *ops);

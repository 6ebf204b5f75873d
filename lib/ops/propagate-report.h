/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What became of the finds, for each guest: counted, and told as events. A part of ops/ops-propagate;
 * nobody else calls it.
 */
#pragma once

#include "ops/ops-propagate.h"
#include "ops/propagate-find.h"

/*
 * Fills guests, total, why and skips of r, and tells each path with ops->per_file. guests: the session's,
 * by which the finds are numbered. Returns 0 or -ENOMEM; vu_propagate_report_done() in any case.
 */
int vu_propagate_report_guests(const struct vu_ops *ops, bool dry_run, const struct vu_finds *finds,
			       const struct vu_guests *guests, struct vu_propagate_report *r);

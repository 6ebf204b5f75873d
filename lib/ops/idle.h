/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has a run nothing to do? Asked before the farm is loaded, which is made to be changed: when every directory and every
 * private file is as the last run left it, and so are the pools and what packages list as configuration files,
 * then the walk would find nothing either. A yes is the same answer as the walk's; where it is not sure the
 * answer is no, and the walk finds out. Belongs to the coordinating thread.
 */
#pragma once

#include <stdbool.h>

#include "ops/farm.h"
#include "ops/ops-scan.h"

/*
 * For a farm that was opened with VU_FARM_LATER, whose rules and company are those of the last run. counts: one
 * for each guest, zeroed; filled where the answer is yes, but for their names. Failures are a no.
 */
bool vu_idle(struct vu_farm *f, struct vu_scan_guest *counts);

/*
 * Remembers what the pools and packages are, behind a run that has saved all it knows: without that the answer
 * is no. sure: whatever there was to be compared was compared. Returns as the functions of the catalog do.
 */
int vu_idle_remember(struct vu_farm *f, bool sure);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After names were moved without a tree that the catalog could be told of: the guests are walked once
 * more, under their rules, and what is found is written down. Belongs to the coordinating thread.
 */
#pragma once

#include "ops/ops-scan.h"
#include "ops/session.h"

/*
 * Brings the catalog up to date with the session's guests, if all of them are registered. The work is
 * done by now: what fails is told as a warning. ret (zeroed): how they are now; to be freed in any case.
 * Returns 0 or -ECANCELED.
 */
int vu_refresh_catalog(struct vu_session *s, struct vu_scan_report *ret);

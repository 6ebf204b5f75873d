/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of a guest, read for an archive of it. Part of ops-export: the guest may be at work, and
 * hostile. Nothing but regular files and directories is opened, no link is followed and no mount crossed;
 * a file gets as many bytes as were announced, whatever becomes of it meanwhile.
 */
#pragma once

#include "archive/pax.h"
#include "ops/ops-export.h"
#include "ops/session.h"

/*
 * Writes the members of the one guest of the session; counts in rep. What cannot be had as it was is told
 * as a warning. Returns 0, -ECANCELED, or a negative errno of writing or for want of memory.
 */
int vu_export_tree(struct vu_session *s, struct vu_pax *pax, struct vu_export_report *rep);

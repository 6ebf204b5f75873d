/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notes what a template has at its paths, beside what it had before: by the difference `propagate`
 * knows what to do in other guests. To be called whenever a template may have changed: by `template add`,
 * at the end of a scan, and by `propagate` itself; so no step in between is missed for long. Reads what has
 * changed, changes no guest. Belongs to the coordinating thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "model/template.h"
#include "model/tree.h"
#include "ops/session.h"

/*
 * Looks at guest (index in the session's, whose pools were looked for) and notes it; with dry_run only in ret. ret
 * (may be NULL): all its files, the caller's to free. *ret_first (may be NULL): nothing was known of it
 * before. What stands against it (a broken package database, none at all) is told as a warning. Returns
 * 0, an enum vu_ops_e with the problem filled, or a negative errno (-ECANCELED after a stop: nothing is noted).
 */
int vu_template_note(struct vu_session *s, size_t guest, bool dry_run,
		     struct vu_template_files *ret, bool *ret_first);

/*
 * Which guests of the session are templates that the tree (walked, and not saved yet) holds something new
 * of: a bool for each, malloc'ed. NULL without memory.
 */
bool *vu_template_changed(const struct vu_session *s, const struct vu_tree *t);

/* Notes those. NULL: -ENOMEM. Returns as vu_template_note. */
int vu_template_note_those(struct vu_session *s, const bool *those);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Were the rules by which files are left alone the same in the last run? What a clean directory's
 * files were found to be holds only under the same rules. Kept in the catalog as one number, a digest
 * of all settings and of the rules and domains of the guests.
 */
#pragma once

#include <stdbool.h>

#include "ops/session.h"

/* Also true where the catalog does not know. */
bool vu_rules_changed(struct vu_session *s);

/* Remembers those of this run. Returns as the functions of the catalog do. */
int vu_rules_remember(struct vu_session *s);

/*
 * Was one of the guests compared with others in its last run than in this one? Then what was "unique"
 * has to be asked again, though nothing changed. Also true where the catalog does not know.
 */
bool vu_rules_company_changed(struct vu_session *s);

/*
 * Remembers that of a run; compared: it was decided to its end, with all objects that there are. Else
 * the next run asks again. Returns as the functions of the catalog do.
 */
int vu_rules_company_remember(struct vu_session *s, bool compared);

/* What is wrong with a rule ("exclude PATTERN"): a static text, or NULL when nothing is. */
const char *vu_rules_wrong(const char *rule);

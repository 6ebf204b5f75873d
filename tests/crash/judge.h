/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has to hold after a disturbed run, and after the one behind it. */
#pragma once

#include "cases.h"
#include "room.h"

/* Is it how the command ends undisturbed? Of a repair that is a warning. */
bool judge_fine(const struct scenario *s, int status);

/* before: the catalog's guests before it; needed only where the scenario is about them. */
void judge_disturbed(const struct cases *p, struct room *r, const struct job *j,
		     const struct inject *run, const char *before);

/* The run that ended the work. */
void judge_ended(const struct cases *p, struct room *r, const struct job *j,
		 const struct inject *run);

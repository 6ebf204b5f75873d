/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Templates: guests whose versions are kept and preferred, and which other guests of their domain follow
 * (ops/ops-propagate.h). Changes the catalog, never a guest.
 */
#pragma once

#include <stddef.h>

#include "db/catalog-template.h"
#include "model/guest.h"
#include "ops/context.h"

struct vu_template {
	struct vu_guest guest; /* owned */
	struct vu_template_note note;
	uint64_t followers; /* guests of its domain that are no templates */
};

struct vu_templates {
	struct vu_template *v; /* owned */
	size_t n;
	uint64_t warnings; /* told while the template was noted */
};

/* All templates in the order of their names. ret is the caller's to free. */
int vu_ops_template_list(struct vu_ops *ops, struct vu_templates *ret);

/*
 * Makes a registered guest a template, and notes what it has: all its files are read. One that is a template
 * already is noted again. ret: that template.
 */
int vu_ops_template_add(struct vu_ops *ops, const char *guest, struct vu_templates *ret);

/* Makes a template a guest like others, and forgets what it had. ret: as it was. */
int vu_ops_template_remove(struct vu_ops *ops, const char *guest, struct vu_templates *ret);

/* Frees what t owns and zeroes it. */
void vu_templates_done(struct vu_templates *t);

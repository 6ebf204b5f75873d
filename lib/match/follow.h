/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a guest's file be replaced by what the template has at the same path now? And what of a template's
 * past is kept. Decisions, no I/O. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "model/template.h"

/* Why a guest's file follows, or not. The names are what users and scripts see. */
enum vu_follow {
	VU_FOLLOW_YES = 0,
	VU_FOLLOW_SAME,	      /* it has the template's content already */
	VU_FOLLOW_DIFFERS,    /* it is neither what the template has nor what it had */
	VU_FOLLOW_ATTRIBUTES, /* mode, owner, xattrs or flags are others than the template's were */
	VU_FOLLOW_VERSION,    /* what the path belongs to is not there in the same version */
	VU_FOLLOW_EXCLUDED,   /* by a rule of the guest, as a lock file, or a configuration file */
	VU_FOLLOW_LINKS,      /* its hard links are others than in the template */
	VU_FOLLOW_TEMPLATES,  /* two templates want it to be something else */
	VU_FOLLOW_NO_OBJECT,  /* the template's file could not become an object */
	VU_FOLLOW_SKIP,	      /* an enum vu_skip says why */
	VU_FOLLOW_N
};

/* The word, e.g. "differs"; and one short sentence. Never NULL. */
const char *vu_follow_name(enum vu_follow f);
const char *vu_follow_text(enum vu_follow f);

/* What is known of a guest's file. */
struct vu_follow_side {
	const struct vu_digest *content;
	const struct vu_digest *packages; /* what the path belongs to in the guest; NULL: nothing */
	const struct vu_attr *attr;	  /* full */
};

/*
 * packages: what the path belongs to in the template now. Returns VU_FOLLOW_YES, SAME, DIFFERS,
 * ATTRIBUTES or VERSION.
 */
enum vu_follow vu_follow_decide(const struct vu_template_file *f, const struct vu_digest *packages,
				const struct vu_follow_side *guest);

/* Is this what a version says, content and attributes? */
bool vu_follow_is(const struct vu_template_version *v, const struct vu_digest *content,
		  const struct vu_attr *attr);

/* Has the template had another content at this path, in the version that it has now? */
bool vu_follow_has_changed(const struct vu_template_file *f);

/*
 * The template's file is now what v says. A past of other packages is forgotten: nothing that belongs
 * to another version is ever replaced. Of the others the youngest are kept. f may have no version yet.
 * Returns 1 if that was news, 0 if not, or -ENOMEM.
 */
int vu_follow_note(struct vu_template_file *f, const struct vu_template_version *v);

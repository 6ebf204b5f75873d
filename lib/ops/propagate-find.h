/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which files of guests may follow which files of templates: found in the guests' trees, read, and judged.
 * A part of ops/ops-propagate; nobody else calls it. Changes nothing. Belongs to the coordinating thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "match/follow.h"
#include "ops/farm.h"
#include "ops/session.h"

/* A file of a template that was something else before. */
struct vu_change {
	const struct vu_template_file *file; /* borrowed */
	uint16_t template;		     /* index in the session's guests */
	bool is_owned;			     /* packages is what it belongs to, now */
	bool is_wanted;			     /* a guest may follow */
	struct vu_digest packages;
	uint32_t
		inode; /* number in the tree: private, or an object; VU_NONE: it is not there now */
};

/* A path of a guest at which a template has changed. */
struct vu_find {
	char *path; /* owned */
	uint32_t change;
	uint32_t inode; /* number in the tree: private, or an object */
	uint16_t guest;
	uint8_t why;   /* enum vu_follow */
	uint8_t skip;  /* enum vu_skip, with VU_FOLLOW_SKIP */
	bool is_asked; /* to be read, and judged */
	bool is_doubt; /* of the path there is another one that counts */
	bool is_done;  /* it leads to the template's object now */
};

struct vu_finds {
	struct vu_session *session; /* borrowed */
	const struct vu_template_files
		*templates;	   /* borrowed; by guest; empty: no template of this run */
	struct vu_farm farm;	   /* all guests, walked */
	struct vu_change *changes; /* owned; by path, then template */
	size_t n_changes, cap_changes;
	struct vu_find *v; /* owned; by guest, then path, then change */
	size_t n, cap;
	uint64_t read_bytes;
};

/*
 * Finds and judges. templates: of each guest of the session what it has (vu_template_note()). Returns 0, an
 * enum vu_ops_e with the problem filled, or a negative errno; vu_finds_done in any case.
 */
int vu_finds_make(struct vu_finds *f, struct vu_session *s,
		  const struct vu_template_files *templates);

/* The find of a guest's path that counts, or NULL. */
struct vu_find *vu_finds_at(const struct vu_finds *f, size_t guest, const char *path);

/* Frees everything. Accepts a zeroed struct. */
void vu_finds_done(struct vu_finds *f);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests of recovery share: names in the stage as a killed run leaves them, made one by one, with
 * their intents in the journal.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link-farm.h"
#include "link/journal.h"

#define PATH_LEN 512
#define G 3 /* the guest it is about */
#define F1 "usr/lib/f1"
#define F0 "usr/lib/f0"
#define TWIN "usr/twin" /* another name of it */

/* What worker 0 leaves: intents are collected, and are in its journal when it is closed. */
struct leaver {
	struct farm *f;
	struct vu_journal journal;
	struct vu_key key; /* of the object that it is about */
	uint64_t object_ino;
};

/* Links everything; the leaver is about the object that rel is a name of. */
struct leaver leaver_of(struct farm *f, const char *rel);

/* One line for the journal. path: in the guest. */
void intend(struct leaver *l, enum vu_journal_kind kind, const char *tmp, const char *path,
	    uint64_t ino);
/* The linker's: tmp is in the stage, and is the file that was at the path. */
void intend_link(struct leaver *l, const char *tmp, const char *path);
/* The run ends; what it intended is in its journal. */
void leave(struct leaver *l);

/*
 * Paths are relative to the mount point from here on; path_of gives the whole one, of PATH_LEN.
 * put_equal: a file that equals the object in everything.
 */
void path_of(const struct farm *f, const char *rel, char *path);
uint64_t ino_of(const struct farm *f, const char *rel);
bool is_there(const struct farm *f, const char *rel);
void put_equal(const struct farm *f, const char *rel, const char *like);
void put_other(const struct farm *f, const char *rel, const char *text);
void has_text_at(const struct farm *f, const char *rel, const char *text);
bool rescued_has(const struct farm *f, const char *line);

/* First only told, with everything as it was; and then done: one name. */
struct vu_recover_stats recover_both(struct farm *f);

/* Nothing is left, and all goes on. */
void is_settled(struct farm *f);

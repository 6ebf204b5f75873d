/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A room: three small guests on a file system of their own, with a catalog and a configuration, and
 * what has to hold about them. Nothing of vunify's own code is used to look at it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct entry {
	char *path; /* "g1/usr/a", owned */
	uint32_t mode, uid, gid;
	uint64_t ino, size, mtime_ns;
	uint64_t digest;
	uint32_t n_links;
	bool immutable;
	char *xattrs; /* owned */
};

struct snapshot {
	struct entry *v;
	size_t n, cap;
};

struct room {
	char mnt[256];	      /* the file system; mnt/g1 .. g3 are the guests */
	char state[256];      /* for the catalog, the configuration, the lock; not on it */
	struct snapshot want; /* the guests as they were made */
	bool damaged;	      /* an object of g1 may have the mode that room_damage has given it */
	bool blind;	      /* a run could not read a directory: hard links may have come apart */
	char *wrong;	      /* what does not hold; NULL: nothing */
	size_t wrong_len;
	FILE *wrong_to;
};

/* dir: has mnt/ and state/. Whatever is there is removed; makes the guests. */
void room_make(struct room *r, const char *dir);

/* Starts and ends the collection of what does not hold; the text is the caller's, NULL if all does. */
void room_begin(struct room *r);
char *room_end(struct room *r);
__attribute__((format(printf, 2, 3))) void room_wrong(struct room *r, const char *format, ...);

/* An object in the pool that no guest has. */
void room_orphan(struct room *r);

/* Takes the flag off an object that g1 and g2 have, gives it another mode, and puts the flag on again. */
void room_damage(struct room *r);

/* Removes what is in the pool's rescued/. */
void room_forget_rescued(struct room *r);

/* The times of directories as they are now are those to be kept: an earlier run may have lost them. */
void room_keep_dir_times(struct room *r);

void snapshot_take(struct room *r, struct snapshot *ret);

/* Of one guest alone, which need not be one of the three. */
void snapshot_take_one(struct room *r, const char *guest, struct snapshot *ret);
void snapshot_done(struct snapshot *s);

enum room_kept {
	ROOM_LINKS = 1 << 0,	 /* names of one inode inside a guest are so still, and no others */
	ROOM_DIR_TIMES = 1 << 1, /* directories have their times too */
};

/* Each path has its content and metadata, and there is no other. */
void room_kept(struct room *r, const struct snapshot *s, unsigned what);

/* At most that many inodes that two guests share are without the flag. */
void room_wall(struct room *r, const struct snapshot *s, unsigned most);

/* Between two runs: objects have the flag and a guest, and nothing else is in the pool. */
void room_pool(struct room *r);

/* Which paths are one inode, which have the flag, how many objects there are. The caller's. */
char *room_structure(struct room *r, const struct snapshot *s);

/* The catalog is sound; returns its guests, one a line (the caller's; "" without a catalog). */
char *room_catalog(struct room *r);

void room_catalog_remove(struct room *r);
void room_catalog_save(struct room *r);
void room_catalog_restore(struct room *r);

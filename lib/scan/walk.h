/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk: brings the farm in memory (model/tree.h) up to date with what is on disk, or fills it.
 * Directories are worked on by several threads, each relative to its parent's descriptor; nothing
 * but directories is ever opened, no link is followed, no mount or subvolume is entered. It holds
 * few descriptors however deep a tree is, and never builds a path where no rule asks for one. It
 * changes nothing on disk. Called by ops.
 *
 * What it relies on (Linux, ext4, XFS, btrfs): adding, removing or replacing a name changes its
 * directory's mtime and ctime; writing to a file its mtime and ctime; d_ino of a regular file is its
 * inode number unless something is mounted on it (looked up in mountinfo: then it is not trusted).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inomap.h"
#include "fs/stat.h"
#include "model/event.h"
#include "model/progress.h"
#include "model/tree.h"
#include "scan/exclude.h"

/* The default of vu_walk_env.granularity_ns: timestamps tick with the timer before Linux 6.13. */
#define VU_WALK_GRANULARITY_NS UINT64_C(20000000)

/* A guest as the stages of a scan see it. All is borrowed. */
struct vu_walk_guest {
	const char *name;		  /* for events */
	int root;			  /* descriptor of its root directory; O_PATH is enough */
	const struct vu_exclude *exclude; /* or NULL: nothing is excluded */
	const struct vu_inomap *objects; /* inode numbers of the objects on its fs, or NULL: none */
	uint8_t fs;			 /* index of the file system */
};

struct vu_walk_env {
	const struct vu_walk_guest *guests; /* by the index that vu_dir.guest holds */
	size_t n_guests;
	/* By index of a file system: the first one that it can share with. NULL: each with itself. */
	const uint8_t *shares;
	unsigned jobs;	    /* threads, at least 1 */
	uint32_t max_depth; /* levels below a root that are entered */
	uint32_t max_path;  /* bytes from a root to a directory that is entered */
	uint64_t max_files; /* names in one guest, after which no more directories are entered */
	uint64_t min_size;  /* bytes */
	uint64_t max_size;  /* bytes */
	uint64_t granularity_ns; /* a timestamp younger than this proves nothing */
	bool unify_setid;
	bool mtime_exact;	      /* mtime belongs to the key (for group) */
	bool full;		      /* trust no recorded directory: list all */
	const struct vu_sink *sink;   /* or NULL; called by one thread at a time */
	struct vu_progress *progress; /* or NULL */
	/* Is this file a package's configuration file? Any thread. NULL: there are none. */
	bool (*is_conffile)(void *arg, uint16_t guest, const char *path);
	/* Is there one directly in this directory ("" is the root)? Asked first. */
	bool (*dir_has_conffile)(void *arg, uint16_t guest, const char *path);
	void *conffile_arg;
	/* Is told what each file and directory was seen to be. Any thread. NULL: nobody asks. */
	void (*on_stat)(void *arg, uint16_t guest, const struct vu_stat *st);
	void *on_stat_arg;
	/*
	 * Looks at a recorded file of a directory that is clean in the place of vu_stat_at(), like that; for who wants to
	 * ask it more. inode: its record as it was, which no other thread touches if it has but this name. Any thread.
	 * NULL: nobody wants to.
	 */
	int (*look)(void *arg, int dirfd, const char *name, uint32_t inode, struct vu_stat *ret);
	void *look_arg;
};

struct vu_walk_stats {
	uint64_t n_dirs;     /* met, the excluded and the failed ones too */
	uint64_t n_clean;    /* not read, because nothing can have changed in them */
	uint64_t n_listed;   /* read */
	uint64_t n_excluded; /* directories not entered because of a rule */
	uint64_t n_failed;   /* directories that could not be read, or lie beyond a limit */
	uint64_t n_private;  /* names of private files */
	uint64_t n_unified;  /* names of objects */
	uint64_t n_other;    /* neither directory nor regular file, or on another mount */
	uint64_t n_inodes;   /* private inodes */
	uint64_t bytes;	     /* of the private inodes */
};

/*
 * Walks all guests. t holds what the catalog remembered of them (all fates VU_UNSEEN) or nothing;
 * afterwards every directory, name and private inode that exists has another fate. Dirs' chains may
 * still hold children and names that are VU_GONE or VU_UNSEEN: whoever follows them looks at the fate.
 * Inodes' chains hold the names that exist. An inode number may belong to a record that
 * is VU_GONE and to one that is VU_NEW. Skips that one file alone decides are set; in what is left,
 * VU_SKIP_NONE: earlier runs' skips are not kept. One bad directory is an event, not an error.
 * Returns 0, -ECANCELED (t is then incomplete), -ENOMEM, -EOVERFLOW, or what asking a root gave.
 */
int vu_walk_run(const struct vu_walk_env *env, struct vu_tree *t, struct vu_walk_stats *ret);

/*
 * Looks once more at the directories that are VU_DIR_TOUCHED, after names in them were replaced, so
 * that they count as clean in the next run: lists them (no file is looked at), compares with what t
 * and guests[].objects (which must hold the objects made in this run) lead to expect, and records
 * their timestamps of now. Wait for granularity_ns since the last change, or they stay fresh. Where
 * something is not as expected, the directory stays fresh, and its mtime on disk is set to now, as
 * somebody changed it while its mtime was being put back; such are counted in ret_odd. Sets
 * n_unified, VU_DIR_LISTED, and adds the vu_unified_name records that are missing.
 * Returns 0, -ECANCELED, -ENOMEM, -EOVERFLOW, or what asking a root gave.
 */
int vu_walk_verify(const struct vu_walk_env *env, struct vu_tree *t, uint64_t *ret_odd);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of lib/link share: loop images of ext4, XFS and btrfs, made for each test; guests on
 * them; a walk and a plan as simple as can be; and the runs of linker, breaker and recovery. Needs root;
 * what a machine cannot make is skipped with the reason. cmocka's headers come before this one.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/hash.h"
#include "base/inomap.h"
#include "fs/stat.h"
#include "link/breaker.h"
#include "link/linker.h"
#include "link/recover.h"
#include "scratch.h"

#define GUESTS 4
#define MTIME 1600000000

/* A file system of its own. */
struct fixture {
	const char *type;
	char dir[SCRATCH_MAX]; /* holds image and mount point */
	char mnt[SCRATCH_MAX + 4];
	bool mounted;
};

/* Walks the guests, and plans what has equal keys. */
struct farm {
	const struct fixture *fs;
	struct vu_tree *t;
	struct vu_guests guests;
	int roots[GUESTS + 1];
	unsigned n;
	struct vu_pool *pool;
	struct vu_hash *hash;
	struct vu_key *keys; /* per inode */
	struct vu_plan plan;
	struct vu_inomap objects;
	struct vu_linker_stats stats;
	unsigned jobs;
	struct vu_slip_watch watch; /* for linker, breaker and recovery; zeroed: nobody is known */
};

/* The events of the run before. */
struct seen {
	unsigned n[VU_EVENT_DAMAGE + 1];
	bool quiet;
};

extern struct seen seen;

/* Also after a failed assertion nothing is left behind: clean_up takes these down. */
extern struct fixture now_fs;
extern struct farm now;
extern pid_t now_child; /* a racer, ended by the teardown at the latest */

__attribute__((format(printf, 1, 2))) int sh(const char *format, ...);

bool fs_make(struct fixture *f, const char *type);
void fs_drop(struct fixture *f);

void put_file(const char *path, const void *data, size_t len);
void put_text(const char *path, const char *text);
/* malloc'ed; NULL when there is no such file. */
char *get_text(const char *path);

/* path has 256 bytes. */
void guest_path(const struct farm *f, unsigned g, const char *rel, char *path);
struct stat stat_of(const struct farm *f, unsigned g, const char *rel);
bool immutable(const struct farm *f, unsigned g, const char *rel);

void farm_open(struct farm *f, const struct fixture *fs, unsigned n);
void farm_close(struct farm *f);
void farm_scan(struct farm *f);
int farm_link(struct farm *f);

/* The names that guests have of objects; f is given. break_object adds those of one (for vu_pool_list). */
struct break_list {
	struct farm *f;
	struct vu_break_item *v;
	unsigned n;
};

int break_object(void *arg, uint64_t ino, const struct vu_key *key);
void break_list_done(struct break_list *l);

int farm_unmerge(struct farm *f, struct vu_breaker_stats *ret);
/* The latter succeeds. */
int farm_try_recover(struct farm *f, bool dry_run, struct vu_recover_stats *ret);
struct vu_recover_stats farm_recover(struct farm *f, bool dry_run);

/* Files f0 ... in usr/lib of each guest, with a second name of f0; and one of its own. */
void populate(struct farm *f, unsigned n);

void on_event(void *arg, const struct vu_event *e);
unsigned n_objects(const struct farm *f);
void stage_is_empty(const struct farm *f);

/*
 * Everything a guest sees, but inode numbers, ctime and link counts across guests. The times of
 * directories are put back at the end of a run: with_dirtimes false after one that was killed.
 */
void manifest(const struct farm *f, const char *file, bool with_dirtimes);
void same_manifest(const struct farm *f, const char *a, const char *b);

/* Runs a test on a file system of this type with GUESTS guests; the teardown belongs to it. */
void run_on(const char *type, void (*fn)(struct farm *f));
int clean_up(void **state);

/* A struct CMUnitTest: for what is not to be tried on all of them. XFS is quickly made. */
void run_on_ext4(void **state);
void run_on_xfs(void **state);
void run_on_btrfs(void **state);
#define TEST_ON(fs, fn)                                                                            \
	((struct CMUnitTest){#fn "_" #fs, run_on_##fs, NULL, clean_up, (void *)(fn)})

#define ON_ALL(name)                                                                               \
	static void name##_ext4(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		run_on("ext4", name);                                                              \
	}                                                                                          \
	static void name##_xfs(void **state)                                                       \
	{                                                                                          \
		(void)state;                                                                       \
		run_on("xfs", name);                                                               \
	}                                                                                          \
	static void name##_btrfs(void **state)                                                     \
	{                                                                                          \
		(void)state;                                                                       \
		run_on("btrfs", name);                                                             \
	}
#define TESTS(name)                                                                                \
	cmocka_unit_test_teardown(name##_ext4, clean_up),                                          \
		cmocka_unit_test_teardown(name##_xfs, clean_up),                                   \
		cmocka_unit_test_teardown(name##_btrfs, clean_up)

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which paths of a guest are left alone. Owns the compiled rules of one guest: its own ones, then
 * those of the configuration. Reads no file and knows no guest; the walk calls it once for each
 * directory and, where a rule can match there at all, once for each file name. Compiled rules are
 * read-only: any thread.
 *
 * A rule is "exclude PATTERN" or "include PATTERN". The first rule that matches a path or one of the
 * directories above it decides; a path that no rule matches is not excluded. So an exception stands
 * before what it is an exception from: "include /etc/alternatives", then "exclude /etc".
 *
 * Patterns are bytes, relative to the guest's root, never to the host's:
 *   /usr/local   with a leading '/': tied to the guest's root. "/" alone is the root: everything.
 *   *.bak        without any '/': matches the last component, at any depth.
 *   doc/old      with a '/' inside only: matches the last components, at any depth.
 *   cache/       with a trailing '/': matches directories only.
 *   *  ?  [a-z]  any bytes, one byte, one byte of a set ([!a-z] or [^a-z]: not of it); never '/'.
 *   **           any bytes, '/' among them; a double star between slashes also matches no directory
 *                at all: the pattern a, double star, b (with slashes between) matches a/b and a/x/y/b.
 *   \c           the byte c itself.
 * A match of a directory holds for everything below it. "." and ".." and empty components, a '/' in
 * a set, an open set, a '\' before '/' or at the end are refused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define VU_EXCLUDE_PATTERN_MAX 4095 /* bytes; longer ones are refused */

struct vu_exclude;

enum vu_exclude_verdict {
	VU_EXCLUDE_NO,	      /* not excluded */
	VU_EXCLUDE_YES,	      /* excluded; a directory: with all below, and need not be entered */
	VU_EXCLUDE_YES_ENTER, /* a directory: excluded, but an include rule may match below it */
};

/* What is known of a directory; a plain value that the walk keeps while it is in there. */
struct vu_exclude_dir {
	uint32_t rule;			 /* the first rule that matches it or one above it */
	enum vu_exclude_verdict verdict; /* of the directory itself */
	enum vu_exclude_verdict files;	 /* of every file in it, if files_same */
	bool files_same;		 /* no rule tells the files in it apart */
	bool dirs_same;			 /* no rule tells the directories in it apart */
};

/* Where a rule is wrong. Nothing is owned: rule is the caller's string, why is static. */
struct vu_exclude_error {
	const char *rule;
	const char *why; /* what is wrong, and what is allowed */
};

enum vu_exclude_e {
	VU_EXCLUDE_BAD = 1
};

/* Is this a rule? Returns 0, or VU_EXCLUDE_BAD with ret_err written. */
int vu_exclude_check(const char *rule, struct vu_exclude_error *ret_err);

/*
 * Compiles guest_rules and, behind them, config_rules (each NULL-terminated, or NULL for none; copied).
 * Returns 0; VU_EXCLUDE_BAD with only ret_err written; -ENOMEM; or -E2BIG above 2^20 rules.
 */
int vu_exclude_new(char *const *guest_rules, char *const *config_rules, struct vu_exclude **ret_x,
		   struct vu_exclude_error *ret_err);
struct vu_exclude *vu_exclude_free(struct vu_exclude *x);

/* The guest's root. */
void vu_exclude_root(const struct vu_exclude *x, struct vu_exclude_dir *ret_dir);

/*
 * The directory name in the directory dir, whose path is path ("" for the root, no leading or
 * trailing '/'). Costs nothing where dir->dirs_same and dir is not excluded.
 */
void vu_exclude_enter(const struct vu_exclude *x, const struct vu_exclude_dir *dir,
		      const char *path, const char *name, struct vu_exclude_dir *ret_dir);

/* The part of vu_exclude_file() behind its quick answer; not to be called otherwise. */
enum vu_exclude_verdict vu_exclude_file_slow(const struct vu_exclude *x,
					     const struct vu_exclude_dir *dir, const char *path,
					     const char *name);

/*
 * Anything but a directory, called name, in the directory dir, whose path is path. Where
 * dir->files_same, path and name are not looked at. Returns VU_EXCLUDE_NO or VU_EXCLUDE_YES.
 */
static inline enum vu_exclude_verdict vu_exclude_file(const struct vu_exclude *x,
						      const struct vu_exclude_dir *dir,
						      const char *path, const char *name)
{
	return dir->files_same ? dir->files : vu_exclude_file_slow(x, dir, path, name);
}

/*
 * The same for any path, on its own: relpath is relative to the root, "" for the root. ret_rule (may
 * be NULL): the rule that decided, owned by x, or NULL without one. For questions, not for the walk.
 */
enum vu_exclude_verdict vu_exclude_match(const struct vu_exclude *x, const char *relpath,
					 bool is_dir, const char **ret_rule);

/*
 * Is this base name that of a lock or a process number file? "lock", "LOCK", "lock-frontend",
 * "*.lock" (".lock" too), "*.lck", "*.pid", ".#*". Some of them are plain data (yarn.lock): to leave
 * these private costs a few bytes, to unify a lock breaks it at the next open for writing.
 */
bool vu_exclude_lock_file(const char *name);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration files that a guest's own package database lists: dpkg's var/lib/dpkg/status
 * ("Conffiles:") and var/lib/dpkg/info/NAME.conffiles. They are read as hostile text, in this process;
 * no program of the guest is run, no link is followed, nothing but regular files of the root's own
 * mount is opened. The set is read-only once made: any thread. Called once for each guest of a run.
 *
 * What a guest writes there can only keep its own files private. Limits: the status file has at most
 * max_bytes, all info files together as many again; VU_PACKAGE_FILES_MAX entries of the info directory
 * and VU_PACKAGE_PATHS_MAX paths are looked at, of VU_PACKAGE_PATH_BYTES each.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VU_PACKAGE_FILES_MAX 100000
#define VU_PACKAGE_PATHS_MAX 1000000
#define VU_PACKAGE_PATH_BYTES 4095
#define VU_PACKAGE_TEXT_MAX (64 << 20) /* bytes of all paths */

struct vu_package_db;

enum vu_package_e {
	VU_PACKAGE_BROKEN = 1
};

/*
 * Reads the databases of the guest whose root is rootfd. A guest without any gives an empty set.
 * Returns 0; VU_PACKAGE_BROKEN when something could not be read or understood: then ret_db holds what
 * could be, and ret_why says what was wrong first: the file, relative to the root, and the reason;
 * owned by the set, and with bytes of the guest's choice in it; or a negative errno (-ENOMEM, -EMFILE,
 * -ENFILE).
 */
int vu_package_read(int rootfd, uint64_t max_bytes, struct vu_package_db **ret_db,
		    const char **ret_why);

enum vu_package_format {
	VU_PACKAGE_STATUS,    /* of var/lib/dpkg/status */
	VU_PACKAGE_CONFFILES, /* of var/lib/dpkg/info/NAME.conffiles */
};

/* The same for n bytes of text in memory; ret_why names no file. For tests and fuzzing. */
int vu_package_parse(enum vu_package_format format, const char *text, size_t n,
		     struct vu_package_db **ret_db, const char **ret_why);

struct vu_package_db *vu_package_free(struct vu_package_db *db);

/*
 * Is the file name in the directory reldir ("" for the root; relative to it, no '/' at its ends) a
 * configuration file? Paths are taken literally, but /bin, /sbin and /lib* are also known below /usr,
 * where merged systems have them.
 */
bool vu_package_is_conffile_at(const struct vu_package_db *db, const char *reldir,
			       const char *name);

/* The same for a whole path. */
bool vu_package_is_conffile(const struct vu_package_db *db, const char *relpath);

/* Is any file directly in this directory one? Where not, its names need not be asked for. */
bool vu_package_dir_has_any(const struct vu_package_db *db, const char *reldir);

/* How many there are, and the i-th (relative to the root), by directory, then name. */
size_t vu_package_count(const struct vu_package_db *db);
const char *vu_package_at(const struct vu_package_db *db, size_t i);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration: /etc/vunify/vunify.conf, then vunify.conf.d/NAME.conf beside it in the order of
 * their names; a later value replaces an earlier one, list items add up until `KEY =` (empty) clears
 * the list. Nothing of a file applies unless all files parsed. Plain value after loading; the parser
 * uses inih, whose Debian build cuts lines above 200 bytes: longer ones are refused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum vu_mode {
	VU_MODE_LINK,	 /* immutable hard links: disk and page cache */
	VU_MODE_REFLINK, /* shared extents: disk only */
};

/* How guests are kept out of an object while it has no flag. */
enum vu_moment_way {
	VU_MOMENT_AUTO,	  /* frozen where all that run can be, else by the lease alone */
	VU_MOMENT_FREEZE, /* frozen, or refused */
	VU_MOMENT_LEASE,  /* nobody is ever frozen */
};

struct vu_config {
	/* [policy] */
	uint64_t min_size;	   /* bytes; smaller files stay private */
	uint64_t max_size;	   /* bytes; larger files stay private */
	bool mtime_exact;	   /* mtime = exact | ignore */
	bool unify_setid;	   /* also set-id, sticky and file capabilities */
	enum vu_mode mode;	   /* mode = link | reflink */
	enum vu_moment_way moment; /* moment = auto | freeze | lease */
	char **exclude; /* owned, NULL-terminated: rules in order, each "exclude P" or "include P" */
	char **trust_domains; /* owned, NULL-terminated: domains with trust = yes */
	/* [scan] */
	unsigned jobs; /* threads; 0: as many as there are processors */
	/* [limits]: whatever a guest controls */
	uint32_t max_depth;	       /* directory levels below a root that are entered */
	uint64_t max_files;	       /* files of one guest that are looked at */
	uint64_t max_xattr_bytes;      /* of one file; more: limit */
	uint64_t max_package_db_bytes; /* of one package database file */
	uint64_t
		max_cow_breaks; /* that one guest may have a second under copy-on-write; 0: any number */
	uint64_t max_cow_bytes;	   /* of the copies of these; the same */
	uint64_t max_import_bytes; /* of all files of an archive together */
	uint64_t max_import_ratio; /* bytes that may come out of one of an archive */
	/* [clone] */
	char **reset; /* owned, NULL-terminated: see model/reset.h */
	/* [paths] */
	char *catalog;	/* owned; file */
	char *lock_dir; /* owned; directory */
};

/* Where a configuration error is. Strings are owned. */
struct vu_config_error {
	char *file;
	unsigned line; /* 0: the file as a whole */
	char *key;     /* or NULL */
	char *why;     /* what is wrong, and what is allowed */
};

/* The built-in defaults, which are those of the shipped vunify.conf. Returns 0 or -ENOMEM. */
int vu_config_default(struct vu_config *ret_c);

/*
 * Loads file (NULL: the default path, which may be absent; a named file must exist) and its drop-ins
 * over the defaults. rule_wrong says what is wrong with a rule (static text), NULL when nothing is; it
 * may be NULL itself. Returns 0; VU_CONFIG_BAD with ret_err filled, and ret_c unwritten; or a negative
 * errno.
 */
enum vu_config_e {
	VU_CONFIG_BAD = 1
};
int vu_config_load(const char *file, const char *(*rule_wrong)(const char *rule),
		   struct vu_config *ret_c, struct vu_config_error *ret_err);

/* Frees what they own and zeroes them. */
void vu_config_done(struct vu_config *c);
void vu_config_error_done(struct vu_config_error *e);

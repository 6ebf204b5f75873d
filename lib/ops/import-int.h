/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of an import share: where the guest is to be (import-target.c), what is read
 * (import-source.c), what the pool has (import-known.c), and what becomes of that (import-link.c).
 */
#pragma once

#include "base/chunks.h"
#include "base/hash.h"
#include "base/inomap.h"
#include "fs/stat.h"
#include "link/moment.h"
#include "link/pool-listing.h"
#include "link/trees.h"
#include "model/guest.h"
#include "ops/eviction.h"
#include "ops/ops-import.h"
#include "ops/session.h"
#include "scan/exclude.h"

/* A file of the archive whose content an object has. */
struct vu_import_token {
	struct vu_key key;
	uint64_t ino;	   /* of the object */
	uint64_t mtime_ns; /* of the file */
	uint64_t size;
	char *copy;	 /* owned; path of the private copy that was made of it instead; or NULL */
	bool is_private; /* a name of it lies where nothing is unified */
	bool linked;	 /* a name of it was linked */
};

struct vu_import {
	struct vu_ops *ops;
	const struct vu_import_options *o;
	struct vu_import_report *report;
	struct vu_session session; /* no guests; the file system of the new one */
	struct vu_guests known;
	struct vu_eviction eviction;
	struct vu_moment_env moment;
	const char *domain;
	/* where it is to be */
	char *above;	  /* owned; the directory that gets the new root */
	const char *base; /* what it is called there; in report->path */
	int above_fd;
	struct vu_pool *pool;	      /* the session's */
	char place[VU_TREE_NAME_MAX]; /* "": there is none */
	int place_fd;		      /* owned; the directory in which the tree is made */
	int root;		      /* owned; the tree */
	/* what the pool has */
	struct vu_pool_listing objects;
	struct vu_exclude *exclude;  /* owned */
	struct vu_hash *hash;	     /* owned; for keys */
	uint32_t key_flags;	     /* inode flags of a file that is made there */
	struct vu_chunks tokens;     /* of struct vu_import_token */
	struct vu_inomap stands_for; /* inode of an empty file -> token, or VU_UNPACK_NONE */
	struct vu_inomap used;	     /* inode of an object that the new guest has -> token */
	char *buf[2];		     /* owned; for comparing */
	struct vu_unpack_env unpack_env;
	struct vu_unpack *unpack; /* owned */
};

static inline struct vu_import_token *vu_import_token(const struct vu_import *im, uint32_t i)
{
	return vu_chunks_at(&im->tokens, i);
}

/* Fills the problem about the new guest's place. Returns code. */
int vu_import_refuse(struct vu_import *im, int code, const char *why, const char *todo);

/* ---- import-target.c: all return 0, an enum vu_ops_e or a negative errno, with the problem filled ---- */

/* Finds out where the guest is to be, and that nothing speaks against it; opens the pool there. */
int vu_import_find_place(struct vu_import *im);

/* Makes the place in the pool, and the root in it. */
int vu_import_make_place(struct vu_import *im);

/* Complete: gives it its name. */
int vu_import_give_name(struct vu_import *im);

/* Removes the place with what is in it still. */
void vu_import_drop_place(struct vu_import *im);

/* ---- import-source.c ---- */

/* Unpacks what the options name into the root. Returns as those above. */
int vu_import_unpack(struct vu_import *im);

/* ---- import-known.c ---- */

/* Gets to know the pool. Returns 0 or a negative errno. */
int vu_import_know(struct vu_import *im);
void vu_import_forget(struct vu_import *im);

/* Is there anything that a file could be a name of? */
bool vu_import_asks(const struct vu_import *im);

/* For vu_unpack_env, with the import as arg. */
bool vu_import_wants(void *arg, const struct vu_unpack_file *f);
int vu_import_known(void *arg, const struct vu_unpack_file *f, uint32_t *ret_token);
int vu_import_placed(void *arg, uint64_t ino, uint32_t token);

/* May a file at this path, in this directory, be unified, as far as rules and its name say? */
bool vu_import_path_is_open(const struct vu_import *im, const char *path, const char *base);

/* ---- import-link.c ---- */

/* Puts names of objects in the place of what stands for them, and settles directories. 0 or errno. */
int vu_import_link(struct vu_import *im);

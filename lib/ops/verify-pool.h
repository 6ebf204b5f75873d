/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The objects of one pool, each compared with its name: metadata and flag of all, the content of those that are asked
 * for and of those that look suspect. Several threads; changes nothing. Part of ops-verify.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/inomap.h"
#include "model/key.h"
#include "model/portion.h"
#include "model/tree.h"
#include "ops/session.h"

enum vu_checked_flag {
	VU_CHECKED_READ = 1 << 0,     /* its content was read */
	VU_CHECKED_BAD = 1 << 1,      /* it is not what its name says, or cannot be read */
	VU_CHECKED_OPEN = 1 << 2,     /* it is not immutable, while nobody is at work on it */
	VU_CHECKED_ODD = 1 << 3,      /* no regular file has its name */
	VU_CHECKED_RECORD = 1 << 4,   /* the catalog has it as another, and is wrong */
	VU_CHECKED_UNKNOWN = 1 << 5,  /* the catalog does not have it */
	VU_CHECKED_GONE = 1 << 6,     /* somebody has removed it since */
	VU_CHECKED_DOUBT = 1 << 7,    /* bad, unless it is of a domain that nobody knows any more */
	VU_CHECKED_NAMED = 1 << 8,    /* (by ops/verify-names) a registered guest has it */
	VU_CHECKED_FOUND = 1 << 10,   /* (by ops/verify-repair) a copy was found of what it was */
	VU_CHECKED_REPAIRED = 1 << 9, /* (by ops/verify-repair) replaced */
};

struct vu_checked {
	struct vu_key key;
	uint64_t ino;
	uint32_t n_links; /* as it was checked */
	uint32_t names;	  /* that guests have of it; counted by ops/verify-names */
	uint16_t flags;	  /* enum vu_checked_flag */
	int16_t err;	  /* (by ops/verify-repair) what stood in the way of a copy: errno, or 0 */
};

struct vu_checked_pool {
	struct vu_checked *v; /* owned; in the order of their places */
	uint32_t n;
	struct vu_inomap by_ino; /* index in v */
	uint64_t next;		 /* the place from which on contents were not read; 0: all were */
	uint64_t rescued;	 /* files in .vunify/rescued */
	uint64_t read, bytes, open, odd, record, unknown; /* objects; bytes of content */
};

struct vu_verify_env {
	struct vu_session *session; /* borrowed; its pools are open */
	const char *const *domains; /* NULL-terminated */
	const struct vu_tree *tree; /* what the catalog has of objects, or NULL */
	struct vu_subset subset;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; no content is begun with behind it; 0: none */
	bool repair;	      /* what is found is told as a warning: it is to be repaired */
	/* A name in the pool (its path below the mount point) that vunify did not make. Non-zero ends it. */
	int (*stranger)(void *arg, const char *path);
	void *arg;
};

/*
 * Checks the objects of a file system's pool, which is open; reads from the place `from` on (0: all).
 * recorded: inode number -> number in env->tree. DAMAGE or WARN for each that is not as it should be.
 * Returns 0, -ECANCELED after a stop (ret tells how far it came), or another negative errno.
 * vu_checked_pool_done in any case.
 */
int vu_verify_pool(const struct vu_verify_env *env, size_t fs, const struct vu_inomap *recorded,
		   uint64_t from, struct vu_checked_pool *ret);

/* DAMAGE, or WARN where it is to be repaired, about an object. */
void vu_verify_tell(const struct vu_verify_env *env, const struct vu_checked *o, int err,
		    const char *text);

/* Frees what it owns. Accepts a zeroed one. */
void vu_checked_pool_done(struct vu_checked_pool *p);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names that guests have of the objects of a verification: all registered guests are walked, every directory is
 * read. Says where damaged objects are, and compares the number of names with link counts and with the catalog.
 * Part of ops-verify; one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ops/farm.h"
#include "ops/verify-pool.h"

/* A name of an object that is not as it should be. */
struct vu_bad_name {
	uint32_t pool;	 /* index in the session's file systems */
	uint32_t object; /* index in the pool's objects */
	uint16_t guest;	 /* index in all.guests */
	char *path;	 /* owned; relative to the guest's root */
};

struct vu_verify_names {
	struct vu_session all; /* the session's guests, and all that are registered */
	struct vu_farm farm;
	struct vu_bad_name *bad; /* owned; those of one object stand together */
	size_t n_bad;
	uint64_t names;		  /* names of objects */
	uint64_t outside;	  /* objects that have names in none of these guests, besides */
	uint64_t unnamed;	  /* objects without any name: gc removes them */
	uint64_t recorded_others; /* names that the catalog has, and the guest has not */
	uint64_t unrecorded;	  /* names that a guest has, and the catalog has not (yet) */
};

/*
 * Walks, counts into pools[].v[].names, and compares; pools by the file systems of env's session. Settles what is in
 * doubt. Returns 0, an enum vu_ops_e, or a negative errno (-ECANCELED). vu_verify_names_done in any case.
 */
int vu_verify_names_find(struct vu_verify_names *n, const struct vu_verify_env *env,
			 struct vu_checked_pool *pools);

/* WARN for each object that is in doubt still, or BAD if a registered guest has it. */
void vu_verify_names_settle(const struct vu_verify_env *env, struct vu_checked_pool *pools);

/* DAMAGE for each name of the objects that are bad or open, and were not repaired; todo: what helps. */
void vu_verify_names_tell(const struct vu_verify_names *n, const struct vu_session *s,
			  const struct vu_checked_pool *pools, const char *todo);

/* Frees the guests' files; the names of bad objects and the roots stay. */
void vu_verify_names_close(struct vu_verify_names *n);
void vu_verify_names_done(struct vu_verify_names *n);

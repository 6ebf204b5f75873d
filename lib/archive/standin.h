/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names that stand for files whose content is to be had elsewhere, and that are not on the disk yet: to make an
 * empty file of each, only for it to be replaced, would cost as much as half of all else. Known by the inode
 * of their directory and their name. Part of unpacking; one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/chunks.h"
#include "base/inomap.h"

#define VU_STANDIN_NONE UINT32_MAX

struct vu_standin {
	uint64_t dir;	/* inode of the directory */
	uint32_t name;	/* in text */
	uint32_t token; /* VU_STANDIN_NONE: gone */
	uint32_t next;	/* of the same directory; VU_STANDIN_NONE */
};

struct vu_standins {
	struct vu_chunks v; /* of struct vu_standin */
	struct vu_arena text;
	struct vu_inomap dirs; /* inode of a directory -> the last one of it */
	uint32_t *slot;	       /* owned; open addressing: number + 1 */
	uint32_t slots;	       /* power of two */
	uint64_t seed;	       /* archives choose names: nobody is to know where they go */
};

/* Returns 0 or a negative errno; vu_standins_done in any case. */
int vu_standins_init(struct vu_standins *s);
void vu_standins_done(struct vu_standins *s);

/* Adds one where there is none (any more). Returns 0, -ENOMEM or -EOVERFLOW. */
int vu_standins_add(struct vu_standins *s, uint64_t dir, const char *name, uint32_t token);

/* The one with this name; or NULL. To be gone its token is set to VU_STANDIN_NONE. */
struct vu_standin *vu_standins_find(const struct vu_standins *s, uint64_t dir, const char *name);

/* The first of a directory, and the one behind; NULL: none. Those that are gone are left out. */
struct vu_standin *vu_standins_first(const struct vu_standins *s, uint64_t dir);
struct vu_standin *vu_standins_next(const struct vu_standins *s, const struct vu_standin *i);

static inline const char *vu_standin_name(const struct vu_standins *s, const struct vu_standin *i)
{
	return vu_arena_at(&s->text, i->name);
}

/* The directory goes away, and all in it. */
void vu_standins_drop_dir(struct vu_standins *s, uint64_t dir);

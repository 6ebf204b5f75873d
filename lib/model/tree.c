/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TEXTS_MAX (UINT32_C(1) << 19) /* names kept once; above that each is kept as it comes */
#define TEXT_PROBES 16

struct vu_tree *vu_tree_new(void)
{
	struct vu_tree *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	if (getrandom(&t->text_seed, sizeof(t->text_seed), GRND_NONBLOCK) < 0)
		t->text_seed = (uintptr_t)t; /* early at boot: then this has to do */
	t->attrs = vu_attrs_new();
	if (!t->attrs || vu_chunks_init(&t->dirs, sizeof(struct vu_dir)) ||
	    vu_chunks_init(&t->names, sizeof(struct vu_name)) ||
	    vu_chunks_init(&t->inodes, sizeof(struct vu_inode)) ||
	    vu_chunks_init(&t->contents, sizeof(struct vu_content)) ||
	    vu_chunks_init(&t->objects, sizeof(struct vu_key)) ||
	    vu_chunks_init(&t->unified, sizeof(struct vu_unified_name)) || vu_arena_init(&t->text))
		return vu_tree_free(t);
	return t;
}

struct vu_tree *vu_tree_free(struct vu_tree *t)
{
	if (!t)
		return NULL;
	vu_chunks_done(&t->dirs);
	vu_chunks_done(&t->names);
	vu_chunks_done(&t->inodes);
	vu_chunks_done(&t->contents);
	vu_chunks_done(&t->objects);
	vu_chunks_done(&t->unified);
	vu_arena_done(&t->text);
	vu_attrs_free(t->attrs);
	free(t->content_slot);
	free(t->text_slot);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

/* A digest is uniformly distributed already: its first bytes are the hash. */
static uint32_t *content_find(const struct vu_tree *t, const struct vu_digest *d)
{
	uint32_t i;

	memcpy(&i, d->b, sizeof(i));
	for (i &= t->content_slots - 1; t->content_slot[i]; i = (i + 1) & (t->content_slots - 1))
		if (!memcmp(&vu_tree_content(t, t->content_slot[i] - 1)->digest, d, sizeof(*d)))
			break;
	return &t->content_slot[i];
}

static int content_grow(struct vu_tree *t)
{
	uint32_t slots = t->content_slots ? t->content_slots * 2 : 1024;
	uint32_t *slot = calloc(slots, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	free(t->content_slot);
	t->content_slot = slot;
	t->content_slots = slots;
	for (uint32_t i = 0; i < t->contents.n; i++)
		*content_find(t, &vu_tree_content(t, i)->digest) = i + 1;
	return 0;
}

static int content_intern(struct vu_tree *t, const struct vu_digest *d, uint32_t *ret_content)
{
	uint32_t i;
	int r;

	if (t->contents.n >= t->content_slots / 4 * 3) {
		r = content_grow(t);
		if (r)
			return r;
	}
	uint32_t *slot = content_find(t, d);

	if (!*slot) {
		r = vu_chunks_add(&t->contents, 1, &i);
		if (r)
			return r;
		vu_tree_content(t, i)->digest = *d;
		*slot = i + 1;
	}
	*ret_content = *slot - 1;
	return 0;
}

int vu_tree_content_intern(struct vu_tree *t, const struct vu_digest *d, uint32_t *ret_content)
{
	pthread_mutex_lock(&t->lock);
	int r = content_intern(t, d, ret_content);

	pthread_mutex_unlock(&t->lock);
	return r;
}

/* ---- names ---- */

static uint32_t text_hash(const struct vu_tree *t, const char *s, size_t len)
{
	uint64_t h = t->text_seed ^ len, w;

	for (; len >= sizeof(w); s += sizeof(w), len -= sizeof(w)) {
		memcpy(&w, s, sizeof(w));
		h = (h ^ w) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	w = 0;
	memcpy(&w, s, len);
	h = (h ^ w) * UINT64_C(0xbf58476d1ce4e5b9);
	return (uint32_t)(h >> 32);
}

/* Moves the handles to a table of twice the size. Without memory the old one goes on. */
static void texts_grow(struct vu_tree *t)
{
	uint32_t slots = t->text_slots ? t->text_slots * 2 : 1024;
	uint32_t *slot = calloc(slots, sizeof(*slot));

	if (!slot)
		return;
	for (uint32_t i = 0; i < t->text_slots; i++) {
		if (!t->text_slot[i])
			continue;
		const char *s = vu_arena_at(&t->text, t->text_slot[i] - 1);
		uint32_t k = text_hash(t, s, strlen(s)) & (slots - 1);

		while (slot[k])
			k = (k + 1) & (slots - 1);
		slot[k] = t->text_slot[i];
	}
	free(t->text_slot);
	t->text_slot = slot;
	t->text_slots = slots;
}

/*
 * The handle of a name. Guests have the same names mostly, so each is kept once: a tenth of the memory,
 * with ten guests. Where many names meet at one place (somebody may have made them so), or there are
 * very many, they are kept as they come: a saving is lost, and no time.
 */
static int text_add(struct vu_tree *t, const char *s, uint32_t *ret_h)
{
	size_t len = strlen(s);
	uint32_t *free_slot = NULL;

	if (t->n_texts >= t->text_slots / 2 && t->n_texts < TEXTS_MAX)
		texts_grow(t);
	uint32_t mask = t->text_slots - 1, at = t->text_slots ? text_hash(t, s, len) & mask : 0;

	for (unsigned i = 0; t->text_slots && !free_slot && i < TEXT_PROBES; i++) {
		uint32_t *slot = &t->text_slot[(at + i) & mask];

		if (!*slot) {
			free_slot = slot;
		} else if (!strcmp(vu_arena_at(&t->text, *slot - 1), s)) {
			*ret_h = *slot - 1;
			return 0;
		}
	}
	int r = vu_arena_add(&t->text, s, len, ret_h);

	if (!r && free_slot && t->n_texts < TEXTS_MAX) {
		*free_slot = *ret_h + 1;
		t->n_texts++;
	}
	return r;
}

int vu_tree_dir_add(struct vu_tree *t, uint32_t parent, uint16_t guest, const char *name,
		    uint32_t *ret_dir)
{
	uint32_t i, text;
	int r = text_add(t, name, &text);

	if (r)
		return r;
	r = vu_chunks_add(&t->dirs, 1, &i);
	if (r)
		return r;
	struct vu_dir *d = vu_tree_dir(t, i);

	d->parent = parent;
	d->name = text;
	d->guest = guest;
	d->first_name = d->first_child = d->sibling = VU_NONE;
	if (parent != VU_NONE) {
		d->sibling = vu_tree_dir(t, parent)->first_child;
		vu_tree_dir(t, parent)->first_child = i;
	}
	*ret_dir = i;
	return 0;
}

int vu_tree_name_add(struct vu_tree *t, uint32_t dir, const char *name, uint32_t inode,
		     uint32_t *ret_name)
{
	struct vu_inode *n = vu_tree_inode(t, inode);
	struct vu_dir *d = vu_tree_dir(t, dir);
	uint32_t i, text;
	int r = text_add(t, name, &text);

	if (r)
		return r;
	r = vu_chunks_add(&t->names, 1, &i);
	if (r)
		return r;
	*vu_tree_name(t, i) = (struct vu_name){
		.dir = dir,
		.name = text,
		.inode = inode,
		.sibling = d->first_name,
		.next = n->first_name,
	};
	d->first_name = i;
	n->first_name = i;
	*ret_name = i;
	return 0;
}

int vu_tree_unified_add(struct vu_tree *t, uint32_t dir, const char *name, uint64_t ino)
{
	uint32_t i, text;
	int r = text_add(t, name, &text);

	if (r)
		return r;
	r = vu_chunks_add(&t->unified, 1, &i);
	if (r)
		return r;
	*(struct vu_unified_name *)vu_chunks_at(&t->unified, i) = (struct vu_unified_name){
		.ino = ino,
		.dir = dir,
		.name = text,
	};
	return 0;
}

int vu_tree_inode_add(struct vu_tree *t, uint32_t *ret_inode)
{
	uint32_t i;
	int r = vu_chunks_add(&t->inodes, 1, &i);

	if (r)
		return r;
	struct vu_inode *n = vu_tree_inode(t, i);

	n->content = n->first_name = n->key = n->attr = VU_NONE;
	*ret_inode = i;
	return 0;
}

uint32_t vu_tree_count_names(const struct vu_tree *t, const struct vu_inode *n)
{
	uint32_t count = 0;

	for (uint32_t i = n->first_name; i != VU_NONE; i = vu_tree_name(t, i)->next)
		count++;
	return count;
}

/* Builds the path from its end; guests may nest as deep as they like, so lengths are size_t. */
static char *path_of(const struct vu_tree *t, uint32_t dir, const char *last)
{
	size_t len = last ? strlen(last) : 0;

	for (uint32_t d = dir; vu_tree_dir(t, d)->parent != VU_NONE; d = vu_tree_dir(t, d)->parent)
		len += strlen(vu_tree_text(t, vu_tree_dir(t, d)->name)) + 1;
	char *s = malloc(len + 2), *p = s ? s + len + 1 : NULL;

	if (!s)
		return NULL;
	*p = 0;
	if (last) {
		p -= strlen(last);
		memcpy(p, last, strlen(last));
	}
	for (uint32_t d = dir; vu_tree_dir(t, d)->parent != VU_NONE;
	     d = vu_tree_dir(t, d)->parent) {
		const char *name = vu_tree_text(t, vu_tree_dir(t, d)->name);

		if (*p)
			*--p = '/';
		p -= strlen(name);
		memcpy(p, name, strlen(name));
	}
	memmove(s, p, strlen(p) + 1);
	return s;
}

char *vu_tree_dir_path(const struct vu_tree *t, uint32_t dir)
{
	return path_of(t, dir, NULL);
}

char *vu_tree_name_path(const struct vu_tree *t, uint32_t name)
{
	const struct vu_name *n = vu_tree_name(t, name);

	return path_of(t, n->dir, vu_tree_text(t, n->name));
}

char *vu_tree_unified_path(const struct vu_tree *t, const struct vu_unified_name *name)
{
	return path_of(t, name->dir, vu_tree_text(t, name->name));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/farm.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "base/hash.h"
#include "db/catalog-tree.h"
#include "fs/stat.h"
#include "fs/xattr.h"

/* ---- rules and conffiles ---- */

static int open_rules(struct vu_farm *f, size_t i, bool rules)
{
	const struct vu_config *c = f->session->ops->config;
	const struct vu_guest *g = &f->session->guests.v[i];
	_cleanup_free_ char *why = NULL;
	struct vu_exclude_error err;
	int r = vu_exclude_new(rules ? g->rules : NULL, rules ? c->exclude : NULL, &f->exclude[i],
			       &err);

	if (r != VU_EXCLUDE_BAD)
		return r;
	if (asprintf(&why, "rule \"%s\": %s", err.rule, err.why) < 0)
		return -ENOMEM;
	return vu_fail(f->session->ops, VU_OPS_USAGE, "cannot use the rules of the guest", g->name,
		       why, "correct them in vunify.conf or by `vunify guests set`");
}

/* A broken package database is told, and what could be read of it holds. */
static int open_packages(struct vu_farm *f, size_t i)
{
	const struct vu_config *c = f->session->ops->config;
	_cleanup_free_ char *text = NULL;
	const char *why = NULL;
	int r = vu_package_read(f->session->root_fds[i], c->max_package_db_bytes, &f->package[i],
				&why);

	if (r != VU_PACKAGE_BROKEN)
		return r;
	if (asprintf(&text, "the package database of guest %s is broken: %s",
		     f->session->guests.v[i].name, why) < 0)
		return -ENOMEM;
	vu_emit(&f->session->counting, &(struct vu_event){
					       .kind = VU_EVENT_WARN,
					       .guest = f->session->guests.v[i].name,
					       .text = text,
				       });
	return 0;
}

static bool is_conffile(void *arg, uint16_t guest, const char *path)
{
	struct vu_farm *f = arg;

	return f->package[guest] && vu_package_is_conffile(f->package[guest], path);
}

static bool dir_has_conffile(void *arg, uint16_t guest, const char *path)
{
	struct vu_farm *f = arg;

	return f->package[guest] && vu_package_dir_has_any(f->package[guest], path);
}

/* ---- objects ---- */

struct listing {
	struct vu_farm *f;
	uint8_t fs;
};

/* An object that the pool holds: known from the catalog, or new to it. */
static int list_object(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct listing *l = arg;
	struct vu_tree *t = l->f->tree;
	struct vu_inomap *map = &l->f->objects[l->fs];
	uint32_t i, k;
	int r;

	if (vu_inomap_get(map, ino, &i)) {
		struct vu_inode *o = vu_tree_inode(t, i);
		struct vu_key *known = vu_tree_key(t, o->key);

		if (memcmp(&known->hash, &key->hash, sizeof(key->hash)) ||
		    known->generation != key->generation) {
			/* the catalog speaks of another object that had this inode number */
			*known = *key;
			o->content = o->attr = VU_NONE;
			o->fate = VU_CHANGED;
		} else {
			o->fate = VU_KEPT;
		}
		return 0;
	}
	r = vu_tree_inode_add(t, &i);
	if (!r)
		r = vu_chunks_add(&t->objects, 1, &k);
	if (!r)
		r = vu_inomap_set(map, ino, i);
	if (r)
		return r;
	struct vu_inode *o = vu_tree_inode(t, i);

	*vu_tree_key(t, k) = *key;
	o->ino = ino;
	o->key = k;
	o->guest = o->fs = l->fs;
	o->flags = VU_INODE_OBJECT;
	o->fate = VU_NEW;
	return 0;
}

/*
 * Membership in the pool decides what is an object. What the catalog alone remembers is gone, and its
 * inode number may be any file's by now.
 */
static int keep_listed(struct vu_farm *f, uint8_t fs, uint32_t first)
{
	struct vu_inomap listed = {0};
	int r = 0;

	for (uint32_t i = first; !r && i < f->tree->inodes.n; i++) {
		struct vu_inode *o = vu_tree_inode(f->tree, i);

		if (o->fs != fs)
			continue;
		if (o->fate == VU_UNSEEN)
			o->fate = VU_GONE;
		else
			r = vu_inomap_set(&listed, o->ino, i);
	}
	vu_inomap_done(&f->objects[fs]);
	f->objects[fs] = listed;
	return r;
}

/* What the catalog remembers and what the pools hold: each is read by a thread, since that takes as long. */
struct load {
	struct vu_farm *f;
	bool catalog;
	struct listed {
		uint64_t ino;
		struct vu_key key;
		uint8_t fs;
	} * v; /* owned; what the pools hold */
	size_t n, max;
	uint8_t fs;	/* that is being listed */
	uint32_t first; /* object in the tree */
};

static void load_done(struct load *l)
{
	free(l->v);
}

VU_DEFINE_CLEANUP_DONE(struct load, load_done)

static int note_object(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct load *l = arg;

	if (l->n == l->max) {
		size_t max = l->max ? l->max * 2 : 1024;
		struct listed *v = reallocarray(l->v, max, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->max = max;
	}
	l->v[l->n++] = (struct listed){.ino = ino, .key = *key, .fs = l->fs};
	return 0;
}

static int list_pools(struct load *l)
{
	const struct vu_session *s = l->f->session;
	int r = 0;

	for (size_t i = 0; !r && i < s->n_fs; i++) {
		l->fs = (uint8_t)i;
		if (s->fs[i].pool)
			r = vu_pool_list(s->fs[i].pool, note_object, l);
	}
	return r;
}

static int load_catalog(struct load *l)
{
	struct vu_farm *f = l->f;
	struct vu_session *s = f->session;
	int r = l->catalog ? vu_catalog_load_tree(s->catalog, &s->guests, f->tree) : 0;

	l->first = f->tree->inodes.n;
	/* also tells the catalog the file systems' numbers */
	for (size_t i = 0; !r && l->catalog && i < s->n_fs; i++)
		r = vu_catalog_load_objects(s->catalog, s->fs[i].mount.fs_id, (uint8_t)i, f->tree,
					    &f->objects[i]);
	return r ? vu_session_catalog_failed(s, r) : 0;
}

static int load_part(void *arg, unsigned i)
{
	return i ? list_pools(arg) : load_catalog(arg);
}

static int know_listed(struct load *l)
{
	struct vu_farm *f = l->f;
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++) {
		struct listing at = {.f = f, .fs = l->v[i].fs};

		r = list_object(&at, l->v[i].ino, &l->v[i].key);
	}
	for (size_t i = 0; !r && i < f->session->n_fs; i++)
		r = keep_listed(f, (uint8_t)i, l->first);
	return r;
}

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

static int know_object(struct vu_farm *f, struct vu_hash *hash, struct vu_inode *o)
{
	struct vu_stat st;
	_cleanup_fd_ int fd =
		vu_pool_object_open(f->session->fs[o->fs].pool, vu_tree_key(f->tree, o->key));

	if (fd < 0)
		return fd;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	struct vu_attr attr = vu_stat_attr(&st);

	r = vu_xattr_complete(fd, hash, VU_XATTR_ANY, &attr);
	if (r > 0)
		return -E2BIG;
	if (!r)
		r = vu_attrs_intern(f->tree->attrs, &attr, &o->attr);
	o->size = st.version.size;
	o->mtime_ns = st.version.mtime_ns;
	o->ctime_ns = st.version.ctime_ns;
	o->n_links = vu_tree_links(st.n_links);
	if (o->fate == VU_KEPT)
		o->fate = VU_CHANGED;
	return r;
}

int vu_farm_know_objects(struct vu_farm *f)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *hash = vu_hash_new();

	if (!hash)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->tree->inodes.n; i++) {
		struct vu_inode *o = vu_tree_inode(f->tree, i);

		if (!(o->flags & VU_INODE_OBJECT) || o->fate == VU_GONE || o->attr != VU_NONE)
			continue;
		int r = know_object(f, hash, o);

		if (r == -ENOMEM)
			return r;
		if (r) /* not usable in this run; recover and verify look closer */
			o->fate = VU_GONE;
	}
	return 0;
}

/* ---- the whole ---- */

static void fill_guests(struct vu_farm *f)
{
	struct vu_session *s = f->session;

	for (size_t i = 0; i < s->guests.n; i++)
		f->walk_guests[i] = (struct vu_walk_guest){
			.name = s->guests.v[i].name,
			.root = s->root_fds[i],
			.exclude = f->exclude[i],
			.objects = &f->objects[s->guest_fs[i]],
			.fs = s->guest_fs[i],
		};
}

/*
 * Bytes from a guest's root to a directory that is entered to unify what is in it. Each name is a line of the
 * journal, so that paths of hundreds of kilobytes, which cost a guest nothing, could fill the file system that it
 * shares with others. open(2) takes 4 KiB; who allows more levels has a reason.
 */
static uint32_t path_max(uint32_t max_depth)
{
	return VU_MAX(UINT32_C(16384), 4 * max_depth);
}

static void fill_env(struct vu_farm *f, unsigned flags)
{
	struct vu_session *s = f->session;
	const struct vu_config *c = s->ops->config;
	bool rules = flags & VU_FARM_RULES;

	fill_guests(f);
	for (size_t i = 0; i < s->n_fs; i++)
		f->shares[i] = vu_session_shares_with(s, (uint8_t)i);
	f->walk = (struct vu_walk_env){
		.guests = f->walk_guests,
		.n_guests = s->guests.n,
		.shares = f->shares,
		.jobs = vu_farm_jobs(c),
		/* what looks for names of objects must miss none */
		.max_depth = rules ? c->max_depth : UINT32_MAX,
		.max_path = rules ? path_max(c->max_depth) : UINT32_MAX,
		.max_files = rules ? c->max_files : UINT64_MAX,
		.min_size = rules ? c->min_size : 0,
		.max_size = rules ? c->max_size : UINT64_MAX,
		.granularity_ns = VU_WALK_GRANULARITY_NS,
		.unify_setid = c->unify_setid || !rules,
		.mtime_exact = c->mtime_exact,
		.full = flags & VU_FARM_FULL,
		.sink = &s->counting,
		.progress = s->ops->progress,
		.is_conffile = rules ? is_conffile : NULL,
		.dir_has_conffile = rules ? dir_has_conffile : NULL,
		.conffile_arg = f,
	};
}

unsigned vu_farm_jobs(const struct vu_config *c)
{
	cpu_set_t set;

	if (c->jobs)
		return c->jobs;
	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

int vu_farm_open(struct vu_farm *f, struct vu_session *s, unsigned flags)
{
	size_t n = s->guests.n + 1;
	int r = 0;

	*f = (struct vu_farm){.session = s};
	f->tree = vu_tree_new();
	f->exclude = calloc(n, sizeof(struct vu_exclude *));
	f->package = calloc(n, sizeof(struct vu_package_db *));
	f->objects = calloc(s->n_fs + 1, sizeof(*f->objects));
	f->shares = calloc(s->n_fs + 1, sizeof(*f->shares));
	f->walk_guests = calloc(n, sizeof(*f->walk_guests));
	if (!f->tree || !f->exclude || !f->package || !f->objects || !f->shares || !f->walk_guests)
		return -ENOMEM;
	for (size_t i = 0; !r && i < s->guests.n; i++) {
		r = open_rules(f, i, flags & VU_FARM_RULES);
		if (!r && flags & VU_FARM_RULES)
			r = open_packages(f, i);
	}
	fill_env(f, flags);
	return r || flags & VU_FARM_LATER ? r : vu_farm_load(f, flags);
}

int vu_farm_load(struct vu_farm *f, unsigned flags)
{
	vu_cleanup(load_done_p) struct load l = {
		.f = f, .catalog = flags & VU_FARM_CATALOG && f->session->catalog};
	int r = vu_crew_run(2, load_part, &l);

	return r ? r : know_listed(&l);
}

static void tell_unreadable(void *arg, const struct vu_event *e)
{
	const struct vu_farm *f = arg;
	struct vu_event warning = *e;

	if (e->kind != VU_EVENT_SKIP || e->skip != VU_SKIP_UNREADABLE)
		return;
	warning.kind = VU_EVENT_WARN;
	warning.text = "it cannot be read: names of objects there are not known";
	vu_emit(&f->session->counting, &warning);
}

void vu_farm_tell_unreadable(struct vu_farm *f)
{
	f->unreadable = (struct vu_sink){.fn = tell_unreadable, .arg = f};
	f->walk.sink = &f->unreadable;
}

int vu_farm_walk(struct vu_farm *f)
{
	struct vu_walk_stats stats;

	return vu_walk_run(&f->walk, f->tree, &stats);
}

void vu_farm_close(struct vu_farm *f)
{
	struct vu_session *s = f->session;

	vu_tree_free(f->tree);
	for (size_t i = 0; s && f->exclude && i < s->guests.n; i++)
		vu_exclude_free(f->exclude[i]);
	for (size_t i = 0; s && f->package && i < s->guests.n; i++)
		vu_package_free(f->package[i]);
	for (size_t i = 0; s && f->objects && i < s->n_fs; i++)
		vu_inomap_done(&f->objects[i]);
	free(f->exclude);
	free(f->package);
	free(f->objects);
	free(f->shares);
	free(f->walk_guests);
	*f = (struct vu_farm){0};
}

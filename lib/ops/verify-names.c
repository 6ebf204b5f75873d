/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Link counts: an object has one link for each name in a guest, and one in the pool. More of them are names that no
 * registered guest has (of one that was forgotten, of a tree beside the guests): nothing is wrong with that, and it is
 * noted. Fewer are seen when names went away since the walk: noted as little.
 *
 * The catalog remembers names as the last scan left them: guests that break links or upgrade packages
 * differ from that until the next one, so what differs is counted and no more.
 */
#include "ops/verify-names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "db/catalog-tree.h"
#include "fs/beneath.h"
#include "fs/stat.h"

#define TOLD_MAX 16 /* names of one object in one guest that are told one by one */

struct finding {
	struct vu_verify_names *n;
	const struct vu_verify_env *env;
	struct vu_session *s;
	struct vu_checked_pool *pools;
	uint32_t *
		pool_of; /* owned; by the file systems of n->all: index in pools; UINT32_MAX: none */
	struct vu_inomap
		*found; /* owned; for each guest: ino -> names found (but not recorded yet) */
};

static bool is_wrong(const struct vu_checked *o)
{
	return o->flags & (VU_CHECKED_BAD | VU_CHECKED_OPEN | VU_CHECKED_DOUBT);
}

static int note_bad(struct finding *f, uint32_t pool, uint32_t object,
		    const struct vu_unified_name *name, uint16_t guest)
{
	struct vu_verify_names *n = f->n;
	struct vu_bad_name *v = reallocarray(n->bad, n->n_bad + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	n->bad = v;
	v[n->n_bad] = (struct vu_bad_name){.pool = pool, .object = object, .guest = guest};
	v[n->n_bad].path = vu_tree_unified_path(n->farm.tree, name);
	return v[n->n_bad++].path ? 0 : -ENOMEM;
}

static int add(struct vu_inomap *m, uint64_t ino, uint32_t by)
{
	uint32_t v = 0;

	vu_inomap_get(m, ino, &v);
	return vu_inomap_set(m, ino, v + by);
}

static int count_name(struct finding *f, const struct vu_unified_name *name)
{
	uint16_t guest = vu_tree_dir(f->n->farm.tree, name->dir)->guest;
	uint32_t pool = f->pool_of[f->n->all.guest_fs[guest]], object;
	bool registered = f->n->all.guests.v[guest].id;
	int r = registered ? add(&f->found[guest], name->ino, 1) : 0;

	if (r || pool == UINT32_MAX || !vu_inomap_get(&f->pools[pool].by_ino, name->ino, &object))
		return r;
	struct vu_checked *o = &f->pools[pool].v[object];

	o->names++;
	o->flags |= registered ? VU_CHECKED_NAMED : 0;
	f->n->names++;
	return is_wrong(o) ? note_bad(f, pool, object, name, guest) : 0;
}

/* The walk has met them directory by directory, on several threads. */
static int by_object(const void *pa, const void *pb)
{
	const struct vu_bad_name *a = pa, *b = pb;

	if (a->pool != b->pool)
		return a->pool < b->pool ? -1 : 1;
	if (a->object != b->object)
		return a->object < b->object ? -1 : 1;
	if (a->guest != b->guest)
		return a->guest < b->guest ? -1 : 1;
	return strcmp(a->path, b->path);
}

/* Names come and go while guests run: where it does not fit, the object is looked at again. */
static void compare_link(struct finding *f, const struct vu_pool *pool, const struct vu_checked *o)
{
	uint32_t n_links = o->n_links;

	if (n_links != o->names + 1) {
		struct vu_stat st;
		_cleanup_fd_ int fd = vu_pool_object_open_stat(pool, &o->key, &st);

		if (fd < 0 || vu_pool_object_slipped(pool, &o->key))
			return;
		n_links = st.n_links;
	}
	f->n->unnamed += n_links == 1;
	f->n->outside += n_links > o->names + 1;
}

static void compare_links(struct finding *f)
{
	for (size_t p = 0; p < f->s->n_fs; p++)
		for (uint32_t i = 0; i < f->pools[p].n; i++)
			if (!(f->pools[p].v[i].flags & (VU_CHECKED_GONE | VU_CHECKED_ODD)))
				compare_link(f, f->s->fs[p].pool, &f->pools[p].v[i]);
}

void vu_verify_names_settle(const struct vu_verify_env *env, struct vu_checked_pool *pools)
{
	struct vu_verify_env doubt = *env;

	doubt.repair = true; /* a warning */
	for (size_t p = 0; p < env->session->n_fs; p++)
		for (uint32_t i = 0; i < pools[p].n; i++) {
			struct vu_checked *o = &pools[p].v[i];

			if (!(o->flags & VU_CHECKED_DOUBT))
				continue;
			o->flags &= (uint16_t)~VU_CHECKED_DOUBT;
			if (o->flags & VU_CHECKED_NAMED) {
				o->flags |= VU_CHECKED_BAD;
				vu_verify_tell(env, o, 0,
					       "the object is damaged: its content or its metadata "
					       "are not what its name says");
				continue;
			}
			vu_verify_tell(&doubt, o, 0,
				       "whether the object is sound cannot be told: no guest that "
				       "has it is registered, so its domain is not known");
		}
}

/* ---- the catalog ---- */

static int take_recorded(void *arg, uint16_t guest, uint32_t dir, uint64_t ino)
{
	struct finding *f = arg;
	uint32_t left = 0;

	(void)dir;
	if (!vu_inomap_get(&f->found[guest], ino, &left) || !left) {
		f->n->recorded_others++;
		return 0;
	}
	return vu_inomap_set(&f->found[guest], ino, left - 1);
}

static int compare_catalog(struct finding *f)
{
	if (!f->s->catalog)
		return 0;
	int r = vu_catalog_load_unified(f->s->catalog, &f->n->all.guests, take_recorded, f);

	if (r)
		return vu_session_catalog_lost(f->s, r);
	for (size_t g = 0; g < f->n->all.guests.n; g++)
		for (uint32_t i = 0; i < f->found[g].slots; i++)
			if (f->found[g].slot[i].ino)
				f->n->unrecorded += f->found[g].slot[i].value;
	return 0;
}

/* ---- all of it ---- */

static int open_guests(struct finding *f)
{
	struct vu_verify_names *n = f->n;
	void (*sink)(void *, const struct vu_event *) = f->s->counting.fn;

	/* guests that are gone were told when the session was opened */
	f->s->counting.fn = NULL;
	int r = vu_session_open_beside(&n->all, f->s);

	f->s->counting.fn = sink;
	n->all.counting = f->s->counting;
	if (!r)
		r = vu_farm_open(&n->farm, &n->all, 0);
	if (r)
		return r;
	/* what else a scan would say of their files is none of this business */
	vu_farm_tell_unreadable(&n->farm);
	f->pool_of = calloc(n->all.n_fs + 1, sizeof(*f->pool_of));
	f->found = calloc(n->all.guests.n + 1, sizeof(*f->found));
	if (!f->pool_of || !f->found)
		return -ENOMEM;
	for (size_t i = 0; i < n->all.n_fs; i++) {
		f->pool_of[i] = UINT32_MAX;
		for (size_t k = 0; n->all.fs[i].pool && k < f->s->n_fs; k++)
			if (f->s->fs[k].pool == n->all.fs[i].pool)
				f->pool_of[i] = (uint32_t)k;
	}
	return 0;
}

static int find(struct finding *f)
{
	struct vu_verify_names *n = f->n;
	int r = open_guests(f);

	if (!r && f->s->ops->progress)
		vu_progress_begin(f->s->ops->progress, VU_PHASE_WALK, 0, 0);
	if (!r)
		r = vu_farm_walk(&n->farm);
	for (uint32_t i = 0; !r && i < n->farm.tree->unified.n; i++)
		r = count_name(f, vu_tree_unified(n->farm.tree, i));
	if (r)
		return r;
	vu_verify_names_settle(f->env, f->pools);
	if (n->n_bad)
		qsort(n->bad, n->n_bad, sizeof(*n->bad), by_object);
	compare_links(f);
	return compare_catalog(f);
}

int vu_verify_names_find(struct vu_verify_names *n, const struct vu_verify_env *env,
			 struct vu_checked_pool *pools)
{
	struct finding f = {.n = n, .env = env, .s = env->session, .pools = pools};

	*n = (struct vu_verify_names){.all = {.lock_fd = -EBADF}};
	int r = find(&f);

	for (size_t g = 0; f.found && g < n->all.guests.n; g++)
		vu_inomap_done(&f.found[g]);
	free(f.found);
	free(f.pool_of);
	return r;
}

static bool is_same(const struct vu_bad_name *a, const struct vu_bad_name *b)
{
	return a->pool == b->pool && a->object == b->object && a->guest == b->guest;
}

/* A repair that was not done in all guests has moved a part of the names. */
static bool is_still(const struct vu_verify_names *n, const struct vu_bad_name *b,
		     const struct vu_checked *o)
{
	struct vu_stat st;

	if (!(o->flags & VU_CHECKED_FOUND))
		return true;
	_cleanup_fd_ int fd =
		vu_beneath_open(n->all.root_fds[b->guest], b->path, O_PATH | O_NOFOLLOW);

	return fd < 0 || vu_stat_fd(fd, &st) || st.version.ino == o->ino;
}

void vu_verify_names_tell(const struct vu_verify_names *n, const struct vu_session *s,
			  const struct vu_checked_pool *pools, const char *todo)
{
	char name[VU_KEY_NAME_MAX];
	uint32_t told = 0;

	for (size_t i = 0; i < n->n_bad; i++) {
		const struct vu_bad_name *b = &n->bad[i];
		const struct vu_checked *o = &pools[b->pool].v[b->object];
		bool more = i + 1 < n->n_bad && is_same(b, b + 1);

		told = i && is_same(b - 1, b) ? told + 1 : 0;
		if (!is_wrong(o) || o->flags & VU_CHECKED_REPAIRED || told > TOLD_MAX ||
		    !is_still(n, b, o))
			continue;
		vu_key_name(&o->key, name);
		vu_emit(&s->counting,
			&(struct vu_event){
				.kind = VU_EVENT_DAMAGE,
				.guest = n->all.guests.v[b->guest].name,
				.path = b->path,
				.object = name,
				.text = told == TOLD_MAX && more
						? "this and further names in the guest are "
						  "names of an object that is damaged"
						: todo});
	}
}

void vu_verify_names_close(struct vu_verify_names *n)
{
	vu_farm_close(&n->farm);
}

void vu_verify_names_done(struct vu_verify_names *n)
{
	vu_verify_names_close(n);
	vu_session_close(&n->all);
	for (size_t i = 0; i < n->n_bad; i++)
		free(n->bad[i].path);
	free(n->bad);
	*n = (struct vu_verify_names){.all = {.lock_fd = -EBADF}};
}

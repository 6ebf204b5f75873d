/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests are read from the catalog one at a time, and looked at by as many threads as there are: while one
 * reads rows, others look. SQLite has one thread at a time here too, under a lock.
 *
 * The pool's stamp is taken when a run is over. Who breaks links beside it may have removed an object just before (then
 * the catalog has one too many, as after any break), and only an eviction makes one there: a private file that
 * equals such a new one joins it when anything next changes.
 */
#include "ops/idle.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "base/hash.h"
#include "db/catalog-broken.h"
#include "db/catalog-recorded.h"
#include "link/pool-stamp.h"
#include "link/recover.h"
#include "ops/freezing.h"
#include "scan/unchanged.h"

/* What is not in memory is waited for: then many wait at once. */
#define LOOKERS_PER_JOB 8

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

/* ---- pools and packages, each as a number in the catalog ---- */

static int conffiles_of(const struct vu_package_db *db, struct vu_hash *h, int64_t *ret)
{
	uint8_t digest[VU_HASH_BYTES];

	vu_hash_begin(h);
	for (size_t i = 0; db && i < vu_package_count(db); i++) {
		const char *path = vu_package_at(db, i);

		vu_hash_add(h, path, strlen(path) + 1);
	}
	int r = vu_hash_end(h, digest);

	memcpy(ret, digest, sizeof(*ret));
	return r;
}

/* fn for each of these numbers, until it returns another value than 0, which is returned. */
static int each_number(struct vu_farm *f,
		       int (*fn)(struct vu_session *s, const char *key, int64_t v))
{
	struct vu_session *s = f->session;
	vu_cleanup(vu_hash_free_p) struct vu_hash *h = vu_hash_new();
	int r = h ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < s->guests.n; i++) {
		char key[64];
		int64_t v;

		snprintf(key, sizeof(key), "conffiles-of-guest-%u", s->guests.v[i].id);
		r = conffiles_of(f->package[i], h, &v);
		if (!r)
			r = fn(s, key, v);
	}
	for (size_t i = 0; !r && i < s->n_fs; i++) {
		_cleanup_free_ char *key = NULL;
		uint64_t stamp = 0;

		if (asprintf(&key, "pool-of-%s", s->fs[i].mount.fs_id) < 0) {
			key = NULL;
			return -ENOMEM;
		}
		if (s->fs[i].pool)
			r = vu_pool_stamp(s->fs[i].pool, VU_WALK_GRANULARITY_NS, &stamp);
		if (!r)
			r = fn(s, key, (int64_t)stamp);
	}
	return r;
}

/* 0 is "not known": of a pool that is too young, or is none. */
static int differs(struct vu_session *s, const char *key, int64_t v)
{
	int64_t then = 0;

	return !v || vu_catalog_meta_get(s->catalog, key, &then) || then != v;
}

static int write_number(struct vu_session *s, const char *key, int64_t v)
{
	int64_t then = 0;
	int r = vu_catalog_meta_get(s->catalog, key, &then);

	return r || then == v ? r : vu_catalog_meta_set(s->catalog, key, v);
}

static int write_unknown(struct vu_session *s, const char *key, int64_t v)
{
	(void)v;
	return write_number(s, key, 0);
}

int vu_idle_remember(struct vu_farm *f, bool sure)
{
	return each_number(f, sure ? write_number : write_unknown);
}

/* ---- guests ---- */

struct idle {
	struct vu_farm *f;
	struct vu_scan_guest *counts;
	struct vu_recorded_attrs attrs; /* owned */
	pthread_mutex_t lock;		/* of the catalog and the rest */
	size_t next;
	bool changed;
};

static void count_guest(const struct vu_recorded *r, struct vu_scan_guest *g)
{
	for (size_t i = 0; i < r->n_dirs; i++) {
		const struct vu_recorded_dir *d = &r->dirs[i];

		g->dirs++;
		g->unified_before += d->n_unified;
		g->skips[VU_SKIP_NOT_REGULAR].files += d->n_other;
		g->skips[VU_SKIP_EXCLUDED].files += !!(d->flags & VU_DIR_EXCLUDED);
		g->skips[VU_SKIP_OTHER_FS].files += !!(d->flags & VU_DIR_OTHER_FS);
	}
	for (size_t i = 0; i < r->n_inodes; i++) {
		const struct vu_recorded_inode *n = &r->inodes[i];

		g->inodes++;
		g->bytes += n->size;
		g->private_names += n->n_names;
		g->skips[n->skip].files += n->n_names;
		g->skips[n->skip].bytes += n->size;
	}
	g->files = g->unified_before + g->private_names;
}

/* The next guest's rows: false when there is none, or one has changed already. */
static bool take(struct idle *x, struct vu_recorded *r, size_t *ret_guest)
{
	const struct vu_session *s = x->f->session;

	pthread_mutex_lock(&x->lock);
	bool go = !x->changed && x->next < s->guests.n;

	if (go) {
		*ret_guest = x->next++;
		vu_recorded_clear(r);
		if (vu_catalog_recorded(s->catalog, s->guests.v[*ret_guest].id, &x->attrs, r)) {
			x->changed = true;
			go = false;
		}
	}
	pthread_mutex_unlock(&x->lock);
	return go;
}

static int look(void *arg, unsigned thread)
{
	struct idle *x = arg;
	vu_cleanup(vu_recorded_done_p) struct vu_recorded r = {0};
	size_t guest;

	(void)thread;
	while (take(x, &r, &guest)) {
		if (vu_unchanged(&r, x->f->session->root_fds[guest]) == 1) {
			count_guest(&r, &x->counts[guest]);
			continue;
		}
		pthread_mutex_lock(&x->lock);
		x->changed = true;
		pthread_mutex_unlock(&x->lock);
	}
	return 0;
}

static bool are_guests_unchanged(struct vu_farm *f, struct vu_scan_guest *counts)
{
	struct vu_session *s = f->session;
	struct idle x = {.f = f, .counts = counts, .lock = PTHREAD_MUTEX_INITIALIZER};
	size_t jobs = (size_t)vu_farm_jobs(s->ops->config) * LOOKERS_PER_JOB;

	if (vu_catalog_recorded_attrs(s->catalog, &x.attrs))
		x.changed = true;
	else
		vu_crew_run((unsigned)VU_MAX(VU_MIN(jobs, s->guests.n), (size_t)1), look, &x);
	vu_recorded_attrs_done(&x.attrs);
	return !x.changed;
}

/* Something that is known to have happened, or to be left to be done. */
static bool is_pending(const struct vu_session *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->guests.n; i++)
		if (vu_catalog_broken_count(s->catalog, s->guests.v[i].id, &n) || n)
			return true;
	for (size_t i = 0; i < s->n_fs; i++)
		if (!s->fs[i].pool || vu_recover_is_left(s->fs[i].pool))
			return true;
	return vu_freezing_is_left(s);
}

bool vu_idle(struct vu_farm *f, struct vu_scan_guest *counts)
{
	struct vu_session *s = f->session;

	/* each private file is to be named, and shared extents are no objects */
	if (s->ops->per_file || s->ops->config->mode != VU_MODE_LINK)
		return false;
	return !is_pending(s) && !each_number(f, differs) && are_guests_unchanged(f, counts);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A copy that is found (ops/repair-source.c) is put into the pool at once, and all are evicted together, which walks
 * the guests once. Killed before that: the next run that recovers evicts what was noted. In between every name is the
 * damaged object's or the new one's.
 */
#include "ops/verify-repair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "fs/guard.h"
#include "fs/stat.h"
#include "link/identify.h"
#include "link/quarantine.h"
#include "ops/repair-archive.h"
#include "ops/repair-source.h"

static void tell(const struct vu_repair *r, enum vu_event_kind kind, const struct vu_checked *o,
		 int err, const char *text)
{
	char name[VU_KEY_NAME_MAX];

	vu_key_name(&o->key, name);
	vu_emit(&r->env->session->counting,
		&(struct vu_event){.kind = kind, .object = name, .err = err, .text = text});
}

static int tell_found(const struct vu_repair *r, const struct vu_checked *o, const char *label)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "the damaged object %s replaced by one with the content of %s",
		     r->dry_run ? "would be" : "is", label) < 0)
		return (text = NULL, -ENOMEM);
	tell(r, VU_EVENT_RECOVER, o, 0, text);
	return 0;
}

static int quarantine(struct vu_repair *r, size_t pool, struct vu_checked *o, void *arg)
{
	(void)arg;
	const struct vu_pool *p = r->env->session->fs[pool].pool;
	_cleanup_fd_ int fd = r->dry_run ? -EBADF : vu_pool_object_open(p, &o->key);
	int e = r->dry_run ? 0 : vu_quarantine_add(p, &o->key, o->ino);

	/* guests see one inode still: nobody is to write to it */
	if (!e && fd >= 0)
		e = vu_guard_or_flag(fd);
	if (e)
		return e;
	r->quarantined++;
	tell(r, VU_EVENT_DAMAGE, o, o->err,
	     r->dry_run
		     ? "no copy is to be found of what the object was: it would be put in quarantine"
		     : "no copy is to be found of what the object was: it is in quarantine, and no "
		       "further guest gets it");
	return 0;
}

static int seek(struct vu_repair *r, struct vu_identifier *w, size_t pool, struct vu_checked *o)
{
	_cleanup_free_ char *label = NULL;
	int err = 0, e = vu_repair_source_find(r, w, pool, o, &label, &err);

	o->err = (int16_t)err;
	if (e <= 0)
		return e;
	o->flags |= VU_CHECKED_FOUND;
	return tell_found(r, o, label);
}

/* ---- all of them ---- */

static int each(struct vu_repair *r, unsigned with, unsigned without,
		int (*fn)(struct vu_repair *r, size_t pool, struct vu_checked *o, void *arg),
		void *arg)
{
	int e = 0;

	for (size_t p = 0; p < r->env->session->n_fs; p++)
		for (uint32_t i = 0; !e && i < r->pools[p].n; i++) {
			struct vu_checked *o = &r->pools[p].v[i];

			if ((o->flags & with) == with && !(o->flags & without))
				e = fn(r, p, o, arg);
		}
	return e;
}

static int seek_one(struct vu_repair *r, size_t pool, struct vu_checked *o, void *arg)
{
	return seek(r, arg, pool, o);
}

/* Was it replaced? Its name is gone then. */
static int look_back(struct vu_repair *r, size_t pool, struct vu_checked *o, void *arg)
{
	struct vu_stat st;
	_cleanup_fd_ int fd =
		r->dry_run ? -ENOENT
			   : vu_pool_object_open_stat(r->env->session->fs[pool].pool, &o->key, &st);

	(void)arg;
	if (fd >= 0 && st.version.ino == o->ino)
		return 0;
	o->flags |= VU_CHECKED_REPAIRED;
	r->repaired++;
	return 0;
}

/* One that is sound is in quarantine no more. */
static int lift_one(struct vu_repair *r, size_t pool, struct vu_checked *o, void *arg)
{
	const struct vu_pool *p = r->env->session->fs[pool].pool;

	(void)arg;
	if (r->dry_run || !vu_quarantine_has(p, &o->key, o->ino))
		return 0;
	int e = vu_quarantine_lift(p, &o->key);

	if (!e)
		tell(r, VU_EVENT_RECOVER, o, 0,
		     "the object is sound again: its quarantine is over");
	return e;
}

VU_DEFINE_CLEANUP_DONE(struct vu_identifier, vu_identifier_done)

int vu_verify_repair(struct vu_repair *r)
{
	vu_cleanup(vu_identifier_done_p) struct vu_identifier w = {
		.domains = r->env->domains,
		.stops = true,
	};
	int e = vu_identifier_init(&w);

	if (!e)
		e = each(r, VU_CHECKED_BAD, VU_CHECKED_ODD, seek_one, &w);
	if (!e)
		e = vu_repair_archives(r, &w, tell_found);
	if (!e)
		e = each(r, VU_CHECKED_BAD, VU_CHECKED_ODD | VU_CHECKED_FOUND, quarantine, NULL);
	vu_verify_names_close(r->names);
	/* also behind a full disk: what was noted is moved now, or by the next run */
	int v = r->dry_run || e == -ECANCELED ? 0 : vu_eviction_run(r->eviction, false);

	e = e ? e : v;
	if (!e)
		e = each(r, VU_CHECKED_BAD | VU_CHECKED_FOUND, 0, look_back, NULL);
	if (!e)
		e = each(r, VU_CHECKED_READ, VU_CHECKED_BAD, lift_one, NULL);
	return e;
}

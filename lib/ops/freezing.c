/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/freezing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guest/freezable.h"
#include "link/ledger.h"
#include "ops/lock.h"

static int look(void *arg, int *dirs, size_t cap)
{
	struct vu_freezing *f = arg;
	struct vu_freezable found;
	int r = vu_freezable_look(f->roots, f->n, &found);

	if (r)
		return r;
	r = !found.all ? -EPERM : found.n > cap ? -E2BIG : (int)found.n;
	if (r > 0) {
		memcpy(dirs, found.dirs, found.n * sizeof(*dirs));
		found.n = 0; /* they are the freezer's now */
	}
	vu_freezable_done(&found);
	return r;
}

/* moment = freeze: better nothing than a moment that one can get into. */
static int refuse_unfreezable(struct vu_freezing *f, struct vu_session *s, const char *const *paths)
{
	_cleanup_free_ char *why = NULL;
	struct vu_freezable found;
	int r = vu_freezable_look(f->roots, f->n, &found);

	if (r)
		return vu_fail(s->ops, r, "cannot look at the cgroups of the guests", NULL, NULL,
			       NULL);
	if (!found.all && asprintf(&why, "it runs (process %d) and cannot be frozen: %s",
				   (int)found.pid, found.why) < 0)
		r = -ENOMEM;
	else if (!found.all)
		r = vu_fail(
			s->ops, VU_OPS_REFUSED, "refused for the guest", paths[found.root], why,
			"run each guest in a cgroup (v2) of its own, stop it, or set moment = auto "
			"in vunify.conf");
	vu_freezable_done(&found);
	return r;
}

static char *record_of(const struct vu_session *s)
{
	char name[64];
	char *path = NULL;

	if (vu_lock_name("frozen", s->ops->config->catalog, name, sizeof(name)) ||
	    asprintf(&path, "%s/%s", s->ops->config->lock_dir, name) < 0)
		return NULL;
	return path;
}

int vu_freezing_open(struct vu_freezing *f, struct vu_session *s, const struct vu_procs_root *roots,
		     size_t n, const char *const *paths)
{
	_cleanup_free_ char *record = NULL;
	enum vu_moment_way way = s->ops->config->moment;

	*f = (struct vu_freezing){.roots = roots, .n = n};
	if (way == VU_MOMENT_LEASE)
		return 0;
	f->watch = (struct vu_freezer_watch){
		.look = look,
		.arg = f,
		.must = way == VU_MOMENT_FREEZE,
	};
	if (f->watch.must) {
		int r = refuse_unfreezable(f, s, paths);

		if (r)
			return r;
	}
	record = record_of(s);
	return vu_freezer_new(&f->watch, vu_ledger_frost(s->ops->ledger), record, &f->freezer);
}

void vu_freezing_close(struct vu_freezing *f)
{
	f->freezer = vu_freezer_free(f->freezer);
}

bool vu_freezing_is_left(const struct vu_session *s)
{
	_cleanup_free_ char *record = record_of(s);

	return record && !access(record, F_OK);
}

void vu_freezing_lift(struct vu_session *s)
{
	_cleanup_free_ char *record = record_of(s);
	int n = record ? vu_freezer_lift_record(record) : 0;

	if (n > 0)
		vu_emit(&s->counting,
			&(struct vu_event){
				.kind = VU_EVENT_WARN,
				.text = "a run that was killed had left guests frozen: they run again"});
}

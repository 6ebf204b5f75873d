/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-recover.h"

#include <errno.h>

#include "base/cleanup.h"
#include "ops/recovery.h"
#include "ops/run.h"
#include "ops/session.h"

static int count_pools(const struct vu_session *s)
{
	int n = 0;

	for (size_t i = 0; i < s->n_fs; i++)
		n += s->fs[i].pool != NULL;
	return n;
}

static int open_all(struct vu_session *s, struct vu_ops *ops, const struct vu_recover_options *o)
{
	unsigned rebuild = !o->rebuild_catalog ? 0
			   : o->dry_run	       ? VU_SESSION_REBUILD_DRY
					       : VU_SESSION_REBUILD;
	int r = vu_session_open(s, ops, VU_SESSION_WRITE | VU_SESSION_NO_CATALOG | rebuild,
				o->roots, o->n_roots);

	if (!r)
		r = vu_session_find_pools(s);
	if (!r && !o->dry_run)
		r = vu_session_lock_pools(s);
	return r;
}

int vu_ops_recover(struct vu_ops *ops, const struct vu_recover_options *o,
		   struct vu_recover_report *ret_report)
{
	struct vu_session s = {.lock_fd = -EBADF};
	struct vu_recover_stats stats = {0};
	struct vu_eviction eviction = {0};
	struct vu_run run = {0};
	int r = open_all(&s, ops, o);

	if (!r)
		r = vu_run_begin(&s, "recover", o->dry_run, &run);
	if (!r)
		r = vu_eviction_open(&eviction, &s);
	if (!r)
		r = vu_recovery_run(&eviction, o->dry_run, &stats);
	if (r && !o->dry_run && s.lock_fd >= 0)
		vu_freezing_lift(&s); /* whatever else could not be done */
	if (r == -ECANCELED)
		r = vu_fail(ops, VU_OPS_CANCELLED, "stopped", NULL,
			    "the rest can be recovered later", NULL);
	*ret_report = (struct vu_recover_report){
		.pools = (uint64_t)count_pools(&s),
		.objects = stats.objects,
		.reflagged = stats.reflagged,
		.names_removed = stats.names_removed,
		.names_restored = stats.names_restored,
		.trees_removed = stats.trees_removed,
		.objects_evicted = eviction.stats.evicted,
		.frozen = vu_freezer_stats(eviction.freezing.freezer),
		.warnings = s.warnings,
		.damages = s.damages,
		.seconds = vu_run_seconds(&run),
	};
	vu_run_end(&s, &run, NULL, 0, r);
	ret_report->warnings = s.warnings;
	vu_eviction_close(&eviction);
	vu_session_close(&s);
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-history.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "db/catalog-run.h"
#include "ops/session.h"

static const char *result_of(const struct vu_run *run)
{
	if (!run->ended_ns)
		return "unfinished";
	switch (run->outcome) {
	case 0:
	case 3:
		return "done";
	case 4:
		return "damage";
	case 128 + SIGHUP:
	case 128 + SIGINT:
	case 128 + SIGTERM:
		return "stopped";
	default:
		return "failed";
	}
}

static int add_run(void *arg, const struct vu_run *run)
{
	struct vu_history *h = arg;
	struct vu_history_run *v = reallocarray(h->runs, h->n_runs + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	h->runs = v;
	v[h->n_runs] = (struct vu_history_run){
		.id = (uint64_t)run->id,
		.verb = strdup(run->verb),
		.started_ns = run->started_ns,
		.seconds = run->ended_ns > run->started_ns
				   ? (double)(run->ended_ns - run->started_ns) / 1e9
				   : 0,
		.guests = run->guests,
		.files = run->names,
		.names = run->unified + run->broken,
		.saved_bytes = run->saved_bytes,
		.warnings = run->warnings,
		.dry_run = run->dry_run,
		.result = strdup(result_of(run)),
	};
	h->n_runs++;
	return v[h->n_runs - 1].verb && v[h->n_runs - 1].result ? 0 : -ENOMEM;
}

int vu_ops_history(struct vu_ops *ops, uint64_t limit, struct vu_history *ret_history)
{
	struct vu_session s;
	struct vu_history h = {0};
	int r = vu_session_open_catalog(&s, ops, 0);

	if (!r) {
		r = vu_catalog_runs(s.catalog,
				    limit && limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX,
				    add_run, &h);
		if (r && r != -ENOMEM)
			r = vu_session_catalog_failed(&s, r);
	}
	vu_session_close(&s);
	if (r) {
		vu_history_done(&h);
		return r;
	}
	*ret_history = h;
	return 0;
}

void vu_history_done(struct vu_history *h)
{
	for (size_t i = 0; i < h->n_runs; i++) {
		free(h->runs[i].verb);
		free(h->runs[i].result);
	}
	free(h->runs);
	*h = (struct vu_history){0};
}

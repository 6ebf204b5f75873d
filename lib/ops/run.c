/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/stop.h"

double vu_run_seconds(const struct vu_run *run)
{
	uint64_t now = vu_clock_real_ns();

	/* the clock may have been set back meanwhile */
	return run->started_ns && now > run->started_ns ? (double)(now - run->started_ns) / 1e9 : 0;
}

int vu_run_begin(struct vu_session *s, const char *verb, bool dry_run, struct vu_run *ret_run)
{
	*ret_run = (struct vu_run){.dry_run = dry_run, .started_ns = vu_clock_real_ns()};
	snprintf(ret_run->verb, sizeof(ret_run->verb), "%s", verb);
	ret_run->guests = s->guests.n;
	if (!s->catalog)
		return 0;
	int r = vu_catalog_run_begin(s->catalog, ret_run);

	return r ? vu_session_catalog_lost(s, r) : 0;
}

/* The exit status that cmd/ makes of it; see the table of exit codes in vunify(8). */
static int outcome(const struct vu_session *s, int r)
{
	static const int exits[] = {
		[VU_OPS_NOT_SET_UP] = 10, [VU_OPS_LOCKED] = 11, [VU_OPS_REFUSED] = 12,
		[VU_OPS_NO_SPACE] = 13,	  [VU_OPS_DAMAGED] = 4, [VU_OPS_USAGE] = 2,
	};

	if (r < 0)
		return 1;
	if (r == VU_OPS_CANCELLED)
		return 128 + vu_stop_signal();
	if (r)
		return (size_t)r < VU_ARRAY_SIZE(exits) ? exits[r] : 1;
	return s->damages ? 4 : s->warnings ? 3 : 0;
}

void vu_run_end(struct vu_session *s, struct vu_run *run, const struct vu_guest_stat *stats,
		size_t n_stats, int r)
{
	_cleanup_free_ char *text = NULL;

	if (!s->catalog || !run->id)
		return;
	run->ended_ns = vu_clock_real_ns();
	run->outcome = outcome(s, r);
	run->warnings = s->warnings;
	if (!vu_catalog_run_end(s->catalog, run, stats, n_stats)) {
		if (vu_catalog_is_in_place(s->catalog))
			return;
		vu_emit(&s->counting,
			&(struct vu_event){
				.kind = VU_EVENT_WARN,
				.text = "somebody removed or replaced the catalog meanwhile: what was "
					"learned is lost, and learned again by the next scan"});
		return;
	}
	if (asprintf(&text, "the history could not be written: %s",
		     vu_catalog_message(s->catalog)) >= 0)
		vu_emit(&s->counting, &(struct vu_event){.kind = VU_EVENT_WARN, .text = text});
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "fs/atomic-file.h"
#include "ops/export-tree.h"
#include "ops/farm.h"
#include "ops/run.h"
#include "ops/session.h"

VU_DEFINE_CLEANUP(struct vu_pax *, vu_pax_free)

static int open_out(struct vu_ops *ops, const struct vu_export_options *o,
		    struct vu_atomic_file *out)
{
	if (!o->file || !strcmp(o->file, "-"))
		return 0;
	int r = vu_atomic_file_begin(out, o->file);

	return r ? vu_fail(ops, r, "cannot write the archive", o->file, NULL,
			   "name a file in a directory that is there (-o FILE)")
		 : 0;
}

static int explain(struct vu_ops *ops, const struct vu_export_options *o, int r)
{
	const char *on = o->file ? o->file : "standard output";

	switch (r) {
	case -ENOSPC:
	case -EDQUOT:
		return vu_fail(ops, VU_OPS_NO_SPACE, "cannot write the archive", on, strerror(-r),
			       "free some space there; the guest is as it was");
	case -ECANCELED:
		return vu_fail(ops, VU_OPS_CANCELLED, "stopped", NULL, "there is no archive", NULL);
	case -EOPNOTSUPP:
		return vu_fail(ops, VU_OPS_USAGE, "cannot write the archive", on,
			       "this libarchive has no such compression", "choose another one");
	default:
		if (r < 0 && !ops->problem->what)
			return vu_fail(ops, r, "cannot write the archive", on, NULL, NULL);
		return r;
	}
}

static int write_archive(struct vu_session *s, const struct vu_export_options *o, int fd,
			 struct vu_export_report *rep)
{
	vu_cleanup(vu_pax_free_p) struct vu_pax *pax = NULL;
	int r = vu_pax_new(fd, o->compress, vu_farm_jobs(s->ops->config), &pax);

	if (!r)
		r = vu_export_tree(s, pax, rep);
	if (!r)
		r = vu_pax_end(pax);
	if (pax)
		rep->written = vu_pax_written(pax);
	return r;
}

int vu_ops_export(struct vu_ops *ops, const struct vu_export_options *o,
		  struct vu_export_report *ret_report)
{
	struct vu_session s = {.lock_fd = -EBADF};
	struct vu_atomic_file out = {.dir = -EBADF, .fd = -EBADF};
	char *guest = o->guest;
	uint64_t begun = vu_clock_real_ns();

	*ret_report = (struct vu_export_report){0};
	int r = vu_session_open(&s, ops, VU_SESSION_NO_CATALOG, &guest, 1);

	if (!r)
		r = open_out(ops, o, &out);
	if (!r)
		r = write_archive(&s, o, out.fd >= 0 ? out.fd : o->fd, ret_report);
	if (!r)
		r = vu_atomic_file_commit(&out);
	r = explain(ops, o, r);
	vu_atomic_file_done(&out);
	ret_report->warnings = s.warnings;
	ret_report->seconds = (double)(vu_clock_real_ns() - begun) / 1e9;
	vu_session_close(&s);
	return r;
}

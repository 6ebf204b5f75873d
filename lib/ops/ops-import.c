/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *  1. Where the new root is to be, and that nothing speaks against it.
 *  2. The archive is unpacked in a place of the pool (link/trees.h), by processes without privileges that take
 *     it apart (archive/reader.h), and this one, which believes nothing of them (archive/unpack.h). For what
 *     the pool has, empty files stand in.
 *  3. Names of objects take their places (import-link.c), and directories get what is theirs.
 *  4. syncfs(2): all of it is on disk before it has a name.
 *  5. One rename, to a name that must be free; the directory above it is synced.
 *  6. The guest is registered.
 *
 * Killed before 5: recovery removes the place. Between 5 and 6: the guest is complete, and is registered by the
 * scan that names it.
 */
#include "ops/ops-import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "db/catalog-guest.h"
#include "fs/xattr.h"
#include "ops/import-int.h"
#include "ops/recovery.h"
#include "ops/run.h"

void vu_import_report_done(struct vu_import_report *r)
{
	free(r->guest);
	free(r->path);
	*r = (struct vu_import_report){0};
}

/* Not registered yet, so nobody knows its domain but who asked for it. */
static int check_domain(struct vu_import *im)
{
	if (!strchr(im->domain, '/'))
		return 0;
	return vu_import_refuse(im, VU_OPS_USAGE, "a domain's name has no '/'", NULL);
}

static int open_all(struct vu_import *im, struct vu_run *run)
{
	int r = vu_session_open_catalog(&im->session, im->ops, VU_SESSION_WRITE);

	if (!r)
		r = check_domain(im);
	if (!r)
		r = vu_import_find_place(im);
	if (!r)
		r = vu_eviction_open(&im->eviction, &im->session);
	if (!r)
		r = vu_run_begin(&im->session, "import", im->o->dry_run, run);
	/* what earlier runs left goes away also with -n: the place of this one would be taken for it */
	if (!r)
		r = vu_recovery_before_run(&im->eviction, false);
	return r;
}

VU_DEFINE_CLEANUP_DONE(struct vu_guest, vu_guest_done)

static int register_guest(struct vu_import *im)
{
	vu_cleanup(vu_guest_done_p) struct vu_guest g = {0};
	int r = vu_session_make_guest(&im->session, &im->known, im->report->path, &g);

	if (r)
		return r;
	free(g.domain);
	g.domain = strdup(im->domain);
	if (!g.domain)
		return -ENOMEM;
	/* the number of a root that was removed may have come again */
	r = g.id ? vu_catalog_guest_update(im->session.catalog, &g)
		 : vu_catalog_guest_add(im->session.catalog, &g);
	if (r)
		return vu_session_catalog_failed(&im->session, r);
	im->report->guest = vu_take_ptr(g.name);
	return 0;
}

static int make_guest(struct vu_import *im)
{
	int r = vu_import_make_place(im);

	if (!r)
		r = vu_import_know(im);
	if (!r)
		r = vu_import_unpack(im);
	if (!r)
		r = vu_import_link(im);
	if (!r && !im->o->dry_run)
		r = vu_import_give_name(im);
	vu_close_p(&im->root);
	vu_close_p(&im->place_fd);
	vu_import_drop_place(im);
	return r;
}

static int explain(struct vu_import *im, int r)
{
	switch (r) {
	case -ENOSPC:
	case -EDQUOT:
		return vu_fail(im->ops, VU_OPS_NO_SPACE, "cannot import", im->o->from, strerror(-r),
			       "free some space; nothing of the new guest is left");
	case -ECANCELED:
		return vu_fail(im->ops, VU_OPS_CANCELLED, "stopped", NULL,
			       "nothing of the new guest is left", NULL);
	default:
		if (r < 0 && !im->ops->problem->what)
			return vu_fail(im->ops, r, "cannot import", im->o->from, NULL,
				       "nothing of the new guest is left");
		return r;
	}
}

static void close_all(struct vu_import *im)
{
	vu_import_forget(im);
	vu_unpack_free(im->unpack);
	vu_moment_env_done(&im->moment);
	vu_eviction_close(&im->eviction);
	vu_guests_done(&im->known);
	vu_close_p(&im->above_fd);
	free(im->above);
	vu_session_close(&im->session);
}

static void tell_left_out(struct vu_import *im)
{
	if (im->report->unpacked.xattrs_left_out)
		vu_emit(&im->session.counting,
			&(struct vu_event){
				.kind = VU_EVENT_WARN,
				.guest = im->base,
				.text = "attributes of the archive were left out: only user.*, ACLs and "
					"file capabilities are taken"});
}

int vu_ops_import(struct vu_ops *ops, const struct vu_import_options *o,
		  struct vu_import_report *ret_report)
{
	struct vu_import im = {
		.ops = ops,
		.o = o,
		.report = ret_report,
		.session = {.lock_fd = -EBADF},
		.domain = o->domain ? o->domain : "",
		.above_fd = -EBADF,
		.place_fd = -EBADF,
		.root = -EBADF,
	};
	struct vu_run run = {0};

	*ret_report = (struct vu_import_report){0};
	vu_moment_env_init(&im.moment, &im.session.counting, VU_XATTR_ANY);
	im.moment.watch = &im.eviction.watch;
	int r = open_all(&im, &run), e = 0;

	if (!r) {
		r = make_guest(&im);
		if (!r && !o->dry_run)
			r = register_guest(&im);
		if (!r)
			tell_left_out(&im);
		e = vu_eviction_run(&im.eviction, false);
	}
	r = explain(&im, r ? r : e);
	ret_report->frozen = vu_freezer_stats(im.eviction.freezing.freezer);
	ret_report->warnings = im.session.warnings;
	ret_report->damages = im.session.damages;
	ret_report->seconds = vu_run_seconds(&run);
	run.unified = ret_report->names;
	run.saved_bytes = ret_report->linked_bytes;
	vu_run_end(&im.session, &run, NULL, 0, r);
	ret_report->warnings = im.session.warnings;
	close_all(&im);
	return r;
}

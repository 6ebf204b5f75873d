/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The doctor's look at the host, and at the catalog. */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "cow/filter.h"
#include "db/catalog-check.h"
#include "fs/guard.h"
#include "guest/freezable.h"
#include "link/probe.h"
#include "lsm/lsm.h"
#include "ops/doctor-int.h"
#include "ops/rebuild.h"

#define CATALOG_ROOM                                                                               \
	(UINT64_C(64) << 20) /* bytes; a catalog of a million files has about as many */

VU_DEFINE_CLEANUP_DONE(struct vu_freezable, vu_freezable_done)

static void check_kernel(struct vu_doctor *d)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		vu_doctor_find(d, VU_FINDING_WARN, "kernel", NULL, NULL,
			       "its version cannot be told");
	else if (major < 5 || (major == 5 && minor < 6))
		vu_doctor_find(d, VU_FINDING_FAIL, "kernel", NULL, "use Linux 5.6 or later",
			       "Linux %s has no openat2 with RESOLVE_BENEATH", u.release);
	else
		vu_doctor_find(d, VU_FINDING_OK, "kernel", NULL, NULL, "Linux %s", u.release);
}

static void check_capabilities(struct vu_doctor *d)
{
	_cleanup_free_ char *why = NULL;

	if (vu_probe_capable(&why))
		vu_doctor_find(d, VU_FINDING_FAIL, "capabilities", NULL,
			       "run it as root, and not in a container", "%s",
			       why ? why : "some are missing");
	else
		vu_doctor_find(d, VU_FINDING_OK, "capabilities", NULL, NULL,
			       "immutable flags and leases may be set");
}

static void check_seccomp(struct vu_doctor *d)
{
	struct vu_filter *filter = NULL;
	int r = vu_filter_new(0, VU_FILTER_DESCRIPTORS, &filter);

	if (r)
		vu_doctor_find(d, VU_FINDING_WARN, "seccomp", NULL,
			       "use Linux 5.19 or later, on x86_64 or aarch64",
			       "no notifications, so no `vunify run` and no cowd: %s",
			       strerror(-r));
	else
		vu_doctor_find(d, VU_FINDING_OK, "seccomp", NULL, NULL,
			       "notifications are there: guests can have copy-on-write");
	vu_filter_free(filter);
}

/* Nothing that is missed where it cannot be had: it is one of three ways. */
static void check_guard(struct vu_doctor *d)
{
	_cleanup_free_ char *why = NULL;
	int r = vu_guard_is_there() ? 0 : vu_lsm_probe(&why);

	if (r)
		vu_doctor_find(d, VU_FINDING_OK, "guard", NULL, NULL, "cannot be had here: %s",
			       why ? why : strerror(r < 0 ? -r : EINVAL));
	else
		vu_doctor_find(d, VU_FINDING_OK, "guard", NULL, NULL, "%s",
			       vu_guard_is_there() ? "is in force (vunify cowd --lsm)"
						   : "can be had (vunify cowd --lsm)");
}

void vu_doctor_freezer(struct vu_doctor *d)
{
	vu_cleanup(vu_freezable_done_p) struct vu_freezable f = {0};
	const struct vu_session *s = &d->session;
	_cleanup_free_ struct vu_procs_root *roots = calloc(s->guests.n + 1, sizeof(*roots));

	if (!roots) {
		d->no_memory = true;
		return;
	}
	for (size_t i = 0; i < s->guests.n; i++)
		roots[i] = (struct vu_procs_root){s->guests.v[i].dev, s->guests.v[i].ino};
	int r = vu_freezable_look(roots, s->guests.n, &f);

	if (r)
		vu_doctor_find(d, VU_FINDING_WARN, "freezer", NULL, NULL,
			       "nobody can be frozen, so leases have to do: %s", strerror(-r));
	else if (f.all)
		vu_doctor_find(d, VU_FINDING_OK, "freezer", NULL, NULL, "%zu guests run%s",
			       f.n_running, f.n_running ? ", and can be frozen" : "");
	else
		vu_doctor_find(d, VU_FINDING_WARN, "freezer", s->guests.v[f.root].name,
			       "run each guest in a cgroup (v2) of its own",
			       "process %d cannot be frozen, so a lease has to do: %s", (int)f.pid,
			       f.why);
}

static void check_catalog_room(struct vu_doctor *d, const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	struct statvfs st;

	if (copy && !statvfs(dirname(copy), &st) &&
	    (uint64_t)st.f_bavail * st.f_frsize < CATALOG_ROOM)
		vu_doctor_find(d, VU_FINDING_WARN, "catalog", path, "free some there",
			       "less than 64 MiB are left where it is: runs could not write it");
}

void vu_doctor_catalog(struct vu_doctor *d)
{
	const char *path = d->ops->config->catalog;
	struct vu_catalog *cat = d->session.catalog;
	int r = vu_catalog_check(cat);

	if (r > 0)
		vu_doctor_find(d, VU_FINDING_FAIL, "catalog", path, VU_REBUILD_TODO,
			       "it is damaged: %s", vu_catalog_message(cat));
	else if (r)
		vu_doctor_find(d, VU_FINDING_FAIL, "catalog", path, NULL, "it cannot be read: %s",
			       strerror(-r));
	else
		vu_doctor_find(d, VU_FINDING_OK, "catalog", path, NULL, "whole");
	check_catalog_room(d, path);
}

void vu_doctor_host(struct vu_doctor *d)
{
	check_kernel(d);
	check_capabilities(d);
	check_seccomp(d);
	check_guard(d);
}

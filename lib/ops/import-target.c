/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/iattr.h"
#include "ops/farm.h"
#include "ops/import-int.h"
#include "ops/locate.h"
#include "ops/new-guest.h"

int vu_import_refuse(struct vu_import *im, int code, const char *why, const char *todo)
{
	return vu_fail(im->ops, code, "cannot make the guest",
		       im->report->path ? im->report->path : im->o->name, why, todo);
}

/* A bare name says nothing about where: a directory has to. */
static int name_path(struct vu_import *im)
{
	const char *name = im->o->name, *in = im->o->in;
	_cleanup_free_ char *path = NULL;

	if (in && strchr(name, '/'))
		return vu_import_refuse(im, VU_OPS_USAGE, "with --in it is a name, and has no '/'",
					NULL);
	if (!in && !strchr(name, '/'))
		return vu_import_refuse(im, VU_OPS_USAGE, "a name alone does not say where",
					"name the directory by --in DIR, or give a path");
	if (in && !vu_guest_name_ok(name))
		return vu_import_refuse(im, VU_OPS_USAGE,
					"a guest's name is not empty, has no '/', and at most 255 "
					"bytes",
					NULL);
	if (asprintf(&path, "%s%s%s", in ? in : "", in ? "/" : "", name) < 0)
		return (path = NULL, -ENOMEM);
	im->report->path = vu_locate_absolute(path);
	if (!im->report->path)
		return vu_import_refuse(im, -errno, NULL,
					"make the directory that it is to lie in");
	im->base = strrchr(im->report->path, '/') + 1;
	im->above = strndup(im->report->path, (size_t)VU_MAX(im->base - im->report->path - 1, 1));
	return im->above ? 0 : -ENOMEM;
}

static int check_name(struct vu_import *im)
{
	if (!*im->base || !strcmp(im->base, ".") || !strcmp(im->base, ".."))
		return vu_import_refuse(im, VU_OPS_USAGE, "that is no name for a new directory",
					NULL);
	return vu_new_guest_check(im->ops, &im->known, im->o->in ? im->o->name : NULL,
				  im->report->path, im->above_fd, im->base);
}

/* What a rename out of the pool would be refused for in the end. */
static int check_mount(struct vu_import *im)
{
	uint32_t there = 0, pool = 0;
	struct vu_stat st;
	int r = vu_stat_fd(im->above_fd, &st);

	if (!r && st.version.dev != vu_pool_dev(im->pool))
		return vu_import_refuse(im, VU_OPS_REFUSED,
					"it is in another subvolume than the top of its mount, and "
					"hard links do not cross subvolumes",
					"name a place in the same subvolume");
	if (!r)
		r = vu_iattr_project(im->above_fd, &there);
	if (!r)
		r = vu_iattr_project(vu_pool_fd(im->pool), &pool);
	if (!r && there != pool)
		return vu_import_refuse(im, VU_OPS_REFUSED,
					"what is made there is accounted to a project (project "
					"quota), and nothing can be linked into another project",
					"name a place without one");
	return r ? vu_import_refuse(im, r, NULL, NULL) : 0;
}

int vu_import_find_place(struct vu_import *im)
{
	uint8_t fs = 0;
	int r = name_path(im);

	if (r)
		return r;
	im->above_fd = open(im->above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (im->above_fd < 0)
		return vu_import_refuse(im, -errno, NULL,
					"make the directory that it is to lie in");
	r = vu_session_known_guests(&im->session, &im->known);
	if (!r)
		r = check_name(im);
	if (!r)
		r = vu_session_make_pool(&im->session, im->above_fd, &fs);
	if (r)
		return r;
	im->pool = im->session.fs[fs].pool;
	return check_mount(im);
}

int vu_import_make_place(struct vu_import *im)
{
	int r = vu_trees_name(VU_TREE_MADE, 0, im->place);

	im->place_fd = r ? r : vu_trees_make(im->pool, im->place);
	if (im->place_fd < 0) {
		im->place[0] = 0;
		return im->place_fd;
	}
	if (mkdirat(im->place_fd, "root", 0700))
		return -errno;
	im->root = openat(im->place_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return im->root < 0 ? -errno : 0;
}

int vu_import_give_name(struct vu_import *im)
{
	int r = vu_pool_sync(im->pool);

	if (r)
		return r;
	if (renameat2(im->place_fd, "root", im->above_fd, im->base, RENAME_NOREPLACE)) {
		r = -errno;
		return vu_import_refuse(im,
					r == -EEXIST		       ? VU_OPS_USAGE
					: r == -EXDEV		       ? VU_OPS_REFUSED
					: r == -ENOSPC || r == -EDQUOT ? VU_OPS_NO_SPACE
								       : r,
					r == -EEXIST ? "there is something by now" : strerror(-r),
					"nothing of the new guest is left");
	}
	return fsync(im->above_fd) ? -errno : 0;
}

void vu_import_drop_place(struct vu_import *im)
{
	struct vu_rmtree_stats stats = {0};
	struct vu_rmtree_env env = {
		.pool = im->pool,
		.objects = &im->objects,
		.moment = &im->moment,
		.jobs = vu_farm_jobs(im->ops->config),
	};

	if (*im->place && vu_trees_remove(&env, im->place, &stats))
		vu_emit(&im->session.counting,
			&(struct vu_event){
				.kind = VU_EVENT_WARN,
				.text = "what was made of the new guest could not be removed from "
					"the pool: `vunify recover`, or the next run, does it"});
	im->place[0] = 0;
}

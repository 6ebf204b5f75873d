/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/supervised-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "link/dirs.h"
#include "link/recover.h"
#include "ops/cow-mark.h"
#include "ops/farm.h"
#include "ops/ops-recover.h"
#include "ops/recovery.h"

struct vu_pool *vu_supervised_pool(const struct vu_supervised *s)
{
	return s->session.fs[s->session.guest_fs[0]].pool;
}

/* What a run that was killed has left is put right; while a linker works, that has done it. */
static int recover(struct vu_supervised *s)
{
	struct vu_recover_report report = {0};
	bool needed = false;
	int r = vu_session_find_pools(&s->session);

	for (size_t i = 0; !r && i < s->session.n_fs; i++)
		if (s->session.fs[i].pool)
			needed = needed || vu_recover_is_needed(s->session.fs[i].pool) == 1;
	if (r || !needed)
		return r;
	r = vu_ops_recover(s->ops, &(struct vu_recover_options){0}, &report);
	if (r == VU_OPS_LOCKED) {
		vu_problem_done(s->ops->problem);
		r = 0;
	}
	return r;
}

struct counting {
	struct vu_inomap n; /* names of each object in the guest */
	struct vu_names *names;
	int root; /* borrowed */
};

static int count_name(struct counting *c, uint64_t ino)
{
	uint32_t n = 0;

	vu_inomap_get(&c->n, ino, &n);
	return vu_inomap_set(&c->n, ino, n + 1);
}

static int add_name(struct counting *c, const struct vu_tree *t, const struct vu_unified_name *name)
{
	uint32_t n = 0;

	if (!vu_inomap_get(&c->n, name->ino, &n) || n < 2)
		return 0;
	_cleanup_free_ char *path = vu_tree_unified_path(t, name);

	if (!path)
		return -ENOMEM;
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = 0;
	_cleanup_fd_ int dir =
		vu_dirs_open_path(c->root, slash ? path : "", O_PATH | O_DIRECTORY | O_NOFOLLOW);

	/* it has moved meanwhile */
	if (dir == -ENOENT || dir == -ENOTDIR || dir == -ELOOP)
		return 0;
	return dir < 0 ? dir : vu_names_add(c->names, name->ino, dir, slash ? slash + 1 : path);
}

int vu_supervised_find_names(struct vu_supervised *s)
{
	struct vu_farm farm = {0};

	vu_names_free(s->names);
	s->names = vu_names_new(vu_pool_fd(vu_supervised_pool(s)), s->root, VU_NAMES_MAX);
	if (!s->names)
		return -ENOMEM;
	struct counting c = {.names = s->names, .root = s->session.root_fds[0]};
	int r = vu_farm_open(&farm, &s->session, 0);

	if (!r)
		r = vu_farm_walk(&farm);
	for (uint32_t i = 0; !r && i < farm.tree->unified.n; i++)
		r = count_name(&c, vu_tree_unified(farm.tree, i)->ino);
	for (uint32_t i = 0; !r && i < farm.tree->unified.n; i++)
		r = add_name(&c, farm.tree, vu_tree_unified(farm.tree, i));
	vu_inomap_done(&c.n);
	vu_farm_close(&farm);
	return r;
}

/* Where the guest's root is now: by the mount that the pool is on. */
static int read_root(struct vu_supervised *s)
{
	char name[32], path[PATH_MAX];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", s->session.root_fds[0]);
	ssize_t n = readlink(name, path, sizeof(path) - 1);

	if (n < 0)
		return -errno;
	path[n] = 0;
	s->root = strdup(path);
	return s->root ? 0 : -ENOMEM;
}

static int open_all(struct vu_supervised *s)
{
	char *const operands[] = {s->guest, NULL};

	/* nobody can be frozen while he waits for the answer to a call of his own */
	if (s->ops->config->moment == VU_MOMENT_FREEZE)
		return vu_fail(s->ops, VU_OPS_REFUSED, "cannot run a command with copy-on-write",
			       s->guest, "moment = freeze allows no moments under a lease alone",
			       "set moment = auto");
	int r = vu_session_open(&s->session, s->ops, VU_SESSION_NO_CATALOG, operands, 1);

	if (!r)
		r = recover(s);
	if (!r)
		r = vu_session_share_pools(&s->session);
	if (!r)
		r = read_root(s);
	if (!r)
		r = vu_eviction_open(&s->eviction, &s->session);
	return r;
}

int vu_supervised_open(struct vu_supervised *s, struct vu_ops *ops, char *guest, const char *how)
{
	*s = VU_SUPERVISED_NONE;
	s->ops = ops;
	s->guest = guest;
	int r = open_all(s);

	if (!r && vu_supervised_pool(s)) {
		/* for who asks: without it nothing is less safe */
		s->mark = vu_cow_mark_take(ops->config->lock_dir, s->root, how);
		r = vu_supervised_find_names(s);
	}
	return r;
}

int vu_supervised_live(struct vu_supervised *s)
{
	/* who is supervised tells before he opens, so nobody is frozen for it */
	s->watch = s->eviction.watch;
	s->watch.freezer = NULL;
	s->watch.parking = NULL;
	vu_broken_log_init(&s->log, s->ops, &s->session.counting, s->session.guests.v[0].id);
	s->budget = (struct vu_budget){.breaks = s->ops->config->max_cow_breaks,
				       .bytes = s->ops->config->max_cow_bytes};
	s->live_env = (struct vu_live_env){
		.pool = vu_supervised_pool(s),
		.guests = &s->session.guests,
		.root_fds = s->session.root_fds,
		.max_xattr_bytes = s->ops->config->max_xattr_bytes,
		.sink = &s->log.sink,
		.watch = &s->watch,
	};
	return vu_live_new(&s->live_env, &s->live);
}

int vu_supervised_start(struct vu_supervised *s, int listener, _Atomic uint32_t *limited,
			struct vu_notify_slot *slots)
{
	int r = vu_supervised_live(s);

	if (r)
		return r;
	s->supervisor_env = (struct vu_supervisor_env){
		.listener = listener,
		.live = s->live,
		.pool = vu_supervised_pool(s),
		.root = s->root,
		.root_fd = s->session.root_fds[0],
		.guest = 0,
		.threads = VU_SUPERVISED_THREADS,
		.may_act = limited != NULL,
		.limited = limited,
		.names = s->names,
		.budget = &s->budget,
		.slots = slots,
	};
	return vu_supervisor_new(&s->supervisor_env, &s->supervisor);
}

/* Somebody got an object open for writing: his is told apart from the others' at once. */
void vu_supervised_look(struct vu_supervised *s)
{
	struct vu_recover_report report = {0};
	struct vu_live_stats stats;

	if (!s->live)
		return;
	vu_broken_log_look(&s->log);
	vu_live_stats(s->live, &stats);
	if (stats.slips == s->slips)
		return;
	s->slips = stats.slips;
	/* where a linker is at work it does that, at its end */
	(void)vu_ops_recover(s->ops, &(struct vu_recover_options){0}, &report);
	vu_problem_done(s->ops->problem);
}

void vu_supervised_close(struct vu_supervised *s, struct vu_supervised_report *ret)
{
	*ret = (struct vu_supervised_report){0};
	if (s->supervisor)
		vu_supervisor_stats(s->supervisor, &ret->calls);
	s->supervisor = vu_supervisor_free(s->supervisor);
	if (s->live)
		vu_live_stats(s->live, &ret->broken);
	s->live = vu_live_free(s->live);
	vu_broken_log_done(&s->log);
	s->names = vu_names_free(s->names);
	free(s->root);
	s->root = NULL;
	vu_close_p(&s->mark);
	s->mark = -EBADF;
	vu_eviction_close(&s->eviction);
	ret->warnings = s->session.warnings;
	ret->damages = s->session.damages;
	vu_session_close(&s->session);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FIDEDUPERANGE (Linux 4.5) compares and shares under the kernel's locks: a write at the same time
 * either comes before the comparison (FILE_DEDUPE_RANGE_DIFFERS) or after the sharing (and is copied
 * away from it). The target may be open read-only for root (since 4.19). Content, times and everything
 * else stay as they are. The last block, if it is not a whole one, can be shared only up to the end of
 * both files, which are of one size. At most 16 MiB are taken at a time (btrfs's limit).
 */
#include "link/reflink.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "base/stop.h"
#include "fs/beneath.h"
#include "link/target.h"

#define STEP (UINT64_C(16) << 20)

struct share {
	struct vu_linkrun run;
	_Atomic uint32_t next; /* object */
};

/* Shares one range. Returns the bytes that were shared; -ESTALE when they differ; or errno. */
static int64_t share_range(int from, int to, uint64_t at, uint64_t len)
{
	_Alignas(struct file_dedupe_range) char room[sizeof(struct file_dedupe_range) +
						     sizeof(struct file_dedupe_range_info)] = {0};
	struct file_dedupe_range *d = (void *)room;

	d->src_offset = at;
	d->src_length = len;
	d->dest_count = 1;
	d->info[0].dest_fd = to;
	d->info[0].dest_offset = at;
	if (ioctl(from, FIDEDUPERANGE, d))
		return -errno;
	if (d->info[0].status == FILE_DEDUPE_RANGE_DIFFERS)
		return -ESTALE;
	if (d->info[0].status < 0)
		return d->info[0].status;
	return (int64_t)d->info[0].bytes_deduped;
}

static int share_all(int from, int to, uint64_t size, uint64_t *ret_bytes)
{
	uint64_t at = 0;

	while (at < size) {
		int64_t n = share_range(from, to, at, VU_MIN(STEP, size - at));

		if (n < 0)
			return (int)n;
		if (!n)
			break; /* no whole block is left */
		at += (uint64_t)n;
	}
	*ret_bytes = at;
	return 0;
}

static int open_recorded(struct vu_linkrun *run, struct vu_dirs *dirs, uint32_t inode)
{
	const struct vu_tree *t = run->env->tree;
	const struct vu_inode *n = vu_tree_inode(t, inode);
	const struct vu_name *name;
	struct vu_dirh *dir;
	struct vu_stat st;

	if (n->first_name == VU_NONE)
		return -ESTALE;
	name = vu_tree_name(t, n->first_name);
	int r = vu_dirs_get(dirs, name->dir, &dir);

	if (r)
		return r;
	_cleanup_fd_ int fd = vu_regular_open(dir->fd, vu_tree_text(t, name->name), &st);

	vu_dirh_unref(dir);
	if (fd >= 0 && !vu_target_is_recorded(run, n, &st))
		return -ESTALE;
	return vu_take_fd(fd);
}

static int open_keeper(struct vu_linkrun *run, struct vu_dirs *dirs, const struct vu_plan_object *p)
{
	if (!p->keeper_is_object)
		return open_recorded(run, dirs, p->keeper);
	return run->env->pools && run->env->pools[p->fs]
		       ? vu_pool_object_open(run->env->pools[p->fs], &p->key)
		       : -ENOENT;
}

static void tell_unify(struct vu_linkrun *run, uint32_t inode)
{
	const struct vu_inode *n = vu_tree_inode(run->env->tree, inode);

	for (uint32_t i = n->first_name; i != VU_NONE; i = vu_tree_name(run->env->tree, i)->next) {
		_cleanup_free_ char *path = vu_tree_name_path(run->env->tree, i);

		vu_moment_emit(&run->moment, &(struct vu_event){
						     .kind = VU_EVENT_UNIFY,
						     .guest = run->env->guests->v[n->guest].name,
						     .path = path,
						     .size = n->size,
					     });
	}
}

static int share_target(struct vu_linkrun *run, struct vu_dirs *dirs, int from, uint32_t inode)
{
	struct vu_inode *n = vu_tree_inode(run->env->tree, inode);
	_cleanup_fd_ int to = open_recorded(run, dirs, inode);
	struct vu_stat st;
	uint64_t bytes = 0;
	int r = to < 0 ? to : share_all(from, to, n->size, &bytes);

	if (!r)
		r = vu_stat_fd(to, &st);
	if (r) {
		enum vu_skip why = vu_target_skip_of(r);

		if (!why)
			return r;
		vu_target_skip(run, inode, why, r);
		return 0;
	}
	n->ctime_ns = st.version.ctime_ns;
	n->mtime_ns = st.version.mtime_ns;
	n->skip = VU_SKIP_REFLINKED;
	uint32_t n_names = vu_tree_count_names(run->env->tree, n);

	__atomic_fetch_add(&run->stats->names, n_names, __ATOMIC_RELAXED);
	__atomic_fetch_add(&run->stats->inodes, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&run->stats->bytes, bytes, __ATOMIC_RELAXED);
	if (run->env->progress)
		vu_progress_add(run->env->progress, n_names, 0);
	tell_unify(run, inode);
	return 0;
}

static int share_object(struct vu_linkrun *run, struct vu_dirs *dirs,
			const struct vu_plan_object *p)
{
	const uint32_t *targets = run->plan->targets + p->first;
	_cleanup_fd_ int from = open_keeper(run, dirs, p);
	uint32_t i = 0;
	int r = 0;

	/* a keeper that is not what it was: the first target that still is takes its place */
	while (from < 0 && i < p->n) {
		if (!i && !p->keeper_is_object)
			vu_target_skip(run, p->keeper, VU_SKIP_CHANGED, from);
		from = open_recorded(run, dirs, targets[i]);
		if (from < 0)
			vu_target_skip(run, targets[i], VU_SKIP_CHANGED, from);
		i++;
	}
	for (; !r && from >= 0 && i < p->n; i++)
		r = share_target(run, dirs, from, targets[i]);
	struct vu_inode *keeper = vu_tree_inode(run->env->tree, p->keeper);

	if (!r && from >= 0 && !p->keeper_is_object && !keeper->skip)
		keeper->skip = VU_SKIP_REFLINKED;
	return r;
}

static int work(void *arg, unsigned worker)
{
	struct share *s = arg;
	const struct vu_plan *p = s->run.plan;
	struct vu_dirs dirs;
	int r = vu_dirs_init(&dirs, s->run.env->tree, s->run.env->guests, s->run.env->root_fds, 8);

	(void)worker;
	while (!r && !s->run.error) {
		uint32_t i = atomic_fetch_add(&s->next, 1);

		if (i >= p->n_objects)
			break;
		r = vu_stop_requested() ? -ECANCELED : share_object(&s->run, &dirs, &p->objects[i]);
	}
	if (r && !s->run.error)
		s->run.error = r;
	vu_dirs_done(&dirs);
	return r;
}

int vu_reflink_run(const struct vu_linker_env *env, const struct vu_plan *plan,
		   struct vu_linker_stats *ret)
{
	struct share s = {.run = {.env = env, .plan = plan, .stats = ret}};

	*ret = (struct vu_linker_stats){0};
	s.run.told_cross = calloc(env->guests->n + 1, 1);
	if (!s.run.told_cross)
		return -ENOMEM;
	vu_moment_env_init(&s.run.moment, env->sink, env->max_xattr_bytes);
	pthread_mutex_init(&s.run.told_lock, NULL);
	int r = vu_crew_run(env->jobs ? env->jobs : 1, work, &s);

	pthread_mutex_destroy(&s.run.told_lock);
	vu_moment_env_done(&s.run.moment);
	free(s.run.told_cross);
	return r ? r : s.run.error;
}

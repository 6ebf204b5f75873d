/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link protocol. What is relied on was measured on Linux 6.18 with ext4, XFS and btrfs.
 *
 * A batch is some objects of the plan, as many as there are descriptors for, worked on by one worker:
 *
 *  0. Before the first batch one syncfs(2): what was read is on disk before it becomes an object, whose
 *     flag says from then on that it is what its name says.
 *  1. Objects. Each keeper is opened and leased: an object of the pool, or a private inode that is
 *     taken over (link/adopt.c): name in the pool, flag, verification.
 *  2. Intents. One journal line for each name to be moved; then one syncfs(2): the objects' data and
 *     metadata, the pool's directories and the journal are on disk before the first guest's name
 *     points at an object of another.
 *  3. Names. For each object: some targets are opened (beneath the root, nothing but regular files),
 *     leased, compared with what was read. Then a moment (link/moment.c): flag off; for each name a
 *     temporary name of the object in the stage, exchanged with the guest's, and what came out looked
 *     at (link/target.c); flag on.
 *  4. What was replaced waits in the stage for the grace time with its lease held, is looked at again,
 *     and is freed or put back (link/reaper.c). In the last batches the directories' mtimes are put back meanwhile,
 *     and once more where something was put back after that.
 *  5. When nothing of the batch is left in the stage, the journal is emptied.
 *
 * All names of one inode move together, or none; nothing is freed before the last has moved. So the
 * guest's own hard links stay exactly what they were.
 *
 * Killed, or power lost (every path is the old or the new file, of equal content):
 *
 *   in 1   an object without a flag or without a second guest: recovery compares it with its key
 *   in 2   nothing has been done yet
 *   in 3   temporary names of objects: removed. Temporary names of private inodes: their journal line
 *          says where they come from; equal to the object, idle, and all names moved: removed, else
 *          exchanged back. An object without its flag: compared, and flagged again
 *   in 4   the same
 *   in 5   a journal whose temporary names are gone: emptied
 *
 * The exchange is on disk before the removal of what it replaced: both change the same file system,
 * whose journal keeps the order of metadata. Recovery is link/recover.c; it needs no catalog.
 *
 * One linker works on a pool at a time (its lock). Beside it links may be broken by others (link/claim.h):
 * an object that one of them has claimed is skipped, and they wait for those of the batch at work.
 */
#include "link/linker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "base/stop.h"
#include "link/adopt.h"
#include "link/batch.h"
#include "link/target.h"

#define QUOTA_MIN 24 /* descriptors with which a worker gets along */

struct share {
	struct vu_linkrun run;
	uint32_t *order; /* owned; objects by file system, else as in the plan */
	uint32_t next;	 /* the first that nobody has taken */
	pthread_mutex_t lock;
	unsigned jobs;
	unsigned quota; /* descriptors for one worker */
};

/* Half of what the process may open, for all workers together. */
static void deal_descriptors(struct share *s, unsigned jobs)
{
	struct rlimit l;
	uint64_t half = 512;

	if (!getrlimit(RLIMIT_NOFILE, &l))
		half = l.rlim_cur == RLIM_INFINITY ? 100000 : l.rlim_cur / 2;
	s->jobs = jobs ? jobs : 1;
	if (s->jobs > half / QUOTA_MIN)
		s->jobs = (unsigned)VU_MAX(half / QUOTA_MIN, 1);
	s->quota = (unsigned)VU_MAX(VU_MIN(half / s->jobs, 16384), QUOTA_MIN);
}

/* Objects of one file system stand together: a batch has one stage, one journal, one sync. */
static int make_order(struct share *s)
{
	const struct vu_plan *p = s->run.plan;
	uint32_t n = 0, n_fs = 0;

	s->order = reallocarray(NULL, (size_t)p->n_objects + 1, sizeof(*s->order));
	if (!s->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_objects; i++)
		n_fs = VU_MAX(n_fs, p->objects[i].fs + UINT32_C(1));
	for (uint32_t fs = 0; fs < n_fs; fs++)
		for (uint32_t i = 0; i < p->n_objects; i++)
			if (p->objects[i].fs == fs)
				s->order[n++] = i;
	return 0;
}

/* Takes the next objects, all of one file system; none are left: 0. */
static uint32_t take(struct share *s, uint32_t most, uint32_t *ret_first, bool *ret_last)
{
	const struct vu_plan *p = s->run.plan;
	uint32_t n = 0;

	pthread_mutex_lock(&s->lock);
	uint32_t left = p->n_objects - s->next;

	/* towards the end smaller shares, so that all workers end at the same time */
	most = VU_MIN(most, VU_MAX(left / (2 * s->jobs), UINT32_C(64)));
	*ret_first = s->next;
	while (n < most && n < left &&
	       p->objects[s->order[s->next + n]].fs == p->objects[s->order[s->next]].fs)
		n++;
	s->next += n;
	*ret_last = s->next == p->n_objects;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static int work(void *arg, unsigned i)
{
	struct share *s = arg;
	struct vu_batch b;
	uint32_t first, n = 0;
	bool last;
	int r = vu_batch_init(&b, &s->run, i, s->quota);

	while (!r && !s->run.error && !vu_stop_requested()) {
		n = take(s, vu_batch_size(&b), &first, &last);
		if (!n)
			break;
		r = vu_batch_run(&b, s->order + first, n, last);
	}
	if (r && !s->run.error)
		s->run.error = r;
	if (r && n)
		__atomic_store_n(&s->run.stats->stopped_at, b.fs + UINT32_C(1), __ATOMIC_RELAXED);
	int e = vu_batch_done(&b);

	return r ? r : e;
}

static int run_all(struct share *s)
{
	const struct vu_plan *p = s->run.plan;
	int r = make_order(s);

	/*
	 * What was read is on disk before any of it becomes an object: recovery believes one that has
	 * its flag, and XFS and btrfs log the flag of a file whose pages are not written yet. Besides,
	 * setting the flag waits for these on ext4; all at once they cost a fraction of that.
	 */
	for (uint32_t i = 0; !r && i < p->n_objects; i++)
		if (!i || p->objects[s->order[i]].fs != p->objects[s->order[i - 1]].fs)
			r = vu_pool_sync(s->run.env->pools[p->objects[s->order[i]].fs]);
	if (!r && p->n_objects)
		r = vu_crew_run(s->jobs, work, s);
	vu_touched_restore(&s->run.touched, s->run.env->tree, s->run.env->guests,
			   s->run.env->root_fds, s->run.env->sink);
	if (s->run.unsettled) /* why is told with each file */
		vu_moment_emit(&s->run.moment,
			       &(struct vu_event){
				       .kind = VU_EVENT_WARN,
				       .text = "a file could not be put back, or its replacement "
					       "not be ended: `vunify recover`, or the next run, "
					       "does it"});
	if (!r)
		r = s->run.error;
	if (!r && s->next < p->n_objects)
		r = -ECANCELED;
	return r;
}

int vu_linker_run(const struct vu_linker_env *env, const struct vu_plan *plan,
		  struct vu_linker_stats *ret)
{
	struct share s = {.run = {.env = env, .plan = plan, .stats = ret}};
	int r = 0;

	*ret = (struct vu_linker_stats){0};
	s.run.told_cross = calloc(env->guests->n + 1, 1);
	if (!s.run.told_cross)
		return -ENOMEM;
	if (getrandom(&s.run.prefix, sizeof(s.run.prefix), 0) != sizeof(s.run.prefix))
		r = -EIO;
	vu_moment_env_init(&s.run.moment, env->sink, env->max_xattr_bytes);
	s.run.moment.watch = env->watch;
	int e = vu_touched_init(&s.run.touched, env->tree->dirs.n);

	r = r ? r : e;
	pthread_mutex_init(&s.run.told_lock, NULL);
	pthread_mutex_init(&s.lock, NULL);
	deal_descriptors(&s, env->jobs);
	if (!r)
		r = run_all(&s);
	ret->dirs_changed_ns = s.run.touched.changed_ns;
	ret->interrupted = s.run.moment.stats.interrupted;
	ret->slips = s.run.moment.stats.slips;
	ret->put_right = s.run.moment.stats.put_right;
	pthread_mutex_destroy(&s.lock);
	pthread_mutex_destroy(&s.run.told_lock);
	vu_touched_done(&s.run.touched);
	vu_moment_env_done(&s.run.moment);
	free(s.run.told_cross);
	free(s.order);
	return r;
}

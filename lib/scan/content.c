/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups are dealt by a counter: those that are much work first, the most before all, so that the
 * threads end together; then the many small ones in the order of the walk.
 *
 * Small files are read whole, one after the other, and compared with the contents that the group had
 * so far, of which some are kept in memory. What is compared is chosen by a fingerprint of head,
 * middle and tail; where many share that (somebody may have made them so) only a few are compared,
 * and then the digest decides. So no group takes quadratic time.
 *
 * Large files are read side by side, chunk by chunk: the first one is hashed, the others are compared
 * with it. Those that differ come round again, behind a new first one; after some rounds all that are
 * left are hashed one by one. So in the common case each byte is read once, nothing depends on the
 * page cache, and no file is read more than ROUNDS + 1 times.
 */
#include "scan/content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "base/stop.h"
#include "fs/stat.h"
#include "scan/content-file.h"

#define SMALL_BYTES ((uint64_t)64 << 10) /* files up to this size are read whole */
#define CHUNK_BYTES ((size_t)128 << 10)
#define CACHE_BYTES ((size_t)256 << 10) /* contents kept in memory, by one thread */
#define CLASSES 1024			/* at most so many of them */
#define SLOTS ((size_t)2 * CLASSES)	/* a power of two */
#define COMPARES 4			/* of one file with contents of the same fingerprint */
/* opening and closing a file takes as long as reading so much */
#define FILE_BYTES (UINT64_C(16) << 10)
#define LITTLE_BYTES (UINT64_C(2) << 20) /* a group that is less work than that */
#define SIDE_BY_SIDE 32			 /* files that are compared with one at the same time */
#define ROUNDS 4
#define READERS_PER_JOB 8
#define WALK_FDS 64 /* left to the rest of the process */

/* A content of the group that is kept in memory. */
struct class
{
	uint64_t print;
	uint32_t content;
	uint32_t at;	/* in the cache */
	uint32_t group; /* number of the group + 1: others' slots are free */
};

struct job {
	const struct vu_content_env *env;
	struct vu_tree *t;
	const struct vu_groups *groups;
	uint32_t *order; /* owned; groups, largest first */
	uint64_t *devs;	 /* owned; of the guests' roots */
	int self_fd;	 /* owned */
	pthread_mutex_t sink_lock;
	pthread_mutex_t stats_lock;
	struct vu_content_stats stats;
	_Atomic uint32_t next;
	_Atomic int error;
	size_t side; /* SIDE_BY_SIDE, or fewer where descriptors are scarce */
};

/* What one thread works with. */
struct worker {
	struct vu_content_reader c;
	char *buf;   /* owned; two chunks */
	char *cache; /* owned */
	size_t cached;
	struct class *slot; /* owned */
	unsigned n_class;
	uint32_t group;		      /* number + 1 */
	struct vu_content_file *file; /* owned; side + 1 */
	uint32_t *todo;		      /* owned; VU_GROUP_MAX inodes */
	size_t n_todo;
	size_t side;
};

static int digest_intern(struct worker *w, uint64_t size, uint32_t *ret_content)
{
	struct vu_digest d;
	int r = vu_hash_end(w->c.hash, d.b);

	w->c.stats.n_hashed++;
	w->c.stats.bytes_hashed += size;
	return r ? r : vu_tree_content_intern(w->c.t, &d, ret_content);
}

/* ---- small files ---- */

static uint64_t print_of(const char *p, size_t n)
{
	uint64_t head = 0, mid = 0, tail = 0, h;

	if (n < sizeof(head)) {
		memcpy(&head, p, n);
	} else {
		memcpy(&head, p, sizeof(head));
		memcpy(&mid, p + (n - sizeof(mid)) / 2, sizeof(mid));
		memcpy(&tail, p + n - sizeof(tail), sizeof(tail));
	}
	h = head * UINT64_C(0x9e3779b97f4a7c15) ^ mid * UINT64_C(0xbf58476d1ce4e5b9) ^
	    tail * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 32;
}

static void class_add(struct worker *w, struct class *free_slot, uint64_t print, const char *p,
		      size_t n, uint32_t content)
{
	if (w->n_class == CLASSES || w->cached + n > CACHE_BYTES)
		return;
	memcpy(w->cache + w->cached, p, n);
	*free_slot = (struct class){
		.print = print,
		.content = content,
		.at = (uint32_t)w->cached,
		.group = w->group,
	};
	w->cached += n;
	w->n_class++;
}

/* The content number of n bytes at p. */
static int class_find(struct worker *w, const char *p, size_t n, uint32_t *ret_content)
{
	uint64_t print = print_of(p, n);
	size_t i = print & (SLOTS - 1);
	unsigned compares = 0;

	for (; w->slot[i].group == w->group; i = (i + 1) & (SLOTS - 1)) {
		const struct class *k = &w->slot[i];

		if (k->print != print || compares == COMPARES)
			continue;
		compares++;
		if (!memcmp(w->cache + k->at, p, n)) {
			*ret_content = k->content;
			return 0;
		}
	}
	vu_hash_begin(w->c.hash);
	vu_hash_add(w->c.hash, p, n);
	int r = digest_intern(w, n, ret_content);

	if (!r)
		class_add(w, &w->slot[i], print, p, n, *ret_content);
	return r;
}

static int small_one(struct worker *w, uint32_t inode, size_t size)
{
	struct vu_content_file f;
	uint32_t content;
	int r = vu_content_open(&w->c, inode, &f);

	if (!r)
		r = vu_content_read(&w->c, &f, w->buf, size, 0);
	if (r)
		return r < 0 ? r : 0;
	r = class_find(w, w->buf, size, &content);
	if (r)
		vu_content_close(&f);
	else
		vu_content_settle(&w->c, &f, content);
	return r;
}

static int small_group(struct worker *w, uint64_t size)
{
	int r = 0;

	w->cached = 0;
	w->n_class = 0;
	for (size_t i = 0; !r && i < w->n_todo; i++)
		r = vu_stop_requested() ? -ECANCELED : small_one(w, w->todo[i], (size_t)size);
	return r;
}

/* ---- large files ---- */

/* Opens up to max of the files still to be done; *ret_n are open. */
static int side_open(struct worker *w, size_t max, size_t *ret_n)
{
	size_t n = 0, at = 0;
	int r = 0;

	for (; r >= 0 && n < max && at < w->n_todo; at++) {
		r = vu_content_open(&w->c, w->todo[at], &w->file[n]);
		n += r == 0;
	}
	w->n_todo -= at;
	memmove(w->todo, w->todo + at, w->n_todo * sizeof(*w->todo));
	*ret_n = n;
	return r < 0 ? r : 0;
}

/* This one is not equal: it comes round again. */
static void drop_out(struct worker *w, struct vu_content_file *f)
{
	w->todo[w->n_todo++] = f->inode;
	vu_content_close(f);
}

/* Compares the others with len bytes at offset of the first. *dropped: there was one that differs. */
static int side_compare(struct worker *w, size_t n, size_t len, uint64_t offset, bool *dropped)
{
	char *other = w->buf + CHUNK_BYTES;
	int r = 0;

	for (size_t i = 1; r >= 0 && i < n; i++) {
		struct vu_content_file *f = &w->file[i];

		if (f->fd < 0)
			continue;
		r = vu_content_read(&w->c, f, other, len, offset);
		if (!r && memcmp(w->buf, other, len)) {
			drop_out(w, f);
			*dropped = true;
		}
	}
	return r < 0 ? r : 0;
}

/* Reads all open files to their end. Returns 0, VU_CONTENT_SKIPPED (the first failed), or an error. */
static int side_read(struct worker *w, size_t n, uint64_t size, bool *dropped)
{
	int r = 0;

	vu_hash_begin(w->c.hash);
	for (uint64_t at = 0; !r && at < size; at += CHUNK_BYTES) {
		size_t len = (size_t)VU_MIN((uint64_t)CHUNK_BYTES, size - at);

		if (vu_stop_requested())
			return -ECANCELED;
		r = vu_content_read(&w->c, &w->file[0], w->buf, len, at);
		if (r)
			return r;
		vu_hash_add(w->c.hash, w->buf, len);
		r = side_compare(w, n, len, at, dropped);
	}
	return r;
}

/* One round: the first file that is left, and those that are equal to it. */
static int large_round(struct worker *w, size_t max, uint64_t size, bool *dropped)
{
	uint32_t content = VU_NONE;
	size_t n;
	int r = side_open(w, max, &n);

	if (!r && n)
		r = side_read(w, n, size, dropped);
	if (r == VU_CONTENT_SKIPPED) {
		for (size_t i = 1; i < n; i++)
			if (w->file[i].fd >= 0)
				drop_out(w, &w->file[i]);
		*dropped = true;
		return 0;
	}
	if (!r && n)
		r = digest_intern(w, size, &content);
	for (size_t i = 0; i < n; i++)
		if (w->file[i].fd >= 0 && !r)
			vu_content_settle(&w->c, &w->file[i], content);
		else
			vu_content_close(&w->file[i]);
	return r;
}

static int large_group(struct worker *w, uint64_t size)
{
	unsigned rounds = 0;
	int r = 0;

	while (!r && w->n_todo) {
		bool dropped = false;

		r = large_round(w, rounds < ROUNDS ? w->side + 1 : 1, size, &dropped);
		rounds += dropped;
	}
	return r;
}

/* ---- threads ---- */

static int group_read(struct worker *w, const struct vu_groups *g, uint32_t i)
{
	const struct vu_inode *n = NULL;

	w->n_todo = 0;
	for (uint32_t m = g->start[i]; m < g->start[i + 1]; m++) {
		n = vu_tree_inode(w->c.t, g->member[m]);
		if (vu_group_must_read(w->c.t, n) &&
		    (!(n->flags & VU_INODE_OBJECT) || w->c.env->open_object))
			w->todo[w->n_todo++] = g->member[m];
	}
	if (!w->n_todo)
		return 0;
	w->group = i + 1;
	return n->size <= SMALL_BYTES ? small_group(w, n->size) : large_group(w, n->size);
}

static int worker_init(struct worker *w, struct job *j)
{
	w->c = (struct vu_content_reader){
		.env = j->env,
		.t = j->t,
		.devs = j->devs,
		.sink_lock = &j->sink_lock,
		.self_fd = j->self_fd,
	};
	w->side = j->side;
	w->buf = malloc(2 * CHUNK_BYTES);
	w->cache = malloc(CACHE_BYTES);
	w->slot = calloc(SLOTS, sizeof(*w->slot));
	w->file = calloc(j->side + 1, sizeof(*w->file));
	w->todo = calloc(VU_GROUP_MAX, sizeof(*w->todo));
	if (!w->buf || !w->cache || !w->slot || !w->file || !w->todo)
		return -ENOMEM;
	return vu_content_reader_init(&w->c);
}

static void worker_done(struct worker *w)
{
	free(w->buf);
	free(w->cache);
	free(w->slot);
	free(w->file);
	free(w->todo);
	vu_content_reader_done(&w->c);
}

VU_DEFINE_CLEANUP_DONE(struct worker, worker_done)

static void stats_add(struct job *j, const struct vu_content_stats *s)
{
	pthread_mutex_lock(&j->stats_lock);
	j->stats.n_read += s->n_read;
	j->stats.n_failed += s->n_failed;
	j->stats.bytes += s->bytes;
	j->stats.n_hashed += s->n_hashed;
	j->stats.bytes_hashed += s->bytes_hashed;
	pthread_mutex_unlock(&j->stats_lock);
}

static int work(void *arg, unsigned thread)
{
	struct job *j = arg;
	vu_cleanup(worker_done_p) struct worker w = {0};
	uint32_t i;
	int r = worker_init(&w, j);

	(void)thread;
	while (!r && !atomic_load(&j->error) && (i = atomic_fetch_add(&j->next, 1)) < j->groups->n)
		r = vu_stop_requested() ? -ECANCELED : group_read(&w, j->groups, j->order[i]);
	if (r)
		atomic_store(&j->error, r);
	stats_add(j, &w.c.stats);
	return r;
}

static uint64_t size_of(const struct job *j, uint32_t i)
{
	return vu_tree_inode(j->t, j->groups->member[j->groups->start[i]])->size;
}

/*
 * How much work a group is, in bytes to be read; the many that are little work are 0: they come last,
 * in the order of the walk.
 */
static uint64_t work_of(const struct job *j, uint32_t i)
{
	uint64_t n = j->groups->start[i + 1] - j->groups->start[i];
	uint64_t work = n * (size_of(j, i) + FILE_BYTES);

	return work < LITTLE_BYTES ? 0 : work;
}

static int by_work(const void *a, const void *b, void *arg)
{
	const struct job *j = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	uint64_t x = work_of(j, i), y = work_of(j, k);
	uint32_t m = j->groups->member[j->groups->start[i]];
	uint32_t n = j->groups->member[j->groups->start[k]];

	return x != y ? (x < y) - (x > y) : (m > n) - (m < n);
}

static int job_init(struct job *j, unsigned threads)
{
	const struct vu_walk_env *walk = j->env->walk;
	struct rlimit lim = {.rlim_cur = 1024};
	struct vu_stat st;
	int r = 0;

	pthread_mutex_init(&j->sink_lock, NULL);
	pthread_mutex_init(&j->stats_lock, NULL);
	j->order = malloc(((size_t)j->groups->n + 1) * sizeof(*j->order));
	j->devs = calloc(walk->n_guests + 1, sizeof(*j->devs));
	if (!j->order || !j->devs)
		return -ENOMEM;
	j->self_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (j->self_fd < 0)
		return -errno;
	for (size_t i = 0; !r && i < walk->n_guests; i++) {
		r = vu_stat_fd(walk->guests[i].root, &st);
		if (!r)
			j->devs[i] = st.version.dev;
	}
	for (uint32_t i = 0; i < j->groups->n; i++)
		j->order[i] = i;
	qsort_r(j->order, j->groups->n, sizeof(*j->order), by_work, j);
	getrlimit(RLIMIT_NOFILE, &lim);
	size_t used = WALK_FDS + 2 * walk->n_guests;
	size_t each = lim.rlim_cur > used ? (size_t)(lim.rlim_cur - used) / threads : 0;

	j->side = each < 5 ? 1 : VU_MIN(each - 3, (size_t)SIDE_BY_SIDE);
	return r;
}

static void job_done(struct job *j)
{
	free(j->order);
	free(j->devs);
	vu_close_p(&j->self_fd);
	pthread_mutex_destroy(&j->sink_lock);
	pthread_mutex_destroy(&j->stats_lock);
}

VU_DEFINE_CLEANUP_DONE(struct job, job_done)

int vu_content_run(const struct vu_content_env *env, struct vu_tree *t,
		   const struct vu_groups *groups, struct vu_content_stats *ret)
{
	vu_cleanup(job_done_p) struct job j = {
		.env = env, .t = t, .groups = groups, .self_fd = -EBADF};
	unsigned threads = env->walk->jobs > 1 ? env->walk->jobs * READERS_PER_JOB : 1;
	int r = job_init(&j, threads);

	if (r)
		return r;
	if (env->walk->progress)
		vu_progress_begin(env->walk->progress, VU_PHASE_READ, groups->n_files,
				  groups->bytes);
	if (groups->n)
		r = vu_crew_run(VU_MIN(threads, groups->n), work, &j);
	*ret = j.stats;
	return r;
}

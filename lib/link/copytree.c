/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directories are copied in the order of the tree, which is that in which they were met: each is made empty
 * when its parent is listed, opened by its path beneath both roots when its turn comes, and listed once. It
 * gets owner, mode, times and the like when nothing is put into it any more: at once, or when the names
 * in it that wait for their batch (link/naming.h), or for threads that copy, have come. So there are few
 * descriptors, and memory grows with the number of directories alone.
 *
 * Killed: the place is removed by recovery. Nothing of the guest was touched but objects, in moments.
 */
#include "link/copytree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "base/stop.h"
#include "fs/copy.h"
#include "fs/xattr.h"
#include "link/copytree-int.h"
#include "link/dirs.h"

#define OPEN_MAX 1024 /* directories with names that wait; fewer where descriptors are scarce */
/* Names that are copied together: few, as what is large is to be on its way to the disk soon. */
#define JOBS_MAX 128
#define SYNC_BYTES (UINT64_C(8) << 20)

/* ---- directories ---- */

static int finish(struct vu_copying *c, const struct vu_copydir *d)
{
	if (c->env->dry_run)
		return 0;
	int r = vu_copy_metadata(d->from, &d->st, d->to, VU_XATTR_ANY);

	if (!r && d->dir) /* the root's come with its name */
		r = vu_copy_locks(&d->st, d->to);
	return r > 0 ? -E2BIG : r;
}

/* NULL. What fails is the run's error. */
static struct vu_copydir *unref(struct vu_copying *c, struct vu_copydir *d)
{
	if (!d || --d->refs)
		return NULL;
	int r = c->error ? 0 : finish(c, d);

	if (r) {
		c->error = r;
		c->at = vu_tree_dir_path(c->tree, d->dir);
	}
	vu_close_p(&d->from);
	vu_close_p(&d->to);
	free(d);
	c->n_open--;
	return NULL;
}

/* Is it an error that a guest makes by changing its directories? What else goes wrong would leave half a guest. */
static bool is_changed(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -ELOOP || err == -EXDEV ||
	       err == -ESTALE;
}

/* Opens both. 0; 1: it is not the one that was met any more, or mounted over; or a negative errno. */
static int open_both(struct vu_copying *c, struct vu_copydir *d, const char *path)
{
	d->from = vu_dirs_open_path(c->from, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME);
	if (d->from < 0)
		return is_changed(d->from) ? 1 : d->from;
	int r = vu_stat_fd(d->from, &d->st);

	if (r || d->st.version.ino != vu_tree_dir(c->tree, d->dir)->ino ||
	    !vu_copy_is_inside(c, &d->st))
		return r < 0 ? r : 1;
	if (c->env->dry_run)
		return 0;
	d->to = vu_dirs_open_path(c->to, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	return d->to < 0 ? d->to : 0;
}

static int open_dir(struct vu_copying *c, uint32_t dir, const char *path, struct vu_copydir **ret)
{
	struct vu_copydir *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	*d = (struct vu_copydir){.dir = dir, .refs = 1, .from = -EBADF, .to = -EBADF};
	int r = open_both(c, d, path);

	if (!r) {
		c->n_open++;
		*ret = d;
		return 0;
	}
	vu_close_p(&d->from);
	vu_close_p(&d->to);
	free(d);
	return r;
}

/* ---- names ---- */

static void named(void *arg, void *cookie, const char *name, uint64_t ino, int r)
{
	struct vu_copying *c = arg;
	struct vu_copydir *d = cookie;

	(void)ino;
	if (!r)
		c->stats->names++;
	else if (!c->error && (r > 0 || r == -EMLINK || r == -ESTALE || r == -ENOENT ||
			       r == -EXDEV || r == -EAGAIN))
		/* no name to be had: then it is copied as any other file */
		r = vu_copy_entry(c, d, name, VU_RESET_NOT);
	if (r && !c->error) {
		c->error = r;
		c->at = vu_copy_path(c, d->dir, name);
	}
	unref(c, d);
}

static int copy_jobs(void *arg, unsigned thread)
{
	struct vu_copying *c = arg;
	unsigned i;

	(void)thread;
	while ((i = atomic_fetch_add(&c->next_job, 1)) < c->n_jobs)
		c->jobs[i].r = vu_copy_entry(c, c->jobs[i].dir, c->jobs[i].name, c->jobs[i].how);
	return 0;
}

/* ---- the disk ---- */

static int sync_all(void *arg, unsigned thread)
{
	struct vu_copying *c = arg;
	int r = vu_pool_sync(c->env->pool);

	(void)thread;
	c->synced = true;
	return r;
}

static int wait_sync(struct vu_copying *c)
{
	int r = vu_crew_wait(vu_take_ptr(c->sync));

	if (r && !c->error)
		c->error = r;
	return r;
}

/*
 * All of it has to be on the disk before the tree gets its name, and the processors have enough to do without it: so
 * the disk begins early.
 */
static void sync_behind(struct vu_copying *c)
{
	if (c->unsynced < SYNC_BYTES || (c->sync && !c->synced))
		return;
	if (wait_sync(c))
		return;
	c->unsynced = 0;
	c->synced = false;
	c->sync = vu_crew_start(1, sync_all, c);
}

/* ---- several names together ---- */

/* Copies what waits, unless the run has ended. */
static int run_jobs(struct vu_copying *c)
{
	unsigned threads = VU_MIN(VU_MAX(c->env->jobs, 1U), c->n_jobs / 16 + 1);

	if (!c->jobs || !c->n_jobs)
		return c->error;
	c->next_job = 0;
	if (!c->error)
		vu_crew_run(threads, copy_jobs, c);
	for (unsigned i = 0; i < c->n_jobs; i++) {
		struct vu_copy_job *j = &c->jobs[i];

		if (j->r && !c->error) {
			c->error = j->r;
			c->at = vu_copy_path(c, j->dir->dir, j->name);
		}
		unref(c, j->dir);
		free(j->name);
	}
	c->n_jobs = 0;
	sync_behind(c);
	return c->error;
}

static int add_job(struct vu_copying *c, struct vu_copydir *d, const char *name, enum vu_reset how)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	d->refs++;
	c->jobs[c->n_jobs++] = (struct vu_copy_job){.dir = d, .name = copy, .how = how};
	return c->n_jobs == JOBS_MAX ? run_jobs(c) : 0;
}

/* All that waits. */
static int flush(struct vu_copying *c)
{
	int r = run_jobs(c), e = vu_naming_flush(c->naming);

	return r ? r : e ? e : c->error;
}

/*
 * Names are given behind those that wait already, so that there is always something to do for all; and
 * directories that wait for them do not become too many.
 */
static int make_room(struct vu_copying *c)
{
	if (c->n_open >= c->max_open)
		return flush(c);
	if (++c->n_since < c->max_open / 2)
		return 0;
	c->n_since = 0;
	int r = run_jobs(c), e = vu_naming_push(c->naming);

	return r ? r : e;
}

static int entry(struct vu_copying *c, struct vu_copydir *d, const struct dirent *e,
		 enum vu_reset how)
{
	const struct vu_key *key = NULL;

	if (++c->n_names > c->env->max_files)
		return VU_COPYTREE_TOO_MANY;
	if (c->env->progress)
		vu_progress_add(c->env->progress, 1, 0);
	if (how == VU_RESET_NOT && c->env->objects &&
	    (e->d_type == DT_REG || e->d_type == DT_UNKNOWN))
		key = vu_pool_listing_find(c->env->objects, e->d_ino);
	if (!key && !c->env->dry_run && e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)
		return add_job(c, d, e->d_name, how);
	if (!key)
		return vu_copy_entry(c, d, e->d_name, how);
	if (c->env->dry_run) {
		c->stats->names++;
		return 0;
	}
	d->refs++;
	return vu_naming_add(c->naming, key, e->d_ino, d->to, e->d_name, d);
}

/* What the run ended with, at this name. */
static int stop_at(struct vu_copying *c, uint32_t dir, const char *name, int r)
{
	r = r ? r : c->error;
	if (r && !c->at)
		c->at = vu_copy_path(c, dir, name);
	return r;
}

static int list(struct vu_copying *c, struct vu_copydir *d, const char *path)
{
	bool resets = vu_reset_is_of(c->env->reset, path);
	int fd = fcntl(d->from, F_DUPFD_CLOEXEC, 3), r = 0;
	_cleanup_closedir_ DIR *l = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!l)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while (!r && (errno = 0, e = readdir(l))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		r = entry(c, d, e,
			  resets ? vu_reset_find(c->env->reset, path, e->d_name) : VU_RESET_NOT);
		r = stop_at(c, d->dir, e->d_name, r);
		if (!r && vu_stop_requested())
			r = -ECANCELED;
	}
	return r ? r : -errno;
}

static int copy_dir(struct vu_copying *c, uint32_t dir)
{
	_cleanup_free_ char *path = vu_tree_dir_path(c->tree, dir);
	struct vu_copydir *d = NULL;
	int r = path ? 0 : -ENOMEM;

	if (!r)
		r = make_room(c);
	r = r ? r : c->error;
	if (!r)
		r = open_dir(c, dir, path, &d);
	if (r > 0) {
		c->stats->changed++;
		vu_copy_tell(c, VU_EVENT_WARN, VU_SKIP_NONE, dir, NULL,
			     "this directory could not be opened any more: its copy is empty");
		return 0;
	}
	if (!r)
		r = list(c, d, path);
	c->stats->dirs += !r;
	unref(c, d);
	return r ? r : c->error;
}

/* ---- the whole ---- */

static unsigned open_max(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_NOFILE, &l) ? OPEN_MAX / 4
					    : (unsigned)VU_MAX(VU_MIN(l.rlim_cur / 4, OPEN_MAX), 8);
}

static int begin(struct vu_copying *c, int place)
{
	struct vu_stat st;
	uint32_t root;
	int r = vu_stat_fd(c->from, &st);

	c->tree = vu_tree_new();
	if (!c->tree)
		return -ENOMEM;
	if (!r)
		r = vu_tree_dir_add(c->tree, VU_NONE, 0, "", &root);
	if (r)
		return r;
	vu_tree_dir(c->tree, root)->ino = st.version.ino;
	c->dev = st.version.dev;
	c->mount = st.mount;
	c->max_open = open_max();
	if (c->env->dry_run)
		return 0;
	if (mkdirat(place, "root", 0700) || mkdirat(place, "links", 0700))
		return -errno;
	c->to = openat(place, "root", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	c->links = openat(place, "links", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return c->to < 0 || c->links < 0 ? -errno : 0;
}

static int end(struct vu_copying *c, int place)
{
	int r = flush(c);

	if (r || c->env->dry_run)
		return r;
	r = vu_copy_links_end(c);
	if (!r && unlinkat(place, "links", AT_REMOVEDIR))
		r = -errno;
	return r;
}

int vu_copytree(const struct vu_copytree_env *env, int from, int place,
		struct vu_copytree_stats *ret, char **ret_at)
{
	struct vu_copying c = {
		.env = env, .stats = ret, .from = from, .to = -EBADF, .links = -EBADF};
	const struct vu_naming_env naming = {
		.pool = env->pool,
		.moment = env->moment,
		.jobs = env->jobs,
		.done = named,
		.arg = &c,
	};

	*ret = (struct vu_copytree_stats){0};
	int r = vu_naming_new(&naming, &c.naming), e;

	pthread_mutex_init(&c.lock, NULL);
	c.jobs = calloc(JOBS_MAX, sizeof(*c.jobs));
	if (!r)
		r = c.jobs ? begin(&c, place) : -ENOMEM;
	for (uint32_t i = 0; !r && i < c.tree->dirs.n; i++)
		r = copy_dir(&c, i);
	if (!r)
		r = end(&c, place);
	else if (c.naming) { /* what waits in it has to be let go */
		c.error = c.error ? c.error : r;
		e = flush(&c);
		r = r ? r : e;
	}
	e = wait_sync(&c);
	r = r ? r : e;
	free(c.jobs);
	pthread_mutex_destroy(&c.lock);
	c.naming = vu_naming_free(c.naming);
	vu_tree_free(c.tree);
	vu_close_p(&c.to);
	vu_close_p(&c.links);
	*ret_at = c.at;
	return r;
}

int vu_copytree_settle(int root, const struct vu_stat *like)
{
	struct timespec times[2] = {vu_stat_timespec(like->atime_ns),
				    vu_stat_timespec(like->version.mtime_ns)};

	return futimens(root, times) ? -errno : vu_copy_locks(like, root);
}

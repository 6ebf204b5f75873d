/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "fs/beneath.h"
#include "fs/stat.h"

#define STEP_MAX 3000 /* bytes of a path that are opened at once; PATH_MAX is 4096 */

int vu_dirs_init(struct vu_dirs *c, const struct vu_tree *t, const struct vu_guests *guests,
		 const int *root_fds, unsigned n)
{
	*c = (struct vu_dirs){.tree = t, .guests = guests, .root_fds = root_fds, .n = n};
	c->slot = calloc(n, sizeof(struct vu_dirh *));
	return c->slot ? 0 : -ENOMEM;
}

struct vu_dirh *vu_dirh_unref(struct vu_dirh *h)
{
	if (h && atomic_fetch_sub(&h->refs, 1) == 1) {
		close(h->fd);
		free(h);
	}
	return NULL;
}

void vu_dirs_done(struct vu_dirs *c)
{
	for (unsigned i = 0; c->slot && i < c->n; i++)
		vu_dirh_unref(c->slot[i]);
	free(c->slot);
	*c = (struct vu_dirs){0};
}

int vu_dirs_open_path(int rootfd, const char *rel, int flags)
{
	_cleanup_free_ char *step = NULL;
	_cleanup_fd_ int at = -EBADF;

	while (strlen(rel) > STEP_MAX) {
		const char *end = rel + STEP_MAX;

		while (end > rel && *end != '/')
			end--;
		free(step);
		step = strndup(rel, (size_t)(end - rel));
		if (!step)
			return -ENOMEM;
		int next = vu_beneath_open(at < 0 ? rootfd : at, step, O_PATH | O_DIRECTORY);

		if (next < 0)
			return next;
		vu_close_p(&at);
		at = next;
		rel = end + 1;
	}
	return vu_beneath_open(at < 0 ? rootfd : at, rel, flags);
}

static int open_dir(const struct vu_dirs *c, uint32_t dir, int flags)
{
	const struct vu_dir *d = vu_tree_dir(c->tree, dir);
	_cleanup_free_ char *path = vu_tree_dir_path(c->tree, dir);
	struct vu_stat st;

	if (!path)
		return -ENOMEM;
	_cleanup_fd_ int fd = vu_dirs_open_path(c->root_fds[d->guest], path, flags);

	if (fd < 0)
		return fd;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	if (st.version.ino != d->ino || st.version.dev != c->guests->v[d->guest].dev)
		return -ESTALE;
	return vu_take_fd(fd);
}

int vu_dirs_get(struct vu_dirs *c, uint32_t dir, struct vu_dirh **ret)
{
	struct vu_dirh **slot = &c->slot[dir % c->n];

	if (!*slot || (*slot)->dir != dir) {
		int fd = open_dir(c, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW);

		if (fd < 0)
			return fd;
		struct vu_dirh *h = calloc(1, sizeof(*h));

		if (!h) {
			close(fd);
			return -ENOMEM;
		}
		h->fd = fd;
		h->dir = dir;
		h->refs = 1;
		vu_dirh_unref(*slot);
		*slot = h;
	}
	atomic_fetch_add(&(*slot)->refs, 1);
	*ret = *slot;
	return 0;
}

/* ---- times ---- */

int vu_touched_init(struct vu_touched *t, uint32_t n_dirs)
{
	*t = (struct vu_touched){.index = calloc((size_t)n_dirs + 1, sizeof(*t->index))};
	pthread_mutex_init(&t->lock, NULL);
	return t->index ? 0 : -ENOMEM;
}

void vu_touched_done(struct vu_touched *t)
{
	pthread_mutex_destroy(&t->lock);
	free(t->index);
	free(t->v);
	*t = (struct vu_touched){0};
}

static int add_locked(struct vu_touched *t, struct vu_dir *d, const struct vu_dirh *h)
{
	struct vu_stat st;

	if (d->flags & VU_DIR_TOUCHED)
		return 0;
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 256;
		struct vu_touched_dir *v = realloc(t->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		t->v = v;
		t->cap = cap;
	}
	int r = vu_stat_fd(h->fd, &st);

	if (r)
		return r;
	if (st.version.mtime_ns == d->mtime_ns) {
		t->v[t->n++] = (struct vu_touched_dir){
			.dir = h->dir,
			.mtime_ns = st.version.mtime_ns,
			.left_ns = st.version.mtime_ns,
		};
		t->index[h->dir] = (uint32_t)t->n;
	}
	__atomic_fetch_or(&d->flags, VU_DIR_TOUCHED, __ATOMIC_RELEASE);
	return 0;
}

int vu_touched_add(struct vu_touched *t, struct vu_tree *tree, const struct vu_dirh *h)
{
	struct vu_dir *d = vu_tree_dir(tree, h->dir);

	if (__atomic_load_n(&d->flags, __ATOMIC_ACQUIRE) & VU_DIR_TOUCHED)
		return 0;
	pthread_mutex_lock(&t->lock);
	int r = add_locked(t, d, h);

	pthread_mutex_unlock(&t->lock);
	return r;
}

static struct vu_touched_dir *find(const struct vu_touched *t, const struct vu_dirh *h)
{
	uint32_t i = t->index[h->dir];

	return i ? &t->v[i - 1] : NULL;
}

void vu_touched_begin(struct vu_touched *t, const struct vu_dirh *h)
{
	struct vu_stat st;

	pthread_mutex_lock(&t->lock);
	struct vu_touched_dir *d = find(t, h);
	int r = d ? vu_stat_fd(h->fd, &st) : 0;

	if (d && r)
		d->err = r;
	else if (d && !d->err && st.version.mtime_ns != d->left_ns)
		d->foreign = true; /* else: left_ns is older than what was left */
}

void vu_touched_end(struct vu_touched *t, const struct vu_dirh *h)
{
	struct vu_touched_dir *d = find(t, h);
	struct vu_stat st;
	int r = d ? vu_stat_fd(h->fd, &st) : 0;

	if (d && r)
		d->err = r;
	else if (d)
		d->left_ns = st.version.mtime_ns;
	t->changed_ns = vu_clock_ns();
	pthread_mutex_unlock(&t->lock);
}

static int by_dir(const void *a, const void *b)
{
	const struct vu_touched_dir *x = a, *y = b;

	return (x->dir > y->dir) - (x->dir < y->dir);
}

/* Returns 0, also where there is nothing to be put back any more, or a negative errno. */
static int restore(struct vu_touched *t, const struct vu_dirs *c, struct vu_touched_dir *d)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, vu_stat_timespec(d->mtime_ns)};
	struct vu_stat st;

	if (d->foreign || (!d->err && d->left_ns == d->mtime_ns))
		return 0;
	_cleanup_fd_ int fd = open_dir(c, d->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME);

	if (fd < 0) /* the guest has moved or removed it */
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -ESTALE ? 0 : fd;
	int r = d->err ? d->err : vu_stat_fd(fd, &st);

	if (r || st.version.mtime_ns != d->left_ns)
		return r;
	if (futimens(fd, times))
		return -errno;
	d->left_ns = d->mtime_ns;
	t->changed_ns = vu_clock_ns();
	return 0;
}

/* One at a time under the lock: an exchange, which is in a moment, waits for no more. */
void vu_touched_restore_early(struct vu_touched *t, const struct vu_tree *tree,
			      const struct vu_guests *guests, const int *root_fds)
{
	struct vu_dirs c = {.tree = tree, .guests = guests, .root_fds = root_fds};
	bool more = true;

	for (size_t i = 0; more; i++) {
		pthread_mutex_lock(&t->lock);
		more = i < t->n;
		if (more)
			(void)restore(t, &c, &t->v[i]);
		pthread_mutex_unlock(&t->lock);
	}
}

void vu_touched_restore(struct vu_touched *t, const struct vu_tree *tree,
			const struct vu_guests *guests, const int *root_fds,
			const struct vu_sink *sink)
{
	struct vu_dirs c = {.tree = tree, .guests = guests, .root_fds = root_fds};

	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), by_dir);
	for (size_t i = 0; i < t->n; i++) {
		struct vu_touched_dir *d = &t->v[i];
		int r = restore(t, &c, d);

		if (!r)
			continue;
		_cleanup_free_ char *path = vu_tree_dir_path(tree, d->dir);

		vu_emit(sink, &(struct vu_event){
				      .kind = VU_EVENT_WARN,
				      .err = r,
				      .guest = guests->v[vu_tree_dir(tree, d->dir)->guest].name,
				      .path = path,
				      .text = "its modification time could not be put back"});
	}
	t->n = 0;
}

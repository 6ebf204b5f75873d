/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is left in the stage. Names there are of three kinds: t-* made by the linker, c-* made by the
 * breaker, p-* made by the probe. A name is
 *
 *   - of an object: the exchange had not happened, or was undone: removed (in a moment)
 *   - p-*, or c-* without an intent: nothing was ever done with it (intents are on disk before the
 *     first exchange): removed
 *   - c-*, the very copy that was made: the exchange had not happened: removed. But where another name
 *     of it has reached its path, this one follows: names that were one inode stay one
 *   - t-*, the private inode that was at the path. Is the path a name of the object now?
 *       yes, and all names of the inode have moved, nobody writes to it, and it equals the object in
 *         every byte and all metadata: superfluous, removed
 *       yes, but not so: it is the newer one: exchanged back (all names of the inode)
 *       no: the guest itself has replaced or removed what was there. Equal to the object: removed,
 *         else rescued
 *   - another inode: it came out of an exchange, because the guest put it there at that instant, and
 *     is newer than what is at the path: exchanged back if the path still has what was exchanged
 *     against it, else rescued. A copy that the guest has removed may have left its number to a newer
 *     file: one that was made after anything last came to the stage is not the copy
 *
 * "Exchanged back" is what the linker does when it is not killed; nothing is removed that is not
 * proven to be elsewhere too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/beneath.h"
#include "fs/iattr.h"
#include "link/dirs.h"
#include "link/recover-leftover.h"
#include "link/swap.h"

static const struct vu_intent *find_intent(const struct vu_recover *c, unsigned worker,
					   const char *name)
{
	char tmp[300];

	snprintf(tmp, sizeof(tmp), "%u/%s", worker, name);
	for (size_t i = c->n_intents; i-- > 0;) /* the last one counts */
		if (!strcmp(c->intents[i].tmp, tmp))
			return &c->intents[i];
	return NULL;
}

/* ---- names ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of a directory, sorted; settling them changes the directory. */
static int names_of(int fd, char ***ret, size_t *ret_n)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = again < 0 ? NULL : fdopendir(again);
	const struct dirent *e;
	char **v = NULL;
	size_t n = 0;
	int r = 0;

	if (!d)
		return again < 0 ? -errno : vu_close_failed_consume(again);
	while (!r && (errno = 0, e = readdir(d))) {
		char **more;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		more = reallocarray(v, n + 1, sizeof(*v));
		if (more)
			v = more;
		if (!more || !(v[n] = strdup(e->d_name)))
			r = -ENOMEM;
		else
			n++;
	}
	if (n)
		qsort(v, n, sizeof(*v), by_text);
	*ret = v;
	*ret_n = n;
	return r ? r : -errno;
}

static void free_names(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

/* ---- what can be done ---- */

/* A file of link/probe.c: the run may have been killed while it was immutable. */
static int remove_probe(struct vu_leftover *l)
{
	if (!l->c->env->dry_run && S_ISREG(l->st.mode)) {
		_cleanup_fd_ int fd = vu_regular_open(l->dir, l->name, NULL);
		int r = fd < 0 ? fd : vu_iattr_set_immutable(fd, false);

		if (r)
			return r;
	}
	return vu_leftover_remove(l, "an unfinished file: removed");
}

/* One that is to be evicted has a writer already: its flag goes off for the name to go. */
static bool unlink_slipped(struct vu_leftover *l, const struct vu_key *key)
{
	_cleanup_fd_ int fd = vu_pool_object_open(l->c->pool, key);
	bool gone = false;

	if (fd < 0 || !vu_pool_object_slipped(l->c->pool, key) || vu_iattr_set_immutable(fd, false))
		return false;
	gone = !unlinkat(l->dir, l->name, 0);
	return !vu_iattr_set_immutable(fd, true) && gone;
}

/* Another name of an object: taken away in a moment. */
static int remove_object_name(struct vu_leftover *l, const struct vu_key *key)
{
	struct vu_object *o = NULL;
	int r, e;

	if (l->c->env->dry_run)
		return vu_leftover_removed(l, "a temporary name of an object: removed");
	r = vu_recover_object_open(l->c, key, &o);
	if (r > 0) {
		/* damaged or busy; told already. Without a flag the name can go at once. */
		if (!unlinkat(l->dir, l->name, 0) || unlink_slipped(l, key))
			return vu_leftover_removed(l, "a temporary name of an object: removed");
		return vu_leftover_leave(l);
	}
	if (r)
		return r;
	r = vu_moment_begin(&l->c->moment, o);
	if (!r) {
		r = unlinkat(l->dir, l->name, 0) ? -errno : 0;
		e = vu_moment_end(&l->c->moment, o, -EBADF);
		r = r ? r : e;
	}
	vu_object_unref(&l->c->moment, o);
	if (r == -ESTALE)
		return vu_leftover_leave(l);
	return r ? r : vu_leftover_removed(l, "a temporary name of an object: removed");
}

static int exchange_back(struct vu_leftover *l)
{
	int r = vu_swap_back(l->dir, l->name, l->parent, l->base, l->st.version.ino, l->at_path);

	if (r)
		return r > 0 ? vu_leftover_rescue(l) : r;
	return unlinkat(l->dir, l->name, 0) ? -errno : vu_leftover_restored(l);
}

/* The path has the object, tmp something newer. */
static int restore_over_object(struct vu_leftover *l, struct vu_object *o)
{
	int r, e;

	if (l->c->env->dry_run)
		return vu_leftover_restored(l);
	r = vu_moment_begin(&l->c->moment, o);
	if (r)
		return r == -ESTALE ? vu_leftover_leave(l) : r;
	r = exchange_back(l);
	e = vu_moment_end(&l->c->moment, o, -EBADF);
	return r ? r : e;
}

/* ---- what it is ---- */

/* Nothing is there, or not inside of the guest: an answer, unlike other errors. */
static bool is_nowhere(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -ELOOP || err == -EXDEV;
}

/* Opens the directory of the path, and looks what is at the path. 0, 1: guest not known, or errno. */
static int look_at_path(struct vu_leftover *l)
{
	const struct vu_intent *in = l->in;
	const char *slash = strrchr(in->path, '/');
	_cleanup_free_ char *dir =
		slash ? strndup(in->path, (size_t)(slash - in->path)) : strdup("");
	struct vu_stat st;
	int root, r;

	if (!dir)
		return -ENOMEM;
	l->base = slash ? slash + 1 : in->path;
	root = vu_recover_root(l->c, in);
	if (root < 0)
		return root == -ESTALE ? 1 : root;
	l->parent = vu_dirs_open_path(root, dir, O_PATH | O_DIRECTORY);
	r = l->parent < 0 ? l->parent : vu_stat_at(l->parent, l->base, &st);
	if (!r)
		l->at_path = st.version.ino;
	return is_nowhere(r) ? 0 : r;
}

/*
 * All names of the inode are in the stage, and it is superfluous. They go together: were each judged on
 * its own, one could be put back, because somebody opens it just then, behind one that was removed.
 */
static int remove_replaced(struct vu_leftover *l)
{
	int r = vu_leftover_remove(l, "a replaced file: removed");
	char **v = NULL;
	size_t n = 0;

	if (r || l->c->env->dry_run)
		return r;
	r = names_of(l->dir, &v, &n);
	for (size_t i = 0; !r && i < n; i++) {
		struct vu_leftover other = *l;

		other.name = v[i];
		r = vu_stat_at(l->dir, v[i], &other.st);
		if (r || other.st.version.ino != l->st.version.ino)
			continue;
		other.in = find_intent(l->c, l->worker, v[i]);
		r = vu_leftover_remove(&other, "a replaced file: removed");
	}
	free_names(v, n);
	return r;
}

/* What is in the stage came from a path that has the object now, or something else. */
static int settle_linked(struct vu_leftover *l, struct vu_object *o)
{
	bool foreign = l->st.version.ino != l->in->ino;
	int equal = foreign ? 0 : vu_leftover_equals(l, o), all;

	if (equal < 0)
		return equal;
	if (l->at_path == o->ino) {
		all = equal ? vu_leftover_is_all(l) : 0;
		if (all < 0)
			return all;
		return all ? remove_replaced(l) : restore_over_object(l, o);
	}
	if (equal)
		return vu_leftover_remove(
			l, "a replaced file that the guest has replaced itself: removed");
	return vu_leftover_rescue(l);
}

static int settle_link(struct vu_leftover *l)
{
	struct vu_object *o = NULL;
	int r = vu_recover_object_open(l->c, &l->in->key, &o);

	if (r > 0) {
		/* the object is damaged, or nobody's any more */
		if (l->at_path != l->in->object_ino)
			return vu_leftover_rescue(l);
		return vu_leftover_leave_for(
			l, "a replaced file is kept in the stage: the object that "
			   "replaced it is damaged or open for writing");
	}
	if (r)
		return r;
	r = settle_linked(l, o);
	vu_object_unref(&l->c->moment, o);
	return r;
}

/* With all names of the inode here: is it a replaced file, or a copy that was not needed? 1, 0 or errno. */
static int is_superfluous(struct vu_leftover *l)
{
	struct vu_object *o = NULL;

	if (l->st.version.ino != l->in->ino || l->in->kind == VU_JOURNAL_COPY)
		return l->st.version.ino == l->in->ino;
	int r = vu_recover_object_open(l->c, &l->in->key, &o);

	r = r ? VU_MIN(r, 0) : vu_leftover_equals(l, o);
	vu_object_unref(&l->c->moment, o);
	return r;
}

/*
 * Nobody knows where the guest is. What need not be put back there goes all the same; the rest waits, but not for a
 * guest that is registered no more.
 */
static int settle_unknown(struct vu_leftover *l)
{
	const struct vu_recover_env *env = l->c->env;
	int r = vu_leftover_is_all(l);

	if (r > 0)
		r = is_superfluous(l);
	if (r > 0 && l->in->kind == VU_JOURNAL_COPY)
		return vu_leftover_remove(l, "a private copy that was not needed: removed");
	if (r)
		return r > 0 ? remove_replaced(l) : r;
	if (env->is_forgotten && env->is_forgotten(env->root_arg, l->in->root_ino))
		return vu_leftover_rescue(l);
	l->c->stats->left++;
	vu_recover_tell(
		l->c, VU_EVENT_WARN, NULL, l->in->path, 0,
		"a file of a guest that is not known is left in the stage: name the guest to "
		"recover it, or `vunify guests remove` it if it is gone");
	return 0;
}

static int settle(struct vu_leftover *l)
{
	const struct vu_key *key = vu_pool_listing_find(&l->c->objects, l->st.version.ino);
	int r;

	if (key) {
		/* given back to its guest in this run: then it is just one more name of a file */
		int fd = vu_pool_object_open(l->c->pool, key);

		if (fd >= 0)
			close(fd);
		else if (fd != -ENOENT)
			return fd;
		if (fd >= 0 || l->c->env->dry_run)
			return remove_object_name(l, key);
		if (l->st.n_links > 1)
			return vu_leftover_remove(l, "a temporary name of a guest's file: removed");
	}
	if (!strncmp(l->name, "p-", 2))
		return remove_probe(l);
	if (!l->in && !strncmp(l->name, "c-", 2))
		return vu_leftover_remove(l, "an unfinished file: removed");
	if (!l->in && !strncmp(l->name, "b-", 2) && vu_leftover_is_live_copy(l))
		return vu_leftover_remove(l, "an unfinished file: removed");
	if (!l->in)
		return vu_leftover_rescue(l);
	r = look_at_path(l);
	if (r)
		return r > 0 ? settle_unknown(l) : r;
	return l->in->kind == VU_JOURNAL_COPY ? vu_leftover_settle_copy(l) : settle_link(l);
}

static int settle_name(struct vu_recover *c, int dir, unsigned worker, const char *name,
		       uint64_t changed_ns)
{
	struct vu_leftover l = {.c = c,
				.dir = dir,
				.worker = worker,
				.name = name,
				.parent = -EBADF,
				.changed_ns = changed_ns};
	int r = vu_stat_at(dir, name, &l.st);

	if (r)
		return r == -ENOENT ? 0 : r;
	l.in = find_intent(c, worker, name);
	r = settle(&l);
	vu_close_p(&l.parent);
	return r;
}

static int stage_dir(struct vu_recover *c, int dir, unsigned worker)
{
	char **v = NULL;
	size_t n = 0;
	struct vu_stat st;
	int r = vu_stat_fd(dir, &st);

	if (!r)
		r = names_of(dir, &v, &n);
	for (size_t i = 0; !r && i < n; i++)
		r = settle_name(c, dir, worker, v[i], st.version.mtime_ns);
	free_names(v, n);
	return r;
}

int vu_recover_stage(struct vu_recover *c)
{
	int top = vu_pool_stage_fd(c->pool);
	char **v = NULL;
	size_t n = 0;
	int r = names_of(top, &v, &n);

	for (size_t i = 0; !r && i < n; i++) {
		unsigned slot = (unsigned)strtoul(v[i], NULL, 10);

		if (!vu_slots_have(&c->slots, slot))
			continue;
		_cleanup_fd_ int dir =
			openat(top, v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (dir < 0) {
			r = errno == ENOTDIR ? settle_name(c, top, UINT32_MAX, v[i], 0) : -errno;
			continue;
		}
		r = stage_dir(c, dir, slot);
		if (!r && !c->env->dry_run)
			unlinkat(top, v[i], AT_REMOVEDIR);
	}
	free_names(v, n);
	return r;
}

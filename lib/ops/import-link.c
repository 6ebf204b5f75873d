/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three times through the tree, which nobody else reaches:
 *
 *  1. Where do the names lie that stand for files of the pool (most of them not on the disk yet)? One with any name where nothing is
 *     unified (rules, lock files, configuration files of packages: now the package database is there) stays
 *     private.
 *  2. Names of objects take their places, in batches (link/naming.h). What stays private, or cannot be
 *     linked after all (somebody has the object open for writing), gets the content from the object.
 *  3. Directories get owner, mode, attributes and times.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "fs/copy.h"
#include "fs/exchange.h"
#include "fs/xattr.h"
#include "guest/package.h"
#include "link/dirs.h"
#include "link/naming.h"
#include "ops/dir-walk.h"
#include "ops/farm.h"
#include "ops/import-int.h"

#define OPEN_MAX 256 /* directories that names wait in */

/* A name of a file that stands for one of the pool's. */
struct standin {
	uint32_t dir;
	uint32_t name; /* in walk.text */
	uint32_t token;
	bool empty; /* there is an empty file in its place */
};

/* An open directory that names wait in; counted. */
struct waiting {
	struct linking *l;
	int fd; /* owned */
	unsigned refs;
	uint32_t dir;
};

struct linking {
	struct vu_import *im;
	struct vu_dirwalk walk;
	struct vu_chunks standins;	/* of struct standin, directory by directory */
	struct vu_package_db *packages; /* owned */
	struct vu_naming *naming;	/* owned */
	struct waiting *waiting;	/* the current one; a reference */
	unsigned n_open;
	int error; /* the first of what is done behind a batch */
};

static struct standin *standin_at(const struct linking *l, uint32_t i)
{
	return vu_chunks_at(&l->standins, i);
}

/* ---- 1: where they lie ---- */

static int note_standin(struct linking *l, const char *name, uint32_t token, bool empty)
{
	struct standin s = {.dir = l->walk.dir, .token = token, .empty = empty};
	_cleanup_free_ char *path = vu_dirwalk_path(&l->walk, l->walk.dir, name);
	uint32_t i;
	int r = path ? vu_dirwalk_keep(&l->walk, name, &s.name) : -ENOMEM;

	if (!r)
		r = vu_chunks_add(&l->standins, 1, &i);
	if (r)
		return r;
	*standin_at(l, i) = s;
	if (!vu_import_path_is_open(l->im, path, name) ||
	    (l->packages && vu_package_is_conffile_at(l->packages, l->walk.path, name)))
		vu_import_token(l->im, token)->is_private = true;
	return 0;
}

static int on_entry(void *arg, const struct vu_entry *e)
{
	struct linking *l = arg;
	uint32_t token;

	if (e->type == DT_DIR)
		return vu_dirwalk_add(&l->walk, e->name) < 0 ? -ENOMEM : 0;
	if (e->type != DT_REG || !vu_inomap_get(&l->im->stands_for, e->ino, &token) ||
	    token == VU_UNPACK_NONE)
		return 0;
	return note_standin(l, e->name, token, true);
}

/* Those of a directory that are not on the disk. */
static int note_unmade(struct linking *l, int dir)
{
	const struct vu_standins *s = vu_unpack_standins(l->im->unpack);
	struct vu_stat st;
	int r = s->v.n ? vu_stat_fd(dir, &st) : 0;

	if (r || !s->v.n)
		return r;
	for (const struct vu_standin *i = vu_standins_first(s, st.version.ino); !r && i;
	     i = vu_standins_next(s, i))
		r = note_standin(l, vu_standin_name(s, i), i->token, false);
	return r;
}

static int batch_end(void *arg)
{
	(void)arg;
	return 0;
}

static int list_dir(struct linking *l)
{
	const struct vu_listener listener = {on_entry, batch_end, l};
	_cleanup_fd_ int fd = vu_dirwalk_open(&l->walk);
	int failed = 0, r;

	if (fd < 0)
		return fd;
	r = vu_listing_each(fd, l->walk.buf, &listener, &failed);
	return r ? r : failed ? failed : note_unmade(l, fd);
}

static int find_standins(struct linking *l)
{
	const char *why = NULL;
	int r = vu_package_read(l->im->root, l->im->ops->config->max_package_db_bytes, &l->packages,
				&why);

	/* a broken one holds as far as it could be read; the next scan tells of it */
	r = r == VU_PACKAGE_BROKEN ? 0 : r;
	while (!r && !(r = vu_dirwalk_next(&l->walk)))
		r = list_dir(l);
	return r == VU_DIRWALK_END ? 0 : r;
}

/* ---- a private copy instead ---- */

/* An open file without a name that is the object's copy, with the time that the archive says. */
static int copy_object(struct linking *l, const struct vu_import_token *t, int dir)
{
	_cleanup_fd_ int from = vu_pool_object_open(l->im->pool, &t->key);
	_cleanup_fd_ int to = openat(dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	struct vu_stat st = {0};
	int r = from < 0 ? from : to < 0 ? -errno : vu_stat_fd(from, &st);

	if (!r && st.version.ino != t->ino)
		r = -ESTALE;
	if (!r)
		r = vu_copy_content(from, to, t->size, NULL);
	if (r)
		return r;
	st.version.mtime_ns = t->mtime_ns;
	r = vu_copy_metadata(from, &st, to, VU_XATTR_ANY);
	return r ? r > 0 ? -E2BIG : r : vu_take_fd(to);
}

/* The copy that another name of the file has already. */
static int open_copy(const struct linking *l, const struct vu_import_token *t)
{
	return vu_dirs_open_path(l->im->root, t->copy, O_PATH | O_NOFOLLOW);
}

static int copy_to(struct linking *l, struct vu_import_token *t, uint32_t in, int dir,
		   const char *name)
{
	_cleanup_fd_ int fd = t->copy ? open_copy(l, t) : copy_object(l, t, dir);
	int r = fd < 0 ? fd : vu_link_fd(fd, dir, name);

	if (r || t->copy)
		return r;
	l->im->report->copied++;
	t->copy = vu_dirwalk_path(&l->walk, in, name);
	return t->copy ? 0 : -ENOMEM;
}

/* ---- 2: names ---- */

static void release(struct waiting *w)
{
	if (!w || --w->refs)
		return;
	w->l->n_open--;
	close(w->fd);
	free(w);
}

static void tell_linked(struct linking *l, const struct waiting *w, const char *name,
			const struct vu_import_token *t)
{
	_cleanup_free_ char *path = NULL;
	char object[VU_KEY_NAME_MAX];

	if (!l->im->ops->per_file)
		return;
	path = vu_dirwalk_path(&l->walk, w->dir, name);
	vu_key_name(&t->key, object);
	vu_emit(&l->im->session.counting, &(struct vu_event){.kind = VU_EVENT_UNIFY,
							     .guest = l->im->base,
							     .path = path,
							     .object = object,
							     .size = t->size});
}

/* A batch is done: what could not be linked is copied. */
static void linked(void *arg, void *cookie, const char *name, uint64_t ino, int r)
{
	struct linking *l = arg;
	struct waiting *w = cookie;
	struct vu_import_token *t;
	uint32_t i = 0;

	/* an object has one file of the guest, so the other way there is one token */
	if (!vu_inomap_get(&l->im->used, ino, &i))
		r = r ? r : -ENOENT;
	t = vu_import_token(l->im, i);
	if (!r) {
		l->im->report->names++;
		if (!t->linked)
			l->im->report->linked_bytes += t->size;
		t->linked = true;
		tell_linked(l, w, name, t);
	} else if (r == VU_NAMING_BUSY || r == -ESTALE || r == -EMLINK || r == -ENOENT ||
		   r == -EAGAIN || r == -EBUSY) {
		r = copy_to(l, t, w->dir, w->fd, name);
	}
	if (r && !l->error)
		l->error = r;
	release(w);
}

/* The directory of the next names. */
static int wait_in(struct linking *l, uint32_t dir)
{
	if (l->waiting && l->waiting->dir == dir)
		return 0;
	release(l->waiting);
	l->waiting = NULL;
	int r = l->n_open >= OPEN_MAX ? vu_naming_flush(l->naming) : 0;
	_cleanup_free_ char *path = r ? NULL : vu_dirwalk_path(&l->walk, dir, NULL);

	if (!path)
		return r ? r : -ENOMEM;
	struct waiting *w = malloc(sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct waiting){.l = l, .refs = 1, .dir = dir};
	w->fd = vu_dirs_open_path(l->im->root, path, O_RDONLY | O_DIRECTORY);
	if (w->fd < 0) {
		r = w->fd;
		free(w);
		return r;
	}
	l->n_open++;
	l->waiting = w;
	return 0;
}

static int replace(struct linking *l, const struct standin *s)
{
	struct vu_import_token *t = vu_import_token(l->im, s->token);
	const char *name = vu_arena_at(&l->walk.text, s->name);
	int r = wait_in(l, s->dir);

	if (r)
		return r;
	if (s->empty && unlinkat(l->waiting->fd, name, 0))
		return -errno;
	if (t->is_private)
		return copy_to(l, t, s->dir, l->waiting->fd, name);
	l->waiting->refs++;
	return vu_naming_add(l->naming, &t->key, t->ino, l->waiting->fd, name, l->waiting);
}

static int replace_all(struct linking *l)
{
	const struct vu_naming_env env = {
		.pool = l->im->pool,
		.moment = &l->im->moment,
		.jobs = vu_farm_jobs(l->im->ops->config),
		.done = linked,
		.arg = l,
	};
	int r = vu_naming_new(&env, &l->naming), e;

	if (l->im->ops->progress)
		vu_progress_begin(l->im->ops->progress, VU_PHASE_LINK, l->standins.n, 0);
	for (uint32_t i = 0; !r && !l->error && i < l->standins.n; i++) {
		r = vu_stop_requested() ? -ECANCELED : replace(l, standin_at(l, i));
		if (l->im->ops->progress)
			vu_progress_add(l->im->ops->progress, 1, 0);
	}
	release(l->waiting);
	l->waiting = NULL;
	e = l->naming ? vu_naming_flush(l->naming) : 0;
	r = r ? r : e ? e : l->error;
	l->naming = vu_naming_free(l->naming);
	return r;
}

/* What a run would do, without it. */
static void count_only(struct linking *l)
{
	for (uint32_t i = 0; i < l->standins.n; i++) {
		struct vu_import_token *t = vu_import_token(l->im, standin_at(l, i)->token);

		l->im->report->copied += t->is_private && !t->linked;
		if (!t->is_private) {
			l->im->report->names++;
			l->im->report->linked_bytes += t->linked ? 0 : t->size;
		}
		t->linked = true;
	}
}

/* ---- 3: directories ---- */

static int settle_dirs(struct linking *l)
{
	int r = 0;

	/* the last first: a directory's own is done when that of those in it is */
	for (uint32_t i = l->walk.dirs.n; !r && i-- > 0;) {
		_cleanup_free_ char *path = vu_dirwalk_path(&l->walk, i, NULL);
		_cleanup_fd_ int fd = -EBADF;

		if (!path)
			return -ENOMEM;
		fd = vu_dirs_open_path(l->im->root, path, O_RDONLY | O_DIRECTORY);
		r = fd < 0 ? fd : vu_unpack_settle_dir(l->im->unpack, fd);
	}
	return r;
}

int vu_import_link(struct vu_import *im)
{
	struct linking l = {.im = im};
	int r = vu_chunks_init(&l.standins, sizeof(struct standin));

	if (!r)
		r = vu_dirwalk_init(&l.walk, im->root, UINT32_MAX - 1);
	if (!r)
		r = find_standins(&l);
	if (!r && im->o->dry_run)
		count_only(&l);
	else if (!r)
		r = replace_all(&l);
	if (!r && !im->o->dry_run)
		r = settle_dirs(&l);
	vu_dirwalk_done(&l.walk);
	vu_chunks_done(&l.standins);
	vu_package_free(l.packages);
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A listing is recorded with the timestamps from before it: what happens during or after it changes
 * them, unless it happens within the same tick of the clock as what they stand for, and then the
 * directory is VU_DIR_FRESH.
 */
#include "scan/walk-visit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/want.h"
#include "fs/beneath.h"
#include "scan/entry.h"
#include "scan/listing.h"
#include "scan/walk-batch.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK)
#define PATH_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW)

struct vu_visitor {
	struct vu_visit_shared *s;
	const struct vu_walk_env *env;
	struct vu_tree *t;
	struct vu_walk_batch batch;
	void *buf;	     /* owned; VU_LISTING_BYTES */
	struct vu_attr attr; /* the last one interned */
	uint32_t attr_n;
	char *path;	       /* owned; of path_dir */
	uint32_t path_dir;     /* VU_NONE: none */
	bool conffiles;	       /* the directory has some */
	enum vu_skip dir_skip; /* what the directory says of all files in it */
	struct vu_visit *p;
	struct vu_dir *d;
	struct vu_visit_root *root;
	const struct vu_walk_guest *guest;
};

static int root_init(struct vu_visit_root *root, const struct vu_walk_guest *g)
{
	struct vu_stat st;
	int r = vu_stat_fd(g->root, &st);

	if (r)
		return r;
	root->dev = st.version.dev;
	root->mount = st.mount;
	root->dir = VU_NONE;
	root->trust_ino = vu_listing_ino_trusted(g->root);
	return 0;
}

int vu_visit_shared_init(struct vu_visit_shared *s, const struct vu_walk_env *env,
			 struct vu_tree *t)
{
	int r = 0;

	*s = (struct vu_visit_shared){.env = env, .t = t};
	pthread_mutex_init(&s->sink_lock, NULL);
	s->roots = calloc(env->n_guests + 1, sizeof(*s->roots));
	if (!s->roots)
		return -ENOMEM;
	for (size_t i = 0; !r && i < env->n_guests; i++)
		r = root_init(&s->roots[i], &env->guests[i]);
	return r;
}

void vu_visit_shared_done(struct vu_visit_shared *s)
{
	for (size_t i = 0; s->roots && i < s->env->n_guests; i++)
		vu_inomap_done(&s->roots[i].links);
	free(s->roots);
	pthread_mutex_destroy(&s->sink_lock);
}

struct vu_visitor *vu_visitor_new(struct vu_visit_shared *s)
{
	struct vu_visitor *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	*v = (struct vu_visitor){.s = s, .env = s->env, .t = s->t};
	v->attr_n = v->path_dir = VU_NONE;
	v->buf = malloc(VU_LISTING_BYTES);
	if (vu_walk_batch_init(&v->batch, v->env, v->t) || !v->buf)
		return vu_visitor_free(v);
	return v;
}

struct vu_visitor *vu_visitor_free(struct vu_visitor *v)
{
	if (!v)
		return NULL;
	vu_walk_batch_done(&v->batch);
	free(v->buf);
	free(v->path);
	free(v);
	return NULL;
}

/* Appends name to the path that v holds. */
static int path_append(struct vu_visitor *v, const char *name)
{
	size_t n = strlen(v->path), len = strlen(name);
	char *p = realloc(v->path, n + len + 2);

	if (!p)
		return -ENOMEM;
	v->path = p;
	if (n)
		p[n++] = '/';
	memcpy(p + n, name, len + 1);
	return 0;
}

/*
 * The path of a directory, for rules and for messages: the last one is kept, so that going down costs
 * one name a level. NULL without memory.
 */
static const char *path_of(struct vu_visitor *v, uint32_t dir)
{
	const struct vu_dir *d = vu_tree_dir(v->t, dir);

	if (v->path && v->path_dir == dir)
		return v->path;
	if (v->path && v->path_dir == d->parent && d->parent != VU_NONE) {
		if (path_append(v, vu_tree_text(v->t, d->name)))
			return NULL;
	} else {
		free(v->path);
		v->path = vu_tree_dir_path(v->t, dir);
	}
	v->path_dir = v->path ? dir : VU_NONE;
	return v->path;
}

/* Tells about the directory, or about name in it. */
static void tell(struct vu_visitor *v, enum vu_event_kind kind, enum vu_skip skip, int err,
		 const char *text, const char *name)
{
	const char *dir = path_of(v, v->p->dir);
	_cleanup_free_ char *path = NULL;

	if (dir && name) {
		path = malloc(strlen(dir) + strlen(name) + 2);
		if (path)
			stpcpy(stpcpy(stpcpy(path, dir), *dir ? "/" : ""), name);
	}
	struct vu_event e = {
		.kind = kind,
		.skip = skip,
		.err = err,
		.guest = v->guest->name,
		.path = name ? path : dir,
		.text = text,
	};

	pthread_mutex_lock(&v->s->sink_lock);
	vu_emit(v->env->sink, &e);
	pthread_mutex_unlock(&v->s->sink_lock);
}

/* Ends a visit that found nothing to enter. */
static void set_flags(struct vu_visitor *v, uint8_t flags)
{
	struct vu_dir *d = v->d;
	uint8_t old = d->flags;

	d->flags = flags;
	if (d->fate == VU_UNSEEN)
		d->fate = old == flags || (flags & VU_DIR_CLEAN) ? VU_KEPT : VU_CHANGED;
}

static int fail(struct vu_visitor *v, int err)
{
	if (vu_is_want(err))
		return err;
	set_flags(v, VU_DIR_FAILED);
	tell(v, VU_EVENT_SKIP, VU_SKIP_UNREADABLE, err, NULL, NULL);
	return 0;
}

static int beyond_limit(struct vu_visitor *v, _Atomic bool *told, const char *text)
{
	set_flags(v, VU_DIR_FAILED);
	tell(v, VU_EVENT_SKIP, VU_SKIP_LIMIT, 0, NULL, NULL);
	if (!atomic_exchange(told, true))
		tell(v, VU_EVENT_WARN, VU_SKIP_LIMIT, 0, text, NULL);
	return 0;
}

/* ---- looking at a file ---- */

static bool is_object(const struct vu_visitor *v, uint64_t ino)
{
	return v->guest->objects && vu_inomap_get(v->guest->objects, ino, NULL);
}

static bool same_mount(const struct vu_visitor *v, const struct vu_stat *st)
{
	return st->version.dev == v->root->dev && st->mount == v->root->mount;
}

/* The number of the bare attributes; a directory's files mostly have the same. */
static int attr_number(struct vu_visitor *v, const struct vu_stat *st, uint32_t *ret_n)
{
	if (v->attr_n == VU_NONE || v->attr.mode != st->mode || v->attr.uid != st->uid ||
	    v->attr.gid != st->gid) {
		v->attr = vu_stat_attr(st);
		v->attr_n = VU_NONE;
		int r = vu_attrs_intern(v->t->attrs, &v->attr, &v->attr_n);

		if (r)
			return r;
	}
	*ret_n = v->attr_n;
	return 0;
}

static bool conffile(struct vu_visitor *v, const char *name)
{
	_cleanup_free_ char *path = NULL;
	const char *dir;

	if (!v->conffiles || !(dir = path_of(v, v->p->dir)))
		return false;
	path = malloc(strlen(dir) + strlen(name) + 2);
	if (!path)
		return true;
	stpcpy(stpcpy(stpcpy(path, dir), *dir ? "/" : ""), name);
	return v->env->is_conffile(v->env->conffile_arg, v->d->guest, path);
}

static bool excluded(struct vu_visitor *v, const char *name)
{
	const char *dir = "";

	if (!v->guest->exclude)
		return false;
	if (!v->p->rules.files_same && !(dir = path_of(v, v->p->dir)))
		return true;
	return vu_exclude_file(v->guest->exclude, &v->p->rules, dir, name) == VU_EXCLUDE_YES;
}

/* Why this file alone, whatever others there are, stays private. */
static enum vu_skip decide(struct vu_visitor *v, const char *name, const struct vu_stat *st)
{
	const struct vu_entry_limits limits = {
		.min_size = v->env->min_size,
		.max_size = v->env->max_size,
		.unify_setid = v->env->unify_setid,
	};

	if (excluded(v, name))
		return VU_SKIP_EXCLUDED;
	enum vu_skip skip = vu_entry_skip(st, &limits);

	if (skip != VU_SKIP_NONE)
		return skip;
	if (v->dir_skip != VU_SKIP_NONE)
		return v->dir_skip;
	if (conffile(v, name))
		return VU_SKIP_CONFFILE;
	return vu_exclude_lock_file(name) ? VU_SKIP_LOCK_FILE : VU_SKIP_NONE;
}

static int private_add(struct vu_visitor *v, const char *name, const struct vu_stat *st,
		       uint32_t record)
{
	struct vu_item it = {
		.name = name,
		.ino = st->version.ino,
		.size = st->version.size,
		.mtime_ns = st->version.mtime_ns,
		.ctime_ns = st->version.ctime_ns,
		.n_links = vu_tree_links(st->n_links),
		.record = record,
		.kind = VU_ITEM_PRIVATE,
		.skip = (uint8_t)decide(v, name, st),
	};
	int r = attr_number(v, st, &it.attr);

	return r ? r : vu_walk_batch_add(&v->batch, &it);
}

/* ---- listing ---- */

static int on_dir(struct vu_visitor *v, const char *name)
{
	struct vu_item it = {.name = name,
			     .kind = VU_ITEM_DIR,
			     .record = vu_walk_batch_known_meet(&v->batch, name, true)};

	return vu_walk_batch_add(&v->batch, &it);
}

static int on_unified(struct vu_visitor *v, const char *name, uint64_t ino)
{
	struct vu_item it = {.name = name, .kind = VU_ITEM_UNIFIED, .ino = ino};

	return vu_walk_batch_add(&v->batch, &it);
}

/* A name that has to be looked at. */
static int on_unknown(struct vu_visitor *v, const char *name)
{
	struct vu_stat st;
	int r = vu_stat_at(v->p->fd, name, &st);

	if (r) {
		/* -ENOENT: gone since it was listed; whatever it is, look again next time */
		v->d->flags |= VU_DIR_FRESH;
		if (r != -ENOENT)
			tell(v, VU_EVENT_SKIP, VU_SKIP_UNREADABLE, r, NULL, name);
		return 0;
	}
	if (S_ISDIR(st.mode))
		return on_dir(v, name);
	if (!S_ISREG(st.mode) || !same_mount(v, &st)) {
		v->d->n_other++;
		return 0;
	}
	if (v->env->on_stat)
		v->env->on_stat(v->env->on_stat_arg, v->d->guest, &st);
	if (is_object(v, st.version.ino))
		return on_unified(v, name, st.version.ino);
	return private_add(v, name, &st, vu_walk_batch_known_meet(&v->batch, name, false));
}

static int on_entry(void *arg, const struct vu_entry *e)
{
	struct vu_visitor *v = arg;

	switch (e->type) {
	case DT_DIR:
		return on_dir(v, e->name);
	case DT_REG:
		if (v->root->trust_ino && is_object(v, e->ino))
			return on_unified(v, e->name, e->ino);
		return on_unknown(v, e->name);
	case DT_UNKNOWN:
		return on_unknown(v, e->name);
	default:
		v->d->n_other++;
		return 0;
	}
}

static int on_batch_end(void *arg)
{
	struct vu_visitor *v = arg;

	return vu_walk_batch_flush(&v->batch);
}

static bool is_fresh(const struct vu_visitor *v, const struct vu_stat *st, uint64_t now)
{
	uint64_t gran = v->env->granularity_ns;

	return st->version.mtime_ns + gran > now || st->version.ctime_ns + gran > now;
}

static void listing_begin(struct vu_visitor *v, const struct vu_stat *st)
{
	struct vu_dir *d = v->d;

	v->dir_skip = vu_entry_dir_skip(st);
	d->flags = VU_DIR_LISTED;
	if (is_fresh(v, st, vu_clock_real_ns()))
		d->flags |= VU_DIR_FRESH;
	d->ino = st->version.ino;
	d->mtime_ns = st->version.mtime_ns;
	d->ctime_ns = st->version.ctime_ns;
	d->n_unified = d->n_other = d->n_dirs = 0;
	d->fate = d->fate == VU_NEW ? VU_NEW : VU_CHANGED;
}

static int listing_run(struct vu_visitor *v, const struct vu_stat *st)
{
	struct vu_listener l = {.entry = on_entry, .batch_end = on_batch_end, .arg = v};
	int failed = 0, r = vu_walk_batch_known_load(&v->batch);

	if (r)
		return r;
	listing_begin(v, st);
	r = vu_listing_each(v->p->fd, v->buf, &l, &failed);
	if (r)
		return r;
	vu_walk_batch_known_drop(&v->batch);
	if (failed) {
		v->d->flags |= VU_DIR_FAILED;
		tell(v, VU_EVENT_SKIP, VU_SKIP_UNREADABLE, failed, NULL, NULL);
	}
	return 0;
}

/* Opens the directory; where it is open as O_PATH already, that very one. */
static int dir_open(struct vu_visitor *v, int flags)
{
	struct vu_visit *p = v->p;
	const char *name = p->fd >= 0 || !p->depth ? "" : vu_tree_text(v->t, v->d->name);
	int from = p->fd >= 0 ? p->fd : p->parent;
	int fd = vu_beneath_open(from, name, flags | (flags & O_PATH ? 0 : O_NOATIME));

	if (fd == -EPERM && !(flags & O_PATH))
		fd = vu_beneath_open(from, name, flags);
	if (fd < 0)
		return fd;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = fd;
	return 0;
}

static int visit_dirty(struct vu_visitor *v)
{
	struct vu_stat st;
	int r = dir_open(v, DIR_FLAGS);

	if (!r)
		r = vu_stat_fd(v->p->fd, &st);
	if (r == -EXDEV || (!r && !same_mount(v, &st))) {
		set_flags(v, VU_DIR_OTHER_FS);
		return 0;
	}
	if (r)
		return fail(v, r);
	if (v->env->on_stat)
		v->env->on_stat(v->env->on_stat_arg, v->d->guest, &st);
	r = listing_run(v, &st);
	v->p->enter = !r && v->d->n_dirs;
	return r;
}

/* ---- clean directories ---- */

enum {
	DIRTY = 1
};

static int look(const struct vu_visitor *v, const char *name, uint32_t inode, struct vu_stat *ret)
{
	const struct vu_walk_env *env = v->env;

	return env->look ? env->look(env->look_arg, v->p->fd, name, inode, ret)
			 : vu_stat_at(v->p->fd, name, ret);
}

/* Looks at the private files of a directory whose names are known. Returns 0, DIRTY, or an error. */
static int clean_files(struct vu_visitor *v)
{
	struct vu_tree *t = v->t;
	int r = 0;

	for (uint32_t i = v->d->first_name; !r && i != VU_NONE; i = vu_tree_name(t, i)->sibling) {
		const char *name = vu_tree_text(t, vu_tree_name(t, i)->name);
		struct vu_stat st;

		if (look(v, name, vu_tree_name(t, i)->inode, &st) || !S_ISREG(st.mode) ||
		    !same_mount(v, &st) || is_object(v, st.version.ino))
			r = DIRTY;
		else
			r = private_add(v, name, &st, i);
	}
	if (r < 0)
		return r;
	int f = vu_walk_batch_flush(&v->batch);

	return f ? f : r;
}

/* Is the directory as recorded? One without files and children of its own need not be opened. */
static int clean_look(struct vu_visitor *v)
{
	const struct vu_dir *d = v->d;
	struct vu_stat st;
	int r;

	if (d->first_child == VU_NONE && d->first_name == VU_NONE && v->p->depth) {
		r = vu_stat_at(v->p->parent, vu_tree_text(v->t, d->name), &st);
	} else {
		r = dir_open(v, PATH_FLAGS);
		if (!r)
			r = vu_stat_fd(v->p->fd, &st);
	}
	if (r || !S_ISDIR(st.mode) || !same_mount(v, &st) || st.version.ino != d->ino ||
	    st.version.mtime_ns != d->mtime_ns || st.version.ctime_ns != d->ctime_ns)
		return DIRTY;
	v->dir_skip = vu_entry_dir_skip(&st);
	return 0;
}

static int visit_clean(struct vu_visitor *v)
{
	int r = clean_look(v);

	if (!r)
		r = clean_files(v);
	if (r)
		return r;
	set_flags(v, VU_DIR_CLEAN);
	vu_walk_batch_count(&v->batch, v->d->n_unified);
	v->p->enter = v->d->first_child != VU_NONE;
	return 0;
}

/* ---- a visit ---- */

static int visit_rules(struct vu_visitor *v)
{
	const struct vu_exclude *x = v->guest->exclude;
	struct vu_visit *p = v->p;
	const char *path = "";

	p->rules = (struct vu_exclude_dir){.files_same = true, .dirs_same = true};
	if (x && !p->outer) {
		vu_exclude_root(x, &p->rules);
	} else if (x) {
		if (!p->outer->dirs_same && !(path = path_of(v, v->d->parent)))
			return -ENOMEM;
		vu_exclude_enter(x, p->outer, path, vu_tree_text(v->t, v->d->name), &p->rules);
	}
	return 0;
}

static int visit_files(struct vu_visitor *v)
{
	const struct vu_walk_env *env = v->env;
	int r = DIRTY;

	v->conffiles = false;
	if (env->is_conffile && env->dir_has_conffile) {
		const char *path = path_of(v, v->p->dir);

		if (!path)
			return -ENOMEM;
		v->conffiles = env->dir_has_conffile(env->conffile_arg, v->d->guest, path);
	}
	if (v->d->fate == VU_UNSEEN && !env->full &&
	    !(v->d->flags &
	      (VU_DIR_FRESH | VU_DIR_FAILED | VU_DIR_EXCLUDED | VU_DIR_OTHER_FS | VU_DIR_TOUCHED)))
		r = visit_clean(v);
	return r == DIRTY ? visit_dirty(v) : r;
}

int vu_visit(struct vu_visitor *v, struct vu_visit *p)
{
	int r;

	v->p = p;
	v->d = vu_tree_dir(v->t, p->dir);
	v->root = &v->s->roots[v->d->guest];
	v->guest = &v->env->guests[v->d->guest];
	vu_walk_batch_begin(&v->batch, p->dir, v->root);
	p->fd = -EBADF;
	p->enter = false;
	p->path_bytes += 1 + (uint32_t)strlen(vu_tree_text(v->t, v->d->name));
	r = visit_rules(v);
	if (r)
		return r;
	if (p->rules.verdict == VU_EXCLUDE_YES)
		set_flags(v, VU_DIR_EXCLUDED);
	else if (p->parent < 0)
		r = fail(v, p->parent);
	else if (p->depth > v->env->max_depth)
		r = beyond_limit(v, &v->root->told_depth, "deeper than max_depth: not entered");
	else if (p->path_bytes > v->env->max_path)
		r = beyond_limit(v, &v->root->told_path,
				 "the path is longer than max_depth allows: not entered");
	else if (atomic_load(&v->root->n_names) > v->env->max_files)
		r = beyond_limit(v, &v->root->told_names,
				 "more than max_files: the rest is left out");
	else
		r = visit_files(v);
	if (p->fd >= 0 && (r || !p->enter)) {
		close(p->fd);
		p->fd = -EBADF;
	}
	return r;
}

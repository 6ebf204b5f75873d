/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stack of levels, from the roots down to where the walk is. A level holds, for each side that has the
 * directory, a descriptor and what it is known again by, and the names of the subdirectories that are not
 * visited yet. Above the last OPEN_LEVELS levels descriptors are closed; on the way back up they are had
 * again by "..", which may lead anywhere in a hostile tree: it is used only if what it leads to is the
 * directory that was left (device, inode, mount). Where it is not, the path is tried from the root, likewise.
 */
#include "scan/sides.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "fs/beneath.h"
#include "scan/listing.h"

#define OPEN_LEVELS 16

struct name {
	uint32_t at;  /* in text */
	uint8_t type; /* DT_*; of a level's subdirectories: which sides have it, as bits */
};

/* Names of a directory. */
struct names {
	char *text; /* owned */
	size_t len, cap;
	struct name *v; /* owned */
	size_t n, cap_v;
};

struct level {
	int fd[2];
	bool has[2]; /* the side has this directory, even while fd is closed */
	struct vu_stat id[2];
	struct names dirs;
	size_t next;	 /* of dirs */
	size_t path_len; /* of its path in sides.path */
	size_t bytes[2]; /* of names, of each side that has them */
};

struct walk {
	const struct vu_sides *s;
	struct level *levels; /* owned */
	size_t n, cap;
	uint64_t mount[2]; /* of the roots */
	size_t held[2];	   /* bytes of names in all levels */
	char *path;	   /* owned */
	size_t path_cap;
	void *buf; /* owned; of VU_LISTING_BYTES */
};

static void names_done(struct names *l)
{
	free(l->text);
	free(l->v);
	*l = (struct names){0};
}

static int names_add(struct names *l, const char *name, uint8_t type)
{
	size_t len = strlen(name) + 1;

	if (l->len + len > l->cap) {
		size_t cap = VU_MAX(l->cap * 2, l->len + len + 1000);
		char *text = realloc(l->text, cap);

		if (!text)
			return -ENOMEM;
		l->text = text;
		l->cap = cap;
	}
	if (l->n == l->cap_v) {
		size_t cap = VU_MAX(l->cap_v * 2, (size_t)64);
		struct name *v = reallocarray(l->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap_v = cap;
	}
	memcpy(l->text + l->len, name, len);
	l->v[l->n++] = (struct name){.at = (uint32_t)l->len, .type = type};
	l->len += len;
	return 0;
}

static const char *name_at(const struct names *l, size_t i)
{
	return l->text + l->v[i].at;
}

/* The bytes that names occupy. */
static size_t names_bytes(const struct names *l)
{
	return l->len + l->n * sizeof(*l->v);
}

static int compare(const void *a, const void *b, void *text)
{
	return strcmp((const char *)text + ((const struct name *)a)->at,
		      (const char *)text + ((const struct name *)b)->at);
}

/* ---- the path ---- */

static int path_set(struct walk *w, size_t len, const char *name)
{
	size_t n = strlen(name), need = len + n + 2;

	if (need > w->path_cap) {
		char *path = realloc(w->path, need * 2);

		if (!path)
			return -ENOMEM;
		w->path = path;
		w->path_cap = need * 2;
	}
	if (len)
		w->path[len++] = '/';
	memcpy(w->path + len, name, n + 1);
	return 0;
}

/* Says that what is at name in the level l could not be looked at. */
static int trouble(struct walk *w, const struct level *l, unsigned side, const char *name, int err,
		   const char *text)
{
	int r = 0;

	if (name)
		r = path_set(w, l->path_len, name);
	else
		w->path[l->path_len] = 0;
	if (!r)
		w->s->trouble(w->s->arg, side, w->path, err, text);
	return r;
}

/* ---- one directory ---- */

struct listing {
	struct names *names;
	size_t max;
};

static int on_entry(void *arg, const struct vu_entry *e)
{
	struct listing *l = arg;

	return names_bytes(l->names) > l->max ? -E2BIG : names_add(l->names, e->name, e->type);
}

static int on_batch(void *arg)
{
	(void)arg;
	return 0;
}

/* The names of one side, in order. What cannot be read is told, and has none. */
static int list(struct walk *w, const struct level *l, unsigned side, struct names *ret)
{
	struct listing to = {.names = ret,
			     .max = VU_SIDES_NAMES_MAX - VU_MIN(w->held[side], VU_SIDES_NAMES_MAX)};
	struct vu_listener listener = {.entry = on_entry, .batch_end = on_batch, .arg = &to};
	int failed = 0;
	int r = vu_listing_each(l->fd[side], w->buf, &listener, &failed);

	if (r == -E2BIG) {
		names_done(ret);
		return trouble(w, l, side, NULL, r, "it has more names than can be held");
	}
	if (!r && failed)
		r = trouble(w, l, side, NULL, failed, NULL);
	if (!r && ret->n)
		qsort_r(ret->v, ret->n, sizeof(*ret->v), compare, ret->text);
	return r;
}

/* What a name is on one side; S_IFDIR is said by *ret_dir. */
static int look(struct walk *w, const struct level *l, unsigned side, const char *name,
		uint8_t type, struct vu_sides_file *f, bool *ret_dir)
{
	*ret_dir = type == DT_DIR;
	f->kind[side] = VU_SIDE_OTHER;
	if (type != DT_REG && type != DT_UNKNOWN)
		return 0;
	int r = vu_stat_at(l->fd[side], name, &f->st[side]);

	if (r == -ENOENT)
		f->kind[side] = VU_SIDE_NONE;
	if (r)
		return r == -ENOENT ? 0 : trouble(w, l, side, name, r, NULL);
	*ret_dir = S_ISDIR(f->st[side].mode);
	if (S_ISREG(f->st[side].mode) && f->st[side].mount == w->mount[side])
		f->kind[side] = VU_SIDE_FILE;
	return 0;
}

/* A name that one side has, or both: a file is told, a directory remembered. */
static int meet(struct walk *w, struct level *l, const char *name, const int type[2])
{
	struct vu_sides_file f = {.dir = {l->fd[0], l->fd[1]}};
	uint8_t dirs = 0;
	int r = 0;

	for (unsigned side = 0; !r && side < 2; side++) {
		bool is_dir = false;

		if (type[side] < 0)
			continue;
		r = look(w, l, side, name, (uint8_t)type[side], &f, &is_dir);
		if (is_dir)
			dirs |= (uint8_t)(1 << side);
	}
	if (!r && (f.kind[0] == VU_SIDE_FILE || f.kind[1] == VU_SIDE_FILE)) {
		r = path_set(w, l->path_len, name);
		f.path = w->path;
		f.name = name;
		if (!r)
			r = w->s->file(w->s->arg, &f);
	}
	return r || !dirs ? r : names_add(&l->dirs, name, dirs);
}

static int merge(struct walk *w, struct level *l, const struct names names[2])
{
	size_t i[2] = {0, 0};
	int r = 0;

	while (!r && (i[0] < names[0].n || i[1] < names[1].n)) {
		int order = i[0] == names[0].n ? 1
			    : i[1] == names[1].n
				    ? -1
				    : strcmp(name_at(&names[0], i[0]), name_at(&names[1], i[1]));
		int type[2] = {order <= 0 ? names[0].v[i[0]].type : -1,
			       order >= 0 ? names[1].v[i[1]].type : -1};

		r = meet(w, l, name_at(&names[order > 0], i[order > 0]), type);
		i[0] += order <= 0;
		i[1] += order >= 0;
	}
	return r;
}

VU_DEFINE_CLEANUP_DONE(struct names, names_done)

/* Reads the directory on top of the stack. */
static int visit(struct walk *w)
{
	vu_cleanup(names_done_p) struct names a = {0}, b = {0};
	struct level *l = &w->levels[w->n - 1];
	int r = vu_stop_requested() ? -ECANCELED : 0;

	if (!r && l->has[0])
		r = list(w, l, 0, &a);
	if (!r && l->has[1])
		r = list(w, l, 1, &b);
	if (!r)
		r = merge(w, l, (const struct names[]){a, b});
	for (unsigned side = 0; side < 2; side++) {
		l->bytes[side] = l->has[side] ? names_bytes(&l->dirs) : 0;
		w->held[side] += l->bytes[side];
	}
	return r;
}

/* ---- down and up ---- */

static int grow(struct walk *w)
{
	if (w->n < w->cap)
		return 0;
	size_t cap = VU_MAX(w->cap * 2, (size_t)32);
	struct level *v = reallocarray(w->levels, cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	w->levels = v;
	w->cap = cap;
	return 0;
}

/* A level is closed on a side where the one above it on the stack is of that side, too: ".." leads back. */
static void save_descriptors(struct walk *w)
{
	if (w->n <= OPEN_LEVELS)
		return;
	struct level *l = &w->levels[w->n - 1 - OPEN_LEVELS];

	for (unsigned side = 0; side < 2; side++)
		if (l[1].has[side] && l->fd[side] >= 0) {
			vu_close_p(&l->fd[side]);
			l->fd[side] = -EBADF;
		}
}

/* Opens name on one side. Gone, or no directory any more: it is not there. */
static int enter(struct walk *w, const struct level *l, unsigned side, const char *name,
		 struct level *to)
{
	int fd =
		vu_beneath_open(l->fd[side], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME);
	int r = fd < 0 ? fd : vu_stat_fd(fd, &to->id[side]);

	if (!r) {
		to->fd[side] = fd;
		to->has[side] = true;
		return 0;
	}
	vu_close_p(&fd);
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP ? 0
							    : trouble(w, l, side, name, r, NULL);
}

/* Goes into the next subdirectory of the level on top. */
static int down(struct walk *w)
{
	struct level to = {.fd = {-EBADF, -EBADF}};
	int r = grow(w);

	if (r)
		return r;
	struct level *l = &w->levels[w->n - 1];
	const char *name = name_at(&l->dirs, l->next);
	uint8_t sides = l->dirs.v[l->next++].type;

	for (unsigned side = 0; !r && side < 2; side++) {
		if (!(sides & 1 << side) || !l->has[side])
			continue;
		r = w->n > w->s->max_depth
			    ? trouble(w, l, side, name, -E2BIG, "it lies deeper than max_depth")
			    : enter(w, l, side, name, &to);
	}
	if (!r && (to.has[0] || to.has[1]))
		r = path_set(w, l->path_len, name);
	if (r || (!to.has[0] && !to.has[1])) {
		vu_close_p(&to.fd[0]);
		vu_close_p(&to.fd[1]);
		return r;
	}
	to.path_len = strlen(w->path);
	w->levels[w->n++] = to;
	save_descriptors(w);
	return visit(w);
}

/* From the root, by names: what is there now. Returns the fd or a negative errno. */
static int open_by_path(const struct walk *w, const struct level *l, unsigned side)
{
	_cleanup_fd_ int at = openat(w->s->root[side], ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *path = strndup(w->path, l->path_len);
	char *save = NULL;

	if (!path)
		return -ENOMEM;
	for (char *name = strtok_r(path, "/", &save); name && at >= 0;
	     name = strtok_r(NULL, "/", &save)) {
		int fd = vu_beneath_open(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);

		close(at);
		at = fd;
	}
	return vu_take_fd(at);
}

/* Takes fd over if it is the directory that the level is of. */
static bool take_back_consume(struct level *l, unsigned side, int fd)
{
	const struct vu_stat *id = &l->id[side];
	struct vu_stat st;

	if (fd >= 0 && !vu_stat_fd(fd, &st) && st.version.dev == id->version.dev &&
	    st.version.ino == id->version.ino && st.mount == id->mount) {
		l->fd[side] = fd;
		return true;
	}
	vu_close_p(&fd);
	return false;
}

/* Opens anew what was closed to save descriptors; where it was moved meanwhile, and so what is on the way, too. */
static int climb(struct walk *w, const struct level *from, struct level *to, unsigned side)
{
	if (!to->has[side] || to->fd[side] >= 0)
		return 0;
	if (from->fd[side] >= 0 &&
	    take_back_consume(to, side,
			      openat(from->fd[side], "..", O_PATH | O_DIRECTORY | O_CLOEXEC)))
		return 0;
	int fd = open_by_path(w, to, side);

	if (fd == -ENOMEM)
		return fd;
	if (take_back_consume(to, side, fd))
		return 0;
	to->has[side] = false;
	return trouble(w, to, side, NULL, -ESTALE, "it was moved while it was looked at");
}

static void level_done(struct walk *w, struct level *l)
{
	for (unsigned side = 0; side < 2; side++) {
		w->held[side] -= l->bytes[side];
		vu_close_p(&l->fd[side]);
	}
	names_done(&l->dirs);
}

static int up(struct walk *w)
{
	struct level from = w->levels[--w->n];
	int r = 0;

	for (unsigned side = 0; !r && w->n && side < 2; side++)
		r = climb(w, &from, &w->levels[w->n - 1], side);
	level_done(w, &from);
	return r;
}

static int start(struct walk *w)
{
	struct level l = {.fd = {-EBADF, -EBADF}};
	int r = grow(w);

	w->buf = malloc(VU_LISTING_BYTES);
	if (!r)
		r = w->buf ? path_set(w, 0, "") : -ENOMEM;
	for (unsigned side = 0; !r && side < 2 && w->s->root[side] >= 0; side++) {
		l.fd[side] = openat(w->s->root[side], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = l.fd[side] < 0 ? -errno : vu_stat_fd(l.fd[side], &l.id[side]);
		l.has[side] = true;
		w->mount[side] = l.id[side].mount;
	}
	if (r) {
		vu_close_p(&l.fd[0]);
		vu_close_p(&l.fd[1]);
		return r;
	}
	w->levels[w->n++] = l;
	return visit(w);
}

int vu_sides_walk(const struct vu_sides *s)
{
	struct walk w = {.s = s};
	int r = start(&w);

	while (!r && w.n) {
		const struct level *l = &w.levels[w.n - 1];

		r = l->next < l->dirs.n ? down(&w) : up(&w);
	}
	while (w.n)
		level_done(&w, &w.levels[--w.n]);
	free(w.levels);
	free(w.path);
	free(w.buf);
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each file is read: the object itself; what the admin named; other objects of the same key; the same path in other
 * guests of the domain; files and objects of which the catalog says that they have the content; private files of
 * the same size. The first that gives the key is taken. Its metadata may be others: then those of the damaged object
 * are tried, and what the catalog recorded; again only the key decides.
 */
#include "ops/repair-source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "base/want.h"
#include "db/catalog-find.h"
#include "fs/beneath.h"
#include "fs/reopen.h"
#include "fs/stat.h"
#include "fs/xattr.h"
#include "link/slip.h"
#include "scan/treeopen.h"

#define BY_CONTENT_MAX 64 /* files that the catalog names for one content */
#define BY_SIZE_MAX 256	  /* private files of the same size that are read */

/* The metadata that an object may have had, and a file that has the xattrs. */
struct metadata {
	int fd; /* borrowed */
	uint64_t mtime_ns;
	struct vu_attr attr;
	bool known;
};

struct searching {
	struct vu_repair *r;
	struct vu_checked *o;
	size_t pool;
	const struct vu_bad_name *names; /* of the object */
	size_t n_names;
	const char *domain;	 /* of a guest that has it; or NULL */
	struct vu_identifier *w; /* borrowed */
	int fd;			 /* owned; the damaged object, or a negative errno */
	struct vu_stat st;	 /* of it */
	struct metadata damaged, recorded;
	const struct vu_inode *record; /* of the catalog; or NULL */
	char *label;		       /* owned; what was found */
	int err;		       /* of a file that could not be read, or used */
};

static struct vu_session *session_of(const struct searching *s)
{
	return s->r->env->session;
}

static const struct vu_pool *pool_of(const struct searching *s)
{
	return session_of(s)->fs[s->pool].pool;
}

/* ---- one file ---- */

static bool is_fatal(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EROFS || r == -ECANCELED || vu_is_want(r);
}

/* It is no more than one file, unless it is more. Returns 0 or r. */
static int one_failed(struct searching *s, int r)
{
	if (is_fatal(r))
		return r;
	s->err = r;
	return 0;
}

/* The content with these metadata: is it what the object was? 1, 0 or fatal. */
static int fits(struct searching *s, uint64_t size, const struct vu_digest *content,
		const struct metadata *m)
{
	return m->known ? vu_identify_value(s->w, &s->o->key, NULL, content, size, m->mtime_ns,
					    &m->attr)
			: 0;
}

/* If it is, it is noted. */
static int try_metadata(struct searching *s, int fd, uint64_t size, const struct vu_digest *content,
			const struct metadata *m)
{
	int r = fits(s, size, content, m);

	if (r <= 0 || s->r->dry_run)
		return r;
	r = vu_slip_note_damage(&s->r->eviction->watch, pool_of(s), &s->o->key,
				&(struct vu_slip_source){
					.content = fd,
					.metadata = m->fd,
					.size = size,
					.mtime_ns = m->mtime_ns,
					.attr = &m->attr,
				},
				VU_XATTR_ANY);
	return !r || r == -EEXIST ? 1 : one_failed(s, r);
}

static int try_open(struct searching *s, int fd)
{
	struct metadata own = {.fd = fd, .known = true}, recorded = s->recorded;
	struct vu_digest content;
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	if (r || !S_ISREG(st.mode))
		return 0;
	own.mtime_ns = st.version.mtime_ns;
	own.attr = vu_stat_attr(&st);
	r = vu_xattr_complete(fd, s->w->hash, VU_XATTR_ANY, &own.attr);
	own.known = !r;
	if (r < 0)
		s->err = r;
	r = vu_identify_content(s->w, fd, st.version.size, &content);
	if (r)
		return one_failed(s, r);
	recorded.fd = fd;
	r = try_metadata(s, fd, st.version.size, &content, &own);
	if (!r)
		r = try_metadata(s, fd, st.version.size, &content, &s->damaged);
	return r ? r : try_metadata(s, fd, st.version.size, &content, &recorded);
}

/* Reads a file that was pinned (O_PATH); takes pin over. label: what it is called, "GUEST:" and a path. */
static int try_pinned(struct searching *s, int pin_consume, const char *guest, const char *path)
{
	_cleanup_fd_ int pin = pin_consume;
	struct vu_stat st;

	/* that there is none, or that the way there leads out of the guest, is no failure */
	if (pin == -ENOENT || pin == -ENOTDIR || pin == -ELOOP || pin == -EXDEV)
		return 0;
	int r = pin < 0 ? pin : vu_stat_fd(pin, &st);

	if (r)
		return one_failed(s, r);
	if (!S_ISREG(st.mode))
		return 0;
	if (st.version.ino == s->o->ino && st.version.dev == vu_pool_dev(pool_of(s)))
		return 0;
	_cleanup_fd_ int fd = vu_reopen(pin, O_RDONLY | O_NOATIME);

	r = fd < 0 ? one_failed(s, fd) : try_open(s, fd);

	if (r > 0 && asprintf(&s->label, "%s%s%s", guest, *guest ? ":/" : "", path) < 0)
		return (s->label = NULL, -ENOMEM);
	return r;
}

/* ---- where it is looked for ---- */

/* What the admin named: the file itself, or below a directory what guests call it. */
static int try_from(struct searching *s)
{
	int r = 0;

	for (const char *const *f = s->r->from; !r && f && *f; f++) {
		_cleanup_fd_ int at = open(*f, O_PATH | O_CLOEXEC);
		struct vu_stat st;

		if (at < 0 || vu_stat_fd(at, &st))
			continue;
		if (!S_ISDIR(st.mode)) {
			r = try_pinned(s, vu_take_fd(at), "", *f);
			continue;
		}
		for (size_t i = 0; !r && i < s->n_names; i++) {
			_cleanup_free_ char *path = NULL;

			if (asprintf(&path, "%s/%s", *f, s->names[i].path) < 0)
				return (path = NULL, -ENOMEM);
			r = try_pinned(s,
				       vu_beneath_open(at, s->names[i].path, O_PATH | O_NOFOLLOW),
				       "", path);
		}
	}
	return r;
}

/* Its content may be what it was, under metadata that are not. */
static int try_itself(struct searching *s)
{
	int r = s->fd < 0 ? 0 : try_open(s, s->fd);

	if (r > 0)
		s->label = strdup("its own, and the metadata that it had");
	return r;
}

/* Objects stand in the order of their keys. */
static int try_siblings(struct searching *s)
{
	const struct vu_checked_pool *p = &s->r->pools[s->pool];
	uint32_t me = (uint32_t)(s->o - p->v), i = me;
	int r = 0;

	while (i && !memcmp(&p->v[i - 1].key.hash, &s->o->key.hash, sizeof(s->o->key.hash)))
		i--;
	for (; !r && i < p->n; i++) {
		char name[VU_KEY_NAME_MAX];

		if (memcmp(&p->v[i].key.hash, &s->o->key.hash, sizeof(s->o->key.hash)) != 0)
			break;
		_cleanup_fd_ int fd =
			i == me ? -EBADF : vu_pool_object_open(pool_of(s), &p->v[i].key);

		r = fd < 0 ? 0 : try_open(s, fd);
		if (r > 0) {
			vu_key_name(&p->v[i].key, name);
			s->label = strdup(name);
		}
	}
	return r;
}

static bool may_serve(const struct searching *s, size_t guest)
{
	return s->domain && !strcmp(s->r->names->all.guests.v[guest].domain, s->domain);
}

static int try_path(struct searching *s, size_t guest, const char *path)
{
	const struct vu_session *all = &s->r->names->all;

	return try_pinned(s, vu_beneath_open(all->root_fds[guest], path, O_PATH | O_NOFOLLOW),
			  all->guests.v[guest].name, path);
}

/* What the object is called in one guest is what the same file is called in others. */
static int try_same_paths(struct searching *s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->n_names; i++) {
		if (i && !strcmp(s->names[i].path, s->names[i - 1].path))
			continue;
		for (size_t g = 0; !r && g < s->r->names->all.guests.n; g++)
			if (may_serve(s, g))
				r = try_path(s, g, s->names[i].path);
	}
	return r;
}

static int try_recorded_file(void *arg, uint32_t id, const char *path, uint64_t size)
{
	struct searching *s = arg;
	const struct vu_guests *guests = &s->r->names->all.guests;

	(void)size;
	for (size_t g = 0; g < guests->n; g++)
		if (guests->v[g].id == id && may_serve(s, g))
			return try_path(s, g, path);
	return 0;
}

static int try_recorded_object(void *arg, const char *fs_id, uint64_t ino, const struct vu_key *key,
			       uint32_t n_links)
{
	struct searching *s = arg;
	char name[VU_KEY_NAME_MAX];
	(void)n_links;

	if (ino == s->o->ino || strcmp(fs_id, session_of(s)->fs[s->pool].mount.fs_id) != 0)
		return 0;
	_cleanup_fd_ int fd = vu_pool_object_open(pool_of(s), key);
	int r = fd < 0 ? 0 : try_open(s, fd);

	if (r > 0) {
		vu_key_name(key, name);
		s->label = strdup(name);
	}
	return r;
}

static int try_recorded(struct searching *s)
{
	struct vu_catalog *cat = session_of(s)->catalog;
	const struct vu_tree *t = s->r->env->tree;

	if (!cat || !s->record || s->record->content == VU_NONE)
		return 0;
	const struct vu_digest *d = &vu_tree_content(t, s->record->content)->digest;
	int r = vu_catalog_find_content(cat, d, BY_CONTENT_MAX, try_recorded_file, s);

	if (!r)
		r = vu_catalog_find_objects(cat, d, try_recorded_object, s);
	/* what the catalog cannot tell is looked for elsewhere */
	return s->label || r == -ENOSPC || r == -ECANCELED || vu_is_want(r) ? r : 0;
}

static int try_sizes(struct searching *s)
{
	struct vu_verify_names *n = s->r->names;
	uint64_t size = s->record ? s->record->size : s->st.version.size;
	unsigned tried = 0;
	int r = 0;

	for (uint32_t i = 0; !r && i < n->farm.tree->inodes.n && tried < BY_SIZE_MAX; i++) {
		const struct vu_inode *f = vu_tree_inode(n->farm.tree, i);

		if (f->flags & VU_INODE_OBJECT || f->first_name == VU_NONE || f->size != size ||
		    f->fate == VU_GONE || !may_serve(s, f->guest))
			continue;
		_cleanup_free_ char *path = vu_tree_name_path(n->farm.tree, f->first_name);

		if (!path)
			return -ENOMEM;
		tried++;
		r = try_pinned(
			s, vu_treeopen_name(n->farm.tree, n->all.root_fds[f->guest], f->first_name),
			n->all.guests.v[f->guest].name, path);
	}
	return r;
}

/* 1: found and noted. 0: there is none. */
static int search(struct searching *s)
{
	int (*const places[])(struct searching *) = {try_itself,     try_from,	   try_siblings,
						     try_same_paths, try_recorded, try_sizes};
	int r = 0;

	for (size_t i = 0; !r && i < VU_ARRAY_SIZE(places); i++)
		r = vu_stop_requested() ? -ECANCELED : places[i](s);
	return r;
}

/* ---- one object ---- */

/* What is known of it: metadata that it has, and had. */
static void know(struct searching *s, const struct vu_inomap *recorded)
{
	const struct vu_tree *t = s->r->env->tree;
	uint32_t i;

	s->fd = vu_pool_object_open_stat(pool_of(s), &s->o->key, &s->st);
	if (s->fd >= 0) {
		s->damaged = (struct metadata){
			.fd = s->fd,
			.mtime_ns = s->st.version.mtime_ns,
			.attr = vu_stat_attr(&s->st),
		};
		s->damaged.known =
			!vu_xattr_complete(s->fd, s->w->hash, VU_XATTR_ANY, &s->damaged.attr);
	}
	if (!t || !vu_inomap_get(recorded, s->o->ino, &i))
		return;
	s->record = vu_tree_inode(t, i);
	if (vu_place_compare(vu_tree_key(t, s->record->key), &s->o->key) ||
	    s->record->attr == VU_NONE) {
		s->record = NULL;
		return;
	}
	s->recorded = (struct metadata){
		.mtime_ns = s->record->mtime_ns,
		.attr = *vu_attrs_at(t->attrs, s->record->attr),
	};
	s->recorded.known = s->recorded.attr.full;
}

static void find_names(struct searching *s)
{
	const struct vu_verify_names *n = s->r->names;
	uint32_t object = (uint32_t)(s->o - s->r->pools[s->pool].v);

	for (size_t i = 0; i < n->n_bad; i++) {
		if (n->bad[i].pool != s->pool || n->bad[i].object != object)
			continue;
		if (!s->n_names)
			s->names = &n->bad[i];
		s->n_names++;
		if (n->all.guests.v[n->bad[i].guest].id)
			s->domain = n->all.guests.v[n->bad[i].guest].domain;
	}
}

int vu_repair_source_find(struct vu_repair *r, struct vu_identifier *w, size_t pool,
			  struct vu_checked *o, char **ret_label, int *ret_err)
{
	struct searching s = {.r = r, .o = o, .pool = pool, .w = w, .fd = -EBADF};

	find_names(&s);
	know(&s, &r->recorded[pool]);
	int e = search(&s);

	vu_close_p(&s.fd);
	if (e > 0 && !s.label)
		e = -ENOMEM;
	if (e > 0)
		*ret_label = vu_take_ptr(s.label);
	free(s.label);
	*ret_err = s.err;
	return e;
}

/* ---- from elsewhere (ops/repair-archive.c) ---- */

bool vu_repair_source_size(struct vu_repair *r, struct vu_identifier *w, size_t pool,
			   struct vu_checked *o, uint64_t *ret)
{
	struct searching s = {.r = r, .o = o, .pool = pool, .w = w, .fd = -EBADF};
	bool recorded;

	know(&s, &r->recorded[pool]);
	recorded = s.record;
	*ret = recorded ? s.record->size : 0;
	vu_close_p(&s.fd);
	return recorded;
}

int vu_repair_source_fits(struct vu_repair *r, struct vu_identifier *w, size_t pool,
			  struct vu_checked *o, const struct vu_digest *content, uint64_t size,
			  uint64_t mtime_ns, const struct vu_attr *attr)
{
	struct searching s = {.r = r, .o = o, .pool = pool, .w = w, .fd = -EBADF};
	struct metadata own = {.mtime_ns = mtime_ns, .attr = *attr, .known = true};
	int e;

	know(&s, &r->recorded[pool]);
	own.attr.flags = s.damaged.attr.flags;
	e = fits(&s, size, content, &own);
	if (!e)
		e = fits(&s, size, content, &s.damaged);
	if (!e)
		e = fits(&s, size, content, &s.recorded);
	vu_close_p(&s.fd);
	return e;
}

int vu_repair_source_take(struct vu_repair *r, struct vu_identifier *w, size_t pool,
			  struct vu_checked *o, int fd, int *ret_err)
{
	struct searching s = {.r = r, .o = o, .pool = pool, .w = w, .fd = -EBADF};

	know(&s, &r->recorded[pool]);
	int e = try_open(&s, fd);

	vu_close_p(&s.fd);
	*ret_err = s.err;
	return e;
}

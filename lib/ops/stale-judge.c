/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vunify replaces it exchanges with a name below .vunify/stage, and removes there: that is what the kernel calls
 * the mapped file from then on, and the name that it had is lost. But it had become equal to an object: so its key is
 * made of it as it is, and if the guest has a name of an object with this key, that is what is there now. If the guest
 * has not, but a private file that is equal (unmerged since), then it is that. Else it has been changed since.
 */
#include "ops/stale-judge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "base/want.h"
#include "fs/beneath.h"
#include "fs/pagecache.h"
#include "fs/reopen.h"
#include "fs/xattr.h"
#include "link/pool-listing.h"
#include "ops/farm.h"
#include "ops/sound.h"
#include "scan/treeopen.h"

#define READ_BYTES ((size_t)128 << 10)
#define READ_MAX (UINT64_C(16) << 30) /* of one guest: it chooses how large its files are */
#define STAGE "/.vunify/stage/"

int vu_stale_judge_init(struct vu_stale_judge *j, struct vu_session *s, struct vu_holders *h)
{
	*j = (struct vu_stale_judge){
		.session = s,
		.h = h,
		.hash = vu_hash_new(),
		.read = calloc(s->guests.n + 1, sizeof(*j->read)),
		.buf = malloc(2 * READ_BYTES),
	};
	return j->hash && j->read && j->buf ? 0 : -ENOMEM;
}

void vu_stale_judge_done(struct vu_stale_judge *j)
{
	vu_hash_free(j->hash);
	free(j->read);
	free(j->buf);
	*j = (struct vu_stale_judge){0};
}

/* ---- what is known by its path ---- */

/* May so much more be read of the guest's? */
static bool may_read(struct vu_stale_judge *j, size_t guest, uint64_t bytes)
{
	if (bytes > READ_MAX - j->read[guest]) {
		j->h->truncated = true;
		return false;
	}
	j->read[guest] += bytes;
	return true;
}

/* Opens for reading what fd (O_PATH, a regular file) leads to; -EAGAIN: somebody holds a lease. */
static int open_to_read(int fd)
{
	return vu_reopen(fd, O_RDONLY | O_NONBLOCK | O_NOATIME);
}

/* 1: the same bytes, 0: not, or a negative errno. Both are size bytes long. */
static int is_equal(struct vu_stale_judge *j, int a, int b, uint64_t size)
{
	struct vu_quiet_reader qa, qb;
	int r = 1;

	vu_quiet_begin(&qa, a, size, true);
	vu_quiet_begin(&qb, b, size, true);
	for (uint64_t at = 0; r == 1 && at < size; at += READ_BYTES) {
		size_t n = (size_t)VU_MIN(size - at, READ_BYTES);
		ssize_t na = vu_quiet_read(&qa, j->buf, n, at),
			nb = vu_quiet_read(&qb, j->buf + READ_BYTES, n, at);

		j->h->progress++;
		if (na < 0 || nb < 0)
			r = (int)(na < 0 ? na : nb);
		else if (vu_stop_requested())
			r = -ECANCELED;
		else
			r = na == (ssize_t)n && nb == na && !memcmp(j->buf, j->buf + READ_BYTES, n);
	}
	vu_quiet_end(&qa);
	vu_quiet_end(&qb);
	return r;
}

/* "\012" of maps back to newlines: for a name that is not there as it stands. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		bool newline = !strncmp(s, "\\012", 4);

		*to = *s;
		if (newline)
			*to = '\n';
		to++;
		s += newline ? 4 : 1;
	}
	*to = 0;
}

/* What the kernel's name means in the guest: the host's names begin with the guest's path, its own mounts' do not. */
static const char *in_guest(const struct vu_guest *g, const char *mapped)
{
	size_t n = strlen(g->path);

	if (!strncmp(mapped, g->path, n) && mapped[n] == '/')
		mapped += n;
	return mapped + strspn(mapped, "/");
}

/* What is at the path now; O_PATH. */
static int open_now(const struct vu_stale_judge *j, struct vu_holders_inode *i)
{
	int root = j->session->root_fds[i->guest];
	int fd = vu_beneath_open(root, i->path, O_PATH | O_NOFOLLOW);

	if (fd == -ENOENT && strstr(i->path, "\\012")) {
		unescape(i->path);
		fd = vu_beneath_open(root, i->path, O_PATH | O_NOFOLLOW);
	}
	return fd;
}

/* A file may be called so, and be there: then the kernel says of its name what it would say of one that has gone. */
static bool is_only_called_so(const struct vu_stale_judge *j, const struct vu_holders_inode *i)
{
	_cleanup_free_ char *name = NULL;
	struct vu_stat st;

	if (!i->links || asprintf(&name, "%s (deleted)", i->path) < 0)
		return false;
	_cleanup_fd_ int fd =
		vu_beneath_open(j->session->root_fds[i->guest], name, O_PATH | O_NOFOLLOW);

	return fd >= 0 && !vu_stat_fd(fd, &st) && st.version.ino == i->ino &&
	       st.version.dev == i->dev;
}

static int judge_by_path(struct vu_stale_judge *j, int old, struct vu_holders_inode *i)
{
	const struct vu_guest *g = &j->session->guests.v[i->guest];

	snprintf(i->path, sizeof(i->path), "%s", in_guest(g, i->mapped));
	_cleanup_fd_ int pin = open_now(j, i), now = -EBADF;
	struct vu_stat st;

	if (pin == -ENOENT || pin == -ENOTDIR)
		i->kind = is_only_called_so(j, i) ? VU_HOLDERS_IN_PLACE : VU_HOLDERS_REMOVED;
	if (pin < 0)
		return vu_is_want(pin) ? pin : 0;
	if (vu_stat_fd(pin, &st))
		return 0;
	if (st.version.ino == i->ino && st.version.dev == i->dev) {
		i->kind = VU_HOLDERS_IN_PLACE;
		return 0;
	}
	if (!S_ISREG(st.mode) || st.version.size != i->size) {
		i->kind = VU_HOLDERS_CHANGED;
		return 0;
	}
	if (old < 0 || !may_read(j, i->guest, i->size))
		return 0;
	now = open_to_read(pin);
	int r = now < 0 ? now : is_equal(j, old, now, i->size);

	if (r >= 0)
		i->kind = r ? VU_HOLDERS_SAME : VU_HOLDERS_CHANGED;
	return vu_is_want(r) || r == -ECANCELED ? r : 0;
}

/* ---- what vunify replaced ---- */

static int hash_content(struct vu_stale_judge *j, int fd, uint64_t size, struct vu_digest *ret)
{
	struct vu_quiet_reader q;
	ssize_t n = 1;

	vu_hash_begin(j->hash);
	vu_quiet_begin(&q, fd, size, true);
	for (uint64_t at = 0; n > 0 && at < size && !vu_stop_requested(); at += (uint64_t)n) {
		n = vu_quiet_read(&q, j->buf, (size_t)VU_MIN(size - at, READ_BYTES), at);
		j->h->progress++;
		if (n > 0)
			vu_hash_add(j->hash, j->buf, (size_t)n);
	}
	vu_quiet_end(&q);
	if (vu_stop_requested())
		return -ECANCELED;
	return n < 0 ? (int)n : vu_hash_end(j->hash, ret->b);
}

/* Notes by what it can be found again. */
static int note_key(struct vu_stale_judge *j, int fd, const struct vu_replaced *m,
		    struct vu_holders_inode *i)
{
	const struct vu_guest *g = &j->session->guests.v[i->guest];
	struct vu_attr attr = vu_stat_attr(&m->st);
	struct vu_key key;
	int r = hash_content(j, fd, i->size, &i->digest);

	if (!r)
		r = vu_xattr_complete(fd, j->hash, j->session->ops->config->max_xattr_bytes, &attr);
	for (int with_mtime = 0; !r && with_mtime < 2; with_mtime++) {
		r = vu_key_make(j->hash, g->domain, &i->digest, i->size, &attr, with_mtime,
				i->mtime_ns, &key);
		i->key[with_mtime] = key.hash;
	}
	i->has_digest = !r;
	return vu_is_want(r) || r == -ECANCELED ? r : 0;
}

/* Is the kernel's name one that only vunify gives? */
static bool is_moved(const struct vu_stale_judge *j, const char *mapped, uint64_t dev)
{
	for (size_t i = 0; i < j->session->n_fs; i++) {
		const struct vu_mount *m = &j->session->fs[i].mount;
		size_t n = strcmp(m->point, "/") ? strlen(m->point) : 0;

		if (m->dev == dev && !strncmp(mapped, m->point, n) &&
		    !strncmp(mapped + n, STAGE, sizeof(STAGE) - 1))
			return true;
	}
	return false;
}

int vu_stale_judge_mapped(struct vu_stale_judge *j, const struct vu_replaced *m,
			  struct vu_holders_inode *i)
{
	i->size = m->st.version.size;
	i->mtime_ns = m->st.version.mtime_ns;
	i->links = m->st.n_links;
	snprintf(i->mapped, sizeof(i->mapped), "%s", m->path);
	if (i->guest >= j->session->guests.n)
		return 0;
	_cleanup_fd_ int fd = open_to_read(m->fd);

	if (vu_is_want(fd))
		return fd;
	if (fd >= 0)
		(void)vu_pagecache_resident(fd, i->size, false, &i->pages);
	if (!is_moved(j, m->path, i->dev))
		return judge_by_path(j, fd, i);
	i->kind = VU_HOLDERS_MOVED;
	return fd >= 0 && may_read(j, i->guest, i->size) ? note_key(j, fd, m, i) : 0;
}

/* ---- finding it again ---- */

struct keyed {
	struct vu_digest hash;
	uint64_t ino;
};

struct finding {
	struct vu_stale_judge *j;
	struct vu_tree *t;
	struct keyed *objects; /* owned; of one file system, sorted */
	size_t n;
	struct vu_inomap *names; /* owned; one for each guest: object -> one of its names + 1 */
};

static int by_hash(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct vu_digest));
}

/* The objects of a pool, by the hash of their key. */
static int list_objects(struct finding *f, const struct vu_pool *pool)
{
	struct vu_pool_listing l = {0};
	int r = vu_pool_listing_read(&l, pool);

	free(f->objects);
	f->objects = r ? NULL : calloc(l.n + 1, sizeof(*f->objects));
	f->n = 0;
	if (!r && !f->objects)
		r = -ENOMEM;
	for (uint32_t i = 0; !r && i < l.by_ino.slots; i++)
		if (l.by_ino.slot[i].ino)
			f->objects[f->n++] = (struct keyed){l.keys[l.by_ino.slot[i].value].hash,
							    l.by_ino.slot[i].ino};
	if (!r)
		qsort(f->objects, f->n, sizeof(*f->objects), by_hash);
	vu_pool_listing_done(&l);
	return r;
}

static int note_names(struct finding *f)
{
	const struct vu_tree *t = f->t;
	int r = 0;

	f->names = calloc(f->j->session->guests.n + 1, sizeof(*f->names));
	if (!f->names)
		return -ENOMEM;
	for (uint32_t i = 0; !r && i < t->unified.n; i++) {
		const struct vu_unified_name *u = vu_tree_unified(t, i);

		r = vu_inomap_set(&f->names[vu_tree_dir(t, u->dir)->guest], u->ino, i + 1);
	}
	return r;
}

static void name_it(struct vu_holders_inode *i, char *path_consume)
{
	_cleanup_free_ char *path = path_consume;

	if (path)
		snprintf(i->path, sizeof(i->path), "%s", path);
}

/* Has the guest a name of an object with this key? */
static bool find_object(const struct finding *f, struct vu_holders_inode *i, int with_mtime)
{
	const struct keyed *k =
		f->n ? bsearch(&i->key[with_mtime], f->objects, f->n, sizeof(*k), by_hash) : NULL;
	uint32_t name;

	while (k && k > f->objects && !by_hash(k - 1, &i->key[with_mtime]))
		k--;
	for (; k && k < f->objects + f->n && !by_hash(k, &i->key[with_mtime]); k++)
		if (vu_inomap_get(&f->names[i->guest], k->ino, &name)) {
			name_it(i, vu_tree_unified_path(f->t, vu_tree_unified(f->t, name - 1)));
			return true;
		}
	return false;
}

static bool has_content(const struct finding *f, const struct vu_inode *n,
			const struct vu_holders_inode *i)
{
	_cleanup_fd_ int pin =
		vu_treeopen_name(f->t, f->j->session->root_fds[i->guest], n->first_name);
	_cleanup_fd_ int fd = pin < 0 ? -EBADF : open_to_read(pin);
	struct vu_digest d;
	struct vu_stat st;

	return fd >= 0 && !vu_stat_fd(fd, &st) && S_ISREG(st.mode) && st.version.size == i->size &&
	       may_read(f->j, i->guest, i->size) && !vu_sound_digest(f->j->hash, fd, i->size, &d) &&
	       !memcmp(&d, &i->digest, sizeof(d));
}

/* Has it a private file that is equal? What vunify breaks keeps its time. */
static bool find_private(const struct finding *f, struct vu_holders_inode *i)
{
	for (uint32_t k = 0; k < f->t->inodes.n; k++) {
		const struct vu_inode *n = vu_tree_inode(f->t, k);

		if (n->flags & VU_INODE_OBJECT || n->first_name == VU_NONE ||
		    n->guest != i->guest || n->size != i->size || n->mtime_ns != i->mtime_ns ||
		    !has_content(f, n, i))
			continue;
		name_it(i, vu_tree_name_path(f->t, n->first_name));
		return true;
	}
	return false;
}

static bool is_open(const struct vu_stale_judge *j, const struct vu_holders_inode *i)
{
	return i->kind == VU_HOLDERS_MOVED && i->guest < j->session->guests.n;
}

static int find_on(struct finding *f, size_t fs)
{
	const struct vu_session *s = f->j->session;
	struct vu_holders *h = f->j->h;
	int r = s->fs[fs].pool ? list_objects(f, s->fs[fs].pool) : 0;

	for (uint32_t k = 0; !r && k < h->n_inodes; k++) {
		struct vu_holders_inode *i = &h->inode[k];

		if (!is_open(f->j, i) || s->guest_fs[i->guest] != fs)
			continue;
		if (!i->has_digest)
			i->kind = VU_HOLDERS_UNKNOWN;
		else if (find_object(f, i, 1) || find_object(f, i, 0) || find_private(f, i))
			i->kind = VU_HOLDERS_SAME;
		else
			i->kind = VU_HOLDERS_CHANGED;
		if (vu_stop_requested())
			r = -ECANCELED;
	}
	return r;
}

int vu_stale_judge_moved(struct vu_stale_judge *j)
{
	struct finding f = {.j = j};
	struct vu_farm farm = {0};
	uint32_t n = 0;
	int r = 0;

	for (uint32_t i = 0; i < j->h->n_inodes; i++)
		n += is_open(j, &j->h->inode[i]);
	if (!n)
		return 0;
	r = vu_farm_open(&farm, j->session, 0);
	if (!r)
		r = vu_farm_walk(&farm);
	f.t = farm.tree;
	if (!r)
		r = note_names(&f);
	for (size_t i = 0; !r && i < j->session->n_fs; i++)
		r = find_on(&f, i);
	for (size_t i = 0; f.names && i < j->session->guests.n; i++)
		vu_inomap_done(&f.names[i]);
	free(f.names);
	free(f.objects);
	vu_farm_close(&farm);
	return r;
}

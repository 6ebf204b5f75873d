/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A regular file. A small one is gathered in memory, a larger one in a file without a name. Where the content
 * may be known, its digest comes with it, or it is hashed here. If it is, what was gathered goes away, and an
 * empty file stands in its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/unpack-int.h"
#include "archive/untar.h"
#include "base/cleanup.h"
#include "base/write.h"
#include "fs/exchange.h"

#define BLOCK ((size_t)4096)

/* What no data come for is zeros. */
static void pass_hole(struct vu_filling *g, uint64_t len)
{
	static const char zeros[65536];

	g->holes += len;
	if (g->f.data && len)
		memset(g->u->buf + g->at, 0, (size_t)len);
	if (g->holes > VU_UNTAR_HOLES)
		g->hash = false;
	while (g->hash && len) {
		size_t n = (size_t)VU_MIN(len, sizeof(zeros));

		vu_hash_add(g->u->content_hash, zeros, n);
		len -= n;
	}
}

static int take_data(struct vu_filling *g, const struct vu_stream_item *it)
{
	if (it->at < g->at || it->at > g->f.size || it->len > g->f.size - it->at)
		return -EPROTO;
	pass_hole(g, it->at - g->at);
	if (g->hash)
		vu_hash_add(g->u->content_hash, it->data, it->len);
	g->at = it->at + it->len;
	if (g->fd >= 0)
		return vu_write_all_at(g->fd, it->data, it->len, it->at);
	if (g->f.data)
		memcpy(g->u->buf + it->at, it->data, it->len);
	return 0;
}

/* All data, to the member's end. */
static int gather(struct vu_filling *g)
{
	struct vu_stream_item it;
	int r;

	while (!(r = vu_unpack_next(g->u, &it)) && it.kind == VU_STREAM_DATA) {
		r = take_data(g, &it);
		if (r)
			return r;
	}
	if (r || it.kind != VU_STREAM_END)
		return r ? r : -EPROTO;
	if (it.digest)
		g->f.digest = *it.digest;
	g->hashed = it.digest;
	pass_hole(g, g->f.size - g->at);
	if (g->hash) {
		if (vu_hash_end(g->u->content_hash, g->f.digest.b))
			return -EIO;
		g->hashed = true;
	}
	if (g->fd >= 0 && ftruncate(g->fd, (off_t)g->f.size))
		return -errno;
	return 0;
}

static int begin(struct vu_filling *g)
{
	struct vu_unpack *u = g->u;
	bool is_large = g->f.size > (u->knows ? VU_UNPACK_BUF : VU_UNPACK_NEW);

	if (is_large && g->unkept) {
		g->f.data = NULL;
	} else if (is_large) {
		g->fd = openat(u->env->root, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
		if (g->fd < 0)
			return -errno;
		g->f.fd = g->fd;
	} else {
		g->f.data = u->buf;
	}
	if (g->hash)
		vu_hash_begin(u->content_hash);
	return 0;
}

static uint64_t mtime_ns(const struct vu_member *m)
{
	/* as fs/stat.c does; what lies beyond is equal to nothing */
	if (m->mtime_sec < -INT64_C(2147483648) || m->mtime_sec > INT64_C(16299260424))
		return VU_TIME_BEYOND;
	return (uint64_t)m->mtime_sec * UINT64_C(1000000000) + m->mtime_nsec;
}

int vu_filling_init(struct vu_filling *g, struct vu_unpack *u, const struct vu_member *m,
		    const struct vu_attr *attr)
{
	*g = (struct vu_filling){
		.u = u,
		.f = {.path = u->path,
		      .size = m->size,
		      .mtime_ns = mtime_ns(m),
		      .attr = *attr,
		      .fd = -EBADF},
		.fd = -EBADF,
	};
	if (m->size > u->env->max_bytes - VU_MIN(u->bytes, u->env->max_bytes))
		return vu_unpack_refuse(u, "all files together are above max_import_bytes");
	if (m->size > INT64_MAX / 2)
		return vu_unpack_refuse(u, "no file can be that large");
	u->bytes += m->size;
	return 0;
}

int vu_filling_gather(struct vu_filling *g)
{
	int r = begin(g);

	return r ? r : gather(g);
}

/* ---- placing it ---- */

static int note(struct vu_unpack *u, uint64_t ino, uint32_t token)
{
	int r = u->env->placed ? u->env->placed(u->env->arg, ino, token) : 0;

	return r ? r : vu_unpack_touch(u, ino);
}

/* Not on the disk yet: in the tree there is nothing at that place. */
static int place_standin(struct vu_unpack *u, const char *base, uint32_t token)
{
	struct vu_stat st;
	int r = vu_stat_at(u->parent, base, &st);

	if (!r)
		r = vu_unpack_clear(u, base);
	if (r && r != -ENOENT)
		return r;
	vu_unpack_drop_standin(u, base);
	return vu_standins_add(&u->standins, u->parent_ino, base, token);
}

/* With layers it is: they take away, and name, what lower ones have. */
static int place_empty(struct vu_filling *g, const char *base, uint32_t token)
{
	struct vu_unpack *u = g->u;
	struct vu_stat st;
	int r = 0;

	u->stats.known++;
	u->stats.known_bytes += g->f.size;
	if (!(u->env->flags & VU_UNPACK_LAYERS))
		return place_standin(u, base, token);
	if (mknodat(u->parent, base, S_IFREG | 0600, 0)) {
		r = errno == EEXIST ? vu_unpack_clear(u, base) : -errno;
		if (!r && mknodat(u->parent, base, S_IFREG | 0600, 0))
			r = -errno;
	}
	if (!r)
		r = vu_stat_at(u->parent, base, &st);
	return r ? r : note(u, st.version.ino, token);
}

static bool is_zero(const char *p, size_t n)
{
	return !*p && !memcmp(p, p + 1, n - 1);
}

/* Where the archive had holes, blocks of zeros are holes again. */
int vu_filling_write_small(const struct vu_filling *g, int fd)
{
	const char *data = g->f.data;
	size_t size = (size_t)g->f.size;
	int r = 0;

	if (!g->holes)
		return vu_write_all_at(fd, data, size, 0);
	for (size_t at = 0; !r && at < size; at += BLOCK) {
		size_t n = VU_MIN(BLOCK, size - at);

		if (!is_zero(data + at, n))
			r = vu_write_all_at(fd, data + at, n, at);
	}
	return r ? r : ftruncate(fd, (off_t)size) ? -errno : 0;
}

static int create(struct vu_unpack *u, const char *base)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(u->parent, base, flags, 0600);

	if (fd >= 0 || errno != EEXIST)
		return fd < 0 ? -errno : fd;
	int r = vu_unpack_clear(u, base);

	if (r)
		return r;
	fd = openat(u->parent, base, flags, 0600);
	return fd < 0 ? -errno : fd;
}

static int give_name(struct vu_unpack *u, int fd, const char *base)
{
	int r = vu_link_fd(fd, u->parent, base);

	if (r != -EEXIST)
		return r;
	r = vu_unpack_clear(u, base);
	return r ? r : vu_link_fd(fd, u->parent, base);
}

static int place_whole(struct vu_filling *g, const struct vu_member *m, const char *base)
{
	struct vu_unpack *u = g->u;
	struct timespec mtime = vu_unpack_mtime(m);

	vu_unpack_drop_standin(u, base);
	_cleanup_fd_ int made = g->fd < 0 ? create(u, base) : -EBADF;
	int fd = g->fd < 0 ? made : g->fd;
	struct vu_stat st;
	int r = fd < 0 ? fd : g->fd < 0 ? vu_filling_write_small(g, fd) : 0;

	if (!r)
		r = vu_unpack_metadata(u, fd, g->f.attr.mode, m->uid, m->gid, &mtime);
	if (!r && g->fd >= 0)
		r = give_name(u, fd, base);
	if (!r)
		r = vu_stat_fd(fd, &st);
	if (r)
		return r;
	u->stats.files++;
	u->stats.bytes += g->f.size;
	return note(u, st.version.ino, VU_UNPACK_NONE);
}

/* The member is the stream's, and gone with the first item behind it. */
static int regular(struct vu_filling *g, const struct vu_member *m, const char *base, bool wanted)
{
	struct vu_unpack *u = g->u;
	uint32_t token = VU_UNPACK_NONE;

	g->hash = wanted && !m->hashed;
	int r = vu_filling_gather(g);

	if (r)
		return r;
	int known = wanted && g->hashed ? u->env->known(u->env->arg, &g->f, &token) : 0;

	if (known < 0)
		return known;
	if (wanted)
		u->knows = known;
	return known ? place_empty(g, base, token) : place_whole(g, m, base);
}

int vu_unpack_regular(struct vu_unpack *u, const struct vu_member *m, const struct vu_attr *attr,
		      const char *base)
{
	struct vu_member own = *m; /* its texts are not looked at any more */
	struct vu_filling g;
	int r = vu_filling_init(&g, u, m, attr);

	if (r)
		return r;
	r = regular(&g, &own, base, u->env->wants && u->env->wants(u->env->arg, &g.f));

	vu_close_p(&g.fd);
	return r;
}

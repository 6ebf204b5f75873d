/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An item is a head (kind, number of bytes behind it) and these bytes:
 *
 *   MEMBER  struct wire_member, path, NUL, link, NUL, attributes
 *   DATA    offset (64 bits), bytes
 *   FAILED  a byte: 1 refused, 0 damaged; text, NUL
 *   END     nothing, or the digest of its content
 *   DONE    nothing
 *
 * An attribute is the length of its name and that of its value (32 bits each), name, NUL, value.
 */
#include "archive/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "base/write.h"

#define OUT_BYTES ((size_t)64 << 10)
#define IN_BYTES (VU_STREAM_ITEM_MAX + ((size_t)1 << 20))
#define IN_HOT ((size_t)256 << 10)
#define POLL_MS 250 /* how long a stop may go unnoticed while nothing comes */

struct head {
	uint32_t kind;
	uint32_t bytes;
};

struct wire_member {
	uint32_t mode, uid, gid, mtime_nsec;
	int64_t mtime_sec;
	uint64_t size;
	uint32_t dev_major, dev_minor;
	uint16_t hard, hashed;
	uint32_t path_len, link_len, xattrs_len;
};

/* ---- attributes ---- */

bool vu_member_xattr(const struct vu_member *m, size_t *at, const char **ret_name,
		     const void **ret_value, size_t *ret_len)
{
	uint32_t n[2];

	if (*at >= m->xattrs_bytes)
		return false;
	const char *x = (const char *)m->xattrs + *at;

	memcpy(n, x, sizeof(n));
	*ret_name = x + sizeof(n);
	*ret_value = x + sizeof(n) + n[0] + 1;
	*ret_len = n[1];
	*at += sizeof(n) + n[0] + 1 + n[1];
	return true;
}

/* Does a list consist of attributes with names, to its very end? */
static bool xattrs_are_sound(const char *x, size_t len)
{
	uint32_t n[2];

	while (len) {
		if (len < sizeof(n))
			return false;
		memcpy(n, x, sizeof(n));
		size_t bytes = sizeof(n) + n[0] + (size_t)1 + n[1];

		if (bytes > len || !n[0] || strnlen(x + sizeof(n), n[0] + (size_t)1) != n[0])
			return false;
		x += bytes;
		len -= bytes;
	}
	return true;
}

int vu_xattr_list_add(struct vu_xattr_list *l, const char *name, const void *value, size_t len,
		      size_t max_bytes)
{
	size_t name_len = strlen(name);
	uint32_t n[2] = {(uint32_t)name_len, (uint32_t)len};
	size_t bytes = sizeof(n) + name_len + 1 + len;

	if (name_len > max_bytes || len > max_bytes ||
	    bytes > max_bytes - VU_MIN(l->len, max_bytes))
		return -E2BIG;
	char *data = realloc(l->data, l->len + bytes);

	if (!data)
		return -ENOMEM;
	l->data = data;
	data += l->len;
	memcpy(data, n, sizeof(n));
	memcpy(data + sizeof(n), name, name_len + 1);
	if (len)
		memcpy(data + sizeof(n) + name_len + 1, value, len);
	l->len += bytes;
	return 0;
}

/* ---- writing ---- */

int vu_stream_out_init(struct vu_stream_out *o, int fd)
{
	*o = (struct vu_stream_out){.fd = fd, .buf = malloc(OUT_BYTES)};
	return o->buf ? 0 : -ENOMEM;
}

void vu_stream_out_done(struct vu_stream_out *o)
{
	free(o->buf);
	*o = (struct vu_stream_out){.fd = -EBADF};
}

static int flush(struct vu_stream_out *o)
{
	int r = vu_write_all(o->fd, o->buf, o->n);

	o->n = 0;
	return r;
}

static int put(struct vu_stream_out *o, const void *data, size_t len)
{
	int r = 0;

	if (len > OUT_BYTES - o->n)
		r = flush(o);
	if (r || !len)
		return r;
	if (len >= OUT_BYTES)
		return vu_write_all(o->fd, data, len);
	memcpy(o->buf + o->n, data, len);
	o->n += len;
	return 0;
}

static int put_head(struct vu_stream_out *o, enum vu_stream_kind kind, size_t bytes)
{
	struct head h = {(uint32_t)kind, (uint32_t)bytes};

	return put(o, &h, sizeof(h));
}

int vu_stream_put_member(struct vu_stream_out *o, const struct vu_member *m)
{
	size_t path = strlen(m->path), link = strlen(m->link);
	struct wire_member w = {
		.mode = m->mode,
		.uid = m->uid,
		.gid = m->gid,
		.mtime_nsec = m->mtime_nsec,
		.mtime_sec = m->mtime_sec,
		.size = m->size,
		.dev_major = m->dev_major,
		.dev_minor = m->dev_minor,
		.hard = m->hard,
		.hashed = m->hashed,
		.path_len = (uint32_t)path,
		.link_len = (uint32_t)link,
		.xattrs_len = (uint32_t)m->xattrs_bytes,
	};

	if (path > VU_STREAM_ITEM_MAX / 4 || link > VU_STREAM_ITEM_MAX / 4 ||
	    m->xattrs_bytes > VU_STREAM_ITEM_MAX / 4)
		return -E2BIG;
	int r = put_head(o, VU_STREAM_MEMBER, sizeof(w) + path + link + 2 + m->xattrs_bytes);

	if (!r)
		r = put(o, &w, sizeof(w));
	if (!r)
		r = put(o, m->path, path + 1);
	if (!r)
		r = put(o, m->link, link + 1);
	return r ? r : put(o, m->xattrs, m->xattrs_bytes);
}

int vu_stream_put_data(struct vu_stream_out *o, uint64_t at, const void *data, size_t len)
{
	int r = 0;

	while (!r && len) {
		size_t n = VU_MIN(len, VU_STREAM_ITEM_MAX / 4);

		r = put_head(o, VU_STREAM_DATA, sizeof(at) + n);
		if (!r)
			r = put(o, &at, sizeof(at));
		if (!r)
			r = put(o, data, n);
		data = (const char *)data + n;
		at += n;
		len -= n;
	}
	return r;
}

int vu_stream_put_end(struct vu_stream_out *o, const struct vu_digest *digest)
{
	int r = put_head(o, VU_STREAM_END, digest ? sizeof(*digest) : 0);

	return r || !digest ? r : put(o, digest, sizeof(*digest));
}

int vu_stream_put_last(struct vu_stream_out *o, const char *text, bool refused)
{
	size_t n = text ? strnlen(text, VU_STREAM_ITEM_MAX / 4) : 0;
	int r = text ? put_head(o, VU_STREAM_FAILED, n + 2) : put_head(o, VU_STREAM_DONE, 0);

	if (!r && text)
		r = put(o, refused ? "\1" : "", 1);
	if (!r && text)
		r = put(o, text, n);
	if (!r && text)
		r = put(o, "", 1);
	return r ? r : flush(o);
}

/* ---- reading ---- */

int vu_stream_in_init(struct vu_stream_in *i, int fd)
{
	*i = (struct vu_stream_in){.fd = fd, .buf = malloc(IN_BYTES)};
	return i->buf ? 0 : -ENOMEM;
}

void vu_stream_in_done(struct vu_stream_in *i)
{
	free(i->buf);
	*i = (struct vu_stream_in){.fd = -EBADF};
}

static int wait_for_more(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do {
		if (vu_stop_requested())
			return -ECANCELED;
		n = poll(&p, 1, POLL_MS);
	} while (!n || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

/* Sees to it that so many unused bytes are there, one behind the other. */
static int want(struct vu_stream_in *i, size_t bytes)
{
	if (i->n - i->at >= bytes)
		return 0;
	/* what is read is used while it is in the processor's cache: the buffer's begin */
	if (i->at + bytes > IN_BYTES || i->at == i->n || i->at >= IN_HOT) {
		memmove(i->buf, i->buf + i->at, i->n - i->at);
		i->n -= i->at;
		i->at = 0;
	}
	while (i->n - i->at < bytes) {
		int r = wait_for_more(i->fd);
		ssize_t n = r ? r
			      : read(i->fd, i->buf + i->n,
				     VU_MIN(IN_BYTES - i->n, VU_MAX(bytes, IN_HOT)));

		if (r)
			return r;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EPIPE;
		i->n += (size_t)n;
	}
	return 0;
}

/* Is there text of that length with its NUL, and none in it? */
static bool is_text(const char *s, size_t len)
{
	return strnlen(s, len + 1) == len;
}

static int parse_member(const char *p, size_t bytes, struct vu_member *ret)
{
	struct wire_member w;

	if (bytes < sizeof(w) + 2)
		return -EPROTO;
	memcpy(&w, p, sizeof(w));
	p += sizeof(w);
	bytes -= sizeof(w) + 2;
	if (w.path_len > bytes || w.link_len > bytes - w.path_len ||
	    w.xattrs_len != bytes - w.path_len - w.link_len || w.mtime_nsec > 999999999 ||
	    w.hard > 1 || w.hashed > 1)
		return -EPROTO;
	const char *link = p + w.path_len + 1, *xattrs = link + w.link_len + 1;

	if (!is_text(p, w.path_len) || !is_text(link, w.link_len) ||
	    !xattrs_are_sound(xattrs, w.xattrs_len))
		return -EPROTO;
	*ret = (struct vu_member){
		.mode = w.mode,
		.uid = w.uid,
		.gid = w.gid,
		.mtime_nsec = w.mtime_nsec,
		.mtime_sec = w.mtime_sec,
		.size = w.size,
		.dev_major = w.dev_major,
		.dev_minor = w.dev_minor,
		.hard = w.hard,
		.hashed = w.hashed,
		.path = p,
		.link = link,
		.xattrs = xattrs,
		.xattrs_bytes = w.xattrs_len,
	};
	return 0;
}

static int parse(struct vu_stream_item *it, const char *p, size_t bytes)
{
	switch (it->kind) {
	case VU_STREAM_MEMBER:
		return parse_member(p, bytes, &it->member);
	case VU_STREAM_DATA:
		if (bytes <= sizeof(it->at))
			return -EPROTO;
		memcpy(&it->at, p, sizeof(it->at));
		it->data = p + sizeof(it->at);
		it->len = bytes - sizeof(it->at);
		return 0;
	case VU_STREAM_FAILED:
		if (bytes < 2 || !is_text(p + 1, bytes - 2))
			return -EPROTO;
		it->refused = *p;
		it->text = p + 1;
		return 0;
	case VU_STREAM_END:
		if (bytes && bytes != sizeof(*it->digest))
			return -EPROTO;
		it->digest = bytes ? (const void *)p : NULL;
		return 0;
	case VU_STREAM_DONE:
		return bytes ? -EPROTO : 0;
	}
	return -EPROTO;
}

int vu_stream_next(struct vu_stream_in *i, struct vu_stream_item *ret)
{
	struct head h;
	int r = want(i, sizeof(h));

	if (r)
		return r;
	memcpy(&h, i->buf + i->at, sizeof(h));
	i->at += sizeof(h);
	if (h.bytes > VU_STREAM_ITEM_MAX)
		return -EPROTO;
	r = want(i, h.bytes);
	if (r)
		return r;
	*ret = (struct vu_stream_item){.kind = (enum vu_stream_kind)h.kind};
	r = parse(ret, i->buf + i->at, h.bytes);
	i->at += h.bytes;
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libarchive 3.6 does, and what is done about it:
 *  - names of pax headers are taken from UTF-8 to the locale's character set, and composed on the way
 *    (NFC), so that they would be others. In the locale C only ASCII can be taken over, and what cannot
 *    stays as the bytes that it is; that gives warnings, which mean nothing here.
 *  - ACLs come as entries of its own, made from texts: they go out as the attributes that they are.
 *  - filters may be stacked: one is allowed.
 */
#include "archive/untar.h"

#include <errno.h>
#include <iconv.h>
#include <locale.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/acl.h"
#include "archive/libarchive.h"
#include "archive/stream.h"
#include "base/cleanup.h"
#include "base/sabotage.h"

#define READ_BYTES ((size_t)256 << 10)
#define LEAD_MAX ((uint64_t)64 << 20) /* what one file counts for: sizes are the archive's to say */

/* The digest of a member on its way. */
struct hashing {
	struct vu_hash *hash; /* borrowed; NULL: it gets none */
	uint64_t at;	      /* up to here it is hashed */
	uint64_t holes;
};

struct untar {
	const struct vu_untar_limits *limits;
	struct vu_hash *hash; /* borrowed; or NULL */
	struct vu_stream_out out;
	struct archive *a;
	int in;
	char *buf;	/* owned; READ_BYTES */
	int64_t lead;	/* bytes hashed here beyond those left to the other side */
	uint64_t n_in;	/* bytes read */
	uint64_t n_out; /* bytes that came out of them */
	bool checked;	/* the filters */
	char text[512]; /* why the archive is refused; "" */
	bool damaged;	/* because it is not whole, or no archive */
};

void vu_untar_prepare(void)
{
	setlocale(LC_ALL, "C");
	iconv_t c = iconv_open("ANSI_X3.4-1968", "UTF-8");

	if (c != (iconv_t)-1)
		iconv_close(c);
}

static la_ssize_t on_read(struct archive *a, void *arg, const void **ret)
{
	struct untar *u = arg;
	ssize_t n;

	do
		n = read(u->in, u->buf, READ_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		archive_set_error(a, errno, "cannot be read: %s", strerror(errno));
	else
		u->n_in += (uint64_t)n;
	*ret = u->buf;
	return n;
}

__attribute__((format(printf, 2, 3))) static int refuse(struct untar *u, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(u->text, sizeof(u->text), format, ap);
	va_end(ap);
	return -EBADMSG;
}

static int refuse_as_told(struct untar *u)
{
	const char *s = archive_error_string(u->a);

	u->damaged = true;
	return refuse(u, "it is damaged, or no tar archive: %s", s ? s : "it cannot be read");
}

/* Counts what has come out, and compares it with what went in. */
static int count(struct untar *u, uint64_t bytes)
{
	u->n_out += bytes;
	if (u->n_out <= VU_UNTAR_FREE || u->n_out / u->limits->max_ratio <= u->n_in)
		return 0;
	return refuse(u, "more than %llu bytes come out of each byte of it (max_import_ratio)",
		      (unsigned long long)u->limits->max_ratio);
}

/*
 * Is the next file to be hashed here? All of a plain archive; by zstd half of the bytes, for both sides have
 * about as much to do then; where decompressing takes longer than all the rest, none.
 */
static bool is_hashed(struct untar *u, uint64_t size)
{
	int code = archive_filter_code(u->a, 0);

	if (!u->hash || (code != ARCHIVE_FILTER_NONE && code != ARCHIVE_FILTER_ZSTD))
		return false;
	if (code == ARCHIVE_FILTER_ZSTD && u->lead > 0) {
		u->lead -= (int64_t)VU_MIN(size, LEAD_MAX);
		return false;
	}
	u->lead += (int64_t)VU_MIN(size, LEAD_MAX);
	return true;
}

static int check_filters(struct untar *u)
{
	u->checked = true;
	/* the last of them is "none" */
	return archive_filter_count(u->a) > 2 ? refuse(u, "it is compressed more than once") : 0;
}

/* ---- a member ---- */

static int add_acl(struct untar *u, struct archive_entry *e, bool is_default,
		   struct vu_xattr_list *l)
{
	_cleanup_free_ void *value = NULL;
	size_t len = 0;
	int r = vu_acl_from_entry(e, is_default, &value, &len);

	return r || !value ? r
			   : vu_xattr_list_add(l, is_default ? VU_ACL_DEFAULT : VU_ACL_ACCESS,
					       value, len, u->limits->max_xattr_bytes);
}

static int add_xattrs(struct untar *u, struct archive_entry *e, struct vu_xattr_list *l)
{
	const char *name;
	const void *value;
	size_t len;
	int r = add_acl(u, e, false, l);
	bool access = l->len, both;

	if (!r)
		r = add_acl(u, e, true, l);
	both = l->len;
	archive_entry_xattr_reset(e);
	while (!r && !archive_entry_xattr_next(e, &name, &value, &len)) {
		/* GNU tar has ACLs in this form too */
		if (!name || !*name || (access && !strcmp(name, VU_ACL_ACCESS)) ||
		    (both && !strcmp(name, VU_ACL_DEFAULT)))
			continue;
		r = vu_xattr_list_add(l, name, value, len, u->limits->max_xattr_bytes);
	}
	return r;
}

static bool fits(int64_t n)
{
	return n >= 0 && n < UINT32_MAX;
}

static int describe(struct untar *u, struct archive_entry *e, struct vu_member *m)
{
	const char *path = archive_entry_pathname(e), *hard = archive_entry_hardlink(e);
	const char *target = archive_entry_symlink(e);
	bool timed = archive_entry_mtime_is_set(e);
	long nsec = timed ? archive_entry_mtime_nsec(e) : 0;

	if (!path)
		return refuse(u, "a member has no name");
	if (!fits(archive_entry_uid(e)) || !fits(archive_entry_gid(e)))
		return refuse(u, "%.300s: no such owner", path);
	if (archive_entry_size(e) < 0)
		return refuse(u, "%.300s: no such size", path);
	*m = (struct vu_member){
		.mode = archive_entry_mode(e),
		.uid = (uint32_t)archive_entry_uid(e),
		.gid = (uint32_t)archive_entry_gid(e),
		.mtime_sec = timed ? archive_entry_mtime(e) : 0,
		.mtime_nsec = nsec >= 0 && nsec < 1000000000 ? (uint32_t)nsec : 0,
		.size = (uint64_t)archive_entry_size(e),
		.dev_major = (uint32_t)archive_entry_rdevmajor(e),
		.dev_minor = (uint32_t)archive_entry_rdevminor(e),
		.hard = hard,
		.path = path,
		.link = hard	 ? hard
			: target ? target
				 : "",
	};
	return 0;
}

static void hash_hole(struct hashing *h, uint64_t len)
{
	static const char zeros[65536];

	h->holes += len;
	if (h->holes > VU_UNTAR_HOLES)
		h->hash = NULL;
	while (h->hash && len) {
		size_t n = (size_t)VU_MIN(len, sizeof(zeros));

		vu_hash_add(h->hash, zeros, n);
		len -= n;
	}
}

static void hash_data(struct hashing *h, uint64_t at, const void *data, size_t len)
{
	/* parts that overlap are refused where they arrive */
	if (at < h->at)
		h->hash = NULL;
	if (!h->hash)
		return;
	hash_hole(h, at - h->at);
	if (h->hash)
		vu_hash_add(h->hash, data, len);
	h->at = at + len;
}

static int pass_data(struct untar *u, struct hashing *h)
{
	const void *data;
	size_t len;
	la_int64_t at;
	int r = 0;

	while (!r) {
		int a = archive_read_data_block(u->a, &data, &len, &at);

		if (a == ARCHIVE_EOF)
			return 0;
		if (a != ARCHIVE_OK && a != ARCHIVE_WARN)
			return refuse_as_told(u);
		r = at < 0 ? refuse(u, "a part of a member has no place") : count(u, len);
		if (!r)
			r = vu_stream_put_data(&u->out, (uint64_t)at, data, len);
		/* behind it: who gets it works meanwhile */
		if (!r)
			hash_data(h, (uint64_t)at, data, len);
	}
	return r;
}

/* As somebody does who has taken this process over. */
static void lie(struct vu_digest *digest)
{
	static struct vu_digest before;
	struct vu_digest now = *digest;

	*digest = before;
	before = now;
}

static int pass_file(struct untar *u, bool hashed, uint64_t size)
{
	struct hashing h = {.hash = hashed ? u->hash : NULL};
	struct vu_digest digest;

	if (h.hash)
		vu_hash_begin(h.hash);
	int r = pass_data(u, &h);

	if (!r && size > h.at)
		hash_hole(&h, size - h.at);
	if (!r && h.hash && vu_hash_end(h.hash, digest.b))
		h.hash = NULL;
	if (vu_sabotaged(LIE) && !r && h.hash)
		lie(&digest);
	return r ? r : vu_stream_put_end(&u->out, h.hash ? &digest : NULL);
}

static int pass_member(struct untar *u, struct archive_entry *e)
{
	struct vu_xattr_list xattrs = {0};
	struct vu_member m = {.path = ""};
	int r = describe(u, e, &m);

	if (!r)
		r = add_xattrs(u, e, &xattrs);
	if (r == -E2BIG)
		r = refuse(u, "%.300s: its attributes are above max_xattr_bytes", m.path);
	if (!r) {
		m.hashed = S_ISREG(m.mode) && !m.hard && is_hashed(u, m.size);
		m.xattrs = xattrs.data;
		m.xattrs_bytes = xattrs.len;
		r = count(u, xattrs.len);
	}
	if (!r)
		r = vu_stream_put_member(&u->out, &m);
	if (r == -E2BIG)
		r = refuse(u, "%.300s...: its name is too long", m.path);
	free(xattrs.data);
	if (r)
		return r;
	/* a further name may come with the content once more */
	return m.hard ? vu_stream_put_end(&u->out, NULL) : pass_file(u, m.hashed, m.size);
}

static int pass_members(struct untar *u)
{
	struct archive_entry *e;
	int r = 0;

	while (!r) {
		int a = archive_read_next_header(u->a, &e);

		if (a == ARCHIVE_EOF)
			return 0;
		if (a != ARCHIVE_OK && a != ARCHIVE_WARN)
			return refuse_as_told(u);
		if (!u->checked)
			r = check_filters(u);
		if (!r)
			r = count(u, 512);
		if (!r)
			r = pass_member(u, e);
	}
	return r;
}

static int open_archive(struct untar *u)
{
	u->buf = malloc(READ_BYTES);
	u->a = archive_read_new();
	if (!u->buf || !u->a)
		return -ENOMEM;
	if (archive_read_support_filter_gzip(u->a) || archive_read_support_filter_bzip2(u->a) ||
	    archive_read_support_filter_xz(u->a) || archive_read_support_filter_zstd(u->a) ||
	    archive_read_support_format_tar(u->a))
		return refuse(u, "this libarchive cannot read it");
	return archive_read_open(u->a, u, NULL, on_read, NULL) ? refuse_as_told(u) : 0;
}

int vu_untar_run(int in, int out, const struct vu_untar_limits *limits, struct vu_hash *hash)
{
	struct untar u = {.limits = limits, .hash = hash, .in = in};
	int r = vu_stream_out_init(&u.out, out);

	if (!r)
		r = open_archive(&u);
	if (!r)
		r = pass_members(&u);
	if (!r || r == -EBADMSG)
		r = vu_stream_put_last(&u.out, r ? u.text : NULL, !u.damaged);
	archive_read_free(u.a);
	vu_stream_out_done(&u.out);
	free(u.buf);
	return r;
}

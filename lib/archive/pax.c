/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libarchive 3.6 does, and what is done about it:
 *  - texts of pax headers are UTF-8, made from the locale's; what is no UTF-8 it writes as it is, with a
 *    header that says so (hdrcharset=BINARY). So the writer works under a locale of UTF-8 of its own.
 *  - attributes go into SCHILY.xattr.NAME, as GNU tar has them, and besides into a form of libarchive's own,
 *    which GNU tar warns of: that is off. ACLs become texts (SCHILY.acl.*), which bsdtar needs, and GNU tar
 *    reads with --acls.
 *  - atime and ctime are not written: nobody can put back the one, and wants the other.
 */
#include "archive/pax.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive/acl.h"
#include "archive/libarchive.h"
#include "base/cleanup.h"
#include "base/write.h"
#include "fs/stat.h"

#define ZEROS ((size_t)1 << 20)

struct vu_pax {
	int fd; /* borrowed */
	struct archive *a;
	struct archive_entry *entry; /* of the member that comes next */
	locale_t utf8;
	locale_t before; /* the thread's */
	char *zeros;	 /* owned */
	uint64_t written;
	int err; /* of write(2): libarchive loses some */
	bool given_up;
};

static la_ssize_t on_write(struct archive *a, void *arg, const void *data, size_t len)
{
	struct vu_pax *p = arg;
	if (p->given_up)
		return (la_ssize_t)len;
	int r = vu_write_all(p->fd, data, len);

	if (r) {
		p->err = r;
		archive_set_error(a, -r, "write failed");
		return -1;
	}
	p->written += len;
	return (la_ssize_t)len;
}

static int failed(const struct vu_pax *p)
{
	int e = archive_errno(p->a);

	return p->err ? p->err : e > 0 ? -e : -EIO;
}

static int add_filter(struct archive *a, enum vu_compress compress, unsigned threads)
{
	char n[16];

	snprintf(n, sizeof(n), "%u", threads);
	switch (compress) {
	case VU_COMPRESS_ZSTD:
		if (archive_write_add_filter_zstd(a))
			return -EOPNOTSUPP;
		/* one of the library without threads compresses all the same */
		(void)archive_write_set_filter_option(a, "zstd", "threads", n);
		return 0;
	case VU_COMPRESS_XZ:
		if (archive_write_add_filter_xz(a))
			return -EOPNOTSUPP;
		(void)archive_write_set_filter_option(a, "xz", "threads", n);
		return 0;
	case VU_COMPRESS_GZIP:
		return archive_write_add_filter_gzip(a) ? -EOPNOTSUPP : 0;
	case VU_COMPRESS_NONE:
		break;
	}
	return archive_write_add_filter_none(a) ? -ENOMEM : 0;
}

static int open_archive(struct vu_pax *p, enum vu_compress compress, unsigned threads)
{
	p->a = archive_write_new();
	p->entry = archive_entry_new();
	p->zeros = calloc(1, ZEROS);
	if (!p->a || !p->entry || !p->zeros)
		return -ENOMEM;
	int r = add_filter(p->a, compress, threads);

	if (r)
		return r;
	/* the last block of a tape is not filled up: what is written ends where the archive ends */
	if (archive_write_set_format_pax(p->a) ||
	    archive_write_set_format_option(p->a, "pax", "xattrheader", "SCHILY") ||
	    archive_write_set_bytes_in_last_block(p->a, 1) ||
	    archive_write_open(p->a, p, NULL, on_write, NULL))
		return failed(p);
	return 0;
}

int vu_pax_new(int fd, enum vu_compress compress, unsigned threads, struct vu_pax **ret)
{
	int loaded = vu_libarchive_load();
	struct vu_pax *p = loaded ? NULL : calloc(1, sizeof(*p));

	if (!p)
		return loaded ? loaded : -ENOMEM;
	p->fd = fd;
	p->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	p->before = p->utf8 ? uselocale(p->utf8) : (locale_t)0;
	int r = open_archive(p, compress, threads);

	if (r)
		vu_pax_free(p);
	else
		*ret = p;
	return r;
}

struct vu_pax *vu_pax_free(struct vu_pax *p)
{
	if (!p)
		return NULL;
	/* what is buffered goes nowhere; libarchive frees all only if it can write that */
	p->given_up = true;
	archive_write_free(p->a);
	archive_entry_free(p->entry);
	if (p->utf8) {
		uselocale(p->before);
		freelocale(p->utf8);
	}
	free(p->zeros);
	free(p);
	return NULL;
}

int vu_pax_xattr(struct vu_pax *p, const char *name, const void *value, size_t len)
{
	bool is_default = !strcmp(name, VU_ACL_DEFAULT);

	if (is_default || !strcmp(name, VU_ACL_ACCESS))
		return vu_acl_to_entry(p->entry, is_default, value, len);
	archive_entry_xattr_add_entry(p->entry, name, value, len);
	return 0;
}

static void describe(struct archive_entry *e, const struct vu_pax_member *m)
{
	struct timespec t = vu_stat_timespec(m->mtime_ns);
	uint32_t mode = m->mode;

	archive_entry_copy_pathname(e, m->path);
	/*
	 * libarchive has the ACL's entries of owner, group and others in the mode alone, and the group's is
	 * not what the file's mode says: that is the mask.
	 */
	if (archive_entry_acl_count(e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS))
		mode = (mode & ~0777U) | (archive_entry_mode(e) & 0777U);
	archive_entry_set_mode(e, mode);
	archive_entry_set_uid(e, m->uid);
	archive_entry_set_gid(e, m->gid);
	if (t.tv_nsec >= 0 && t.tv_nsec < 1000000000)
		archive_entry_set_mtime(e, t.tv_sec, t.tv_nsec);
	archive_entry_set_size(e, 0);
	if (m->hard_link) {
		archive_entry_copy_hardlink(e, m->hard_link);
	} else if (S_ISLNK(m->mode)) {
		archive_entry_copy_symlink(e, m->target);
	} else if (S_ISCHR(m->mode) || S_ISBLK(m->mode)) {
		archive_entry_set_rdev(e, makedev(m->dev_major, m->dev_minor));
	} else if (S_ISREG(m->mode)) {
		archive_entry_set_size(e, (int64_t)m->size);
		for (size_t i = 0; i < m->n_extents; i++)
			archive_entry_sparse_add_entry(e, (int64_t)m->extents[i].at,
						       (int64_t)m->extents[i].len);
	}
}

int vu_pax_begin(struct vu_pax *p, const struct vu_pax_member *m)
{
	describe(p->entry, m);
	int r = archive_write_header(p->a, p->entry);

	archive_entry_clear(p->entry);
	/* a warning is about the form of a name */
	return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 0 : failed(p);
}

int vu_pax_data(struct vu_pax *p, const void *data, uint64_t len)
{
	while (len) {
		size_t n = data ? len : VU_MIN(len, ZEROS);
		la_ssize_t done = archive_write_data(p->a, data ? data : p->zeros, n);

		if (done <= 0)
			return failed(p);
		if (data)
			data = (const char *)data + done;
		len -= (uint64_t)done;
	}
	return 0;
}

int vu_pax_end(struct vu_pax *p)
{
	return archive_write_close(p->a) ? failed(p) : 0;
}

uint64_t vu_pax_written(const struct vu_pax *p)
{
	return p->written;
}

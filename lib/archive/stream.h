/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The members of an archive as a stream of our own: from a process without privileges, which takes hostile
 * bytes apart (archive/untar.h), to the one that makes files of them, which checks every length and
 * believes nothing. Both are the same program on the same machine, so numbers are in its own form. One thread
 * for each end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/digest.h"

#define VU_STREAM_ITEM_MAX ((size_t)4 << 20) /* bytes of one item */

enum vu_stream_kind {
	VU_STREAM_MEMBER = 1, /* begins a member */
	VU_STREAM_DATA,	      /* a part of its content; what no part covers is holes */
	VU_STREAM_END,	      /* ends it; with its digest, or without */
	VU_STREAM_DONE,	      /* the archive ended as it should */
	VU_STREAM_FAILED,     /* it did not: text says why */
};

struct vu_member {
	uint32_t mode; /* type and permission bits */
	uint32_t uid;
	uint32_t gid;
	uint32_t mtime_nsec;
	int64_t mtime_sec;
	uint64_t size;
	uint32_t dev_major;
	uint32_t dev_minor;
	bool hard;	     /* a further name of the member that link names */
	bool hashed;	     /* its digest comes with its end, if at all */
	const char *path;    /* as the archive has it */
	const char *link;    /* of a symbolic link, or hard; else "" */
	const void *xattrs;  /* see vu_member_xattr */
	size_t xattrs_bytes; /* all of them */
};

/* What came. All is borrowed until the next item is asked for. */
struct vu_stream_item {
	enum vu_stream_kind kind;
	struct vu_member member;
	uint64_t at; /* VU_STREAM_DATA: offset in the file */
	const void *data;
	size_t len;
	const struct vu_digest *digest; /* VU_STREAM_END; or NULL */
	const char *text;		/* VU_STREAM_FAILED */
	bool refused;			/* the same: it is above a limit; else it is damaged */
};

/*
 * The attribute at *at of m (0: the first). Returns false behind the last; else *at is that of the next.
 * Of members that came by vu_stream_next, whose attributes are checked, or of one's own.
 */
bool vu_member_xattr(const struct vu_member *m, size_t *at, const char **ret_name,
		     const void **ret_value, size_t *ret_len);

/* A list of attributes under construction; zeroed, and freed by free(list.data). */
struct vu_xattr_list {
	char *data; /* owned */
	size_t len;
};

/* Returns 0, -ENOMEM, or -E2BIG where the list would have more than max_bytes. */
int vu_xattr_list_add(struct vu_xattr_list *l, const char *name, const void *value, size_t len,
		      size_t max_bytes);

/* ---- the end that writes ---- */

struct vu_stream_out {
	int fd;	   /* borrowed */
	char *buf; /* owned */
	size_t n;
};

/* Returns 0 or -ENOMEM. */
int vu_stream_out_init(struct vu_stream_out *o, int fd);
void vu_stream_out_done(struct vu_stream_out *o);

/* Return 0, -E2BIG for a member above VU_STREAM_ITEM_MAX, or the negative errno of writing. */
int vu_stream_put_member(struct vu_stream_out *o, const struct vu_member *m);
int vu_stream_put_data(struct vu_stream_out *o, uint64_t at, const void *data, size_t len);
int vu_stream_put_end(struct vu_stream_out *o, const struct vu_digest *digest); /* or NULL */

/* The last item; text NULL: done. What is buffered is written. */
int vu_stream_put_last(struct vu_stream_out *o, const char *text, bool refused);

/* ---- the end that reads ---- */

struct vu_stream_in {
	int fd;	   /* borrowed */
	char *buf; /* owned */
	size_t at; /* of what is not used yet */
	size_t n;  /* bytes in it */
};

/* Returns 0 or -ENOMEM. */
int vu_stream_in_init(struct vu_stream_in *i, int fd);
void vu_stream_in_done(struct vu_stream_in *i);

/*
 * The next item. Returns 0; -EPROTO for what is none, -EPIPE when the stream ends, -ECANCELED after a stop,
 * or another negative errno.
 */
int vu_stream_next(struct vu_stream_in *i, struct vu_stream_item *ret);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/identify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "fs/pagecache.h"
#include "fs/xattr.h"

#define CHUNK ((size_t)1 << 17) /* hashed while it is in the processor's cache */

VU_DEFINE_CLEANUP_DONE(struct vu_identifier, vu_identifier_done)

int vu_identifier_init(struct vu_identifier *w)
{
	w->hash = vu_hash_new();
	w->buf = malloc(CHUNK);
	return w->hash && w->buf ? 0 : -ENOMEM;
}

void vu_identifier_done(struct vu_identifier *w)
{
	vu_hash_free(w->hash);
	free(w->buf);
	*w = (struct vu_identifier){0};
}

int vu_identify_content(struct vu_identifier *w, int fd, uint64_t size, struct vu_digest *ret)
{
	struct vu_quiet_reader q;
	uint64_t at = 0;
	ssize_t n = 0;

	vu_hash_begin(w->hash);
	vu_quiet_begin(&q, fd, size, true);
	/* never more than is there: one call reads a small file */
	while (at < size && !(w->stops && vu_stop_requested()) &&
	       (n = vu_quiet_read(&q, w->buf, VU_MIN(CHUNK, size - at), at)) > 0) {
		vu_hash_add(w->hash, w->buf, (size_t)n);
		at += (uint64_t)n;
		if (w->progress)
			vu_progress_add(w->progress, 0, (uint64_t)n);
	}
	vu_quiet_end(&q);
	if (at < size && w->stops && vu_stop_requested())
		return -ECANCELED;
	return n < 0 ? (int)n : vu_hash_end(w->hash, ret->b);
}

struct question {
	struct vu_hash *hash;
	const struct vu_key *key;
	const struct vu_digest *content;
	uint64_t size;
	uint64_t mtime_ns;
	const struct vu_attr *attr;
};

static int ask(const struct question *q, const char *domain)
{
	struct vu_key k;

	for (int with_mtime = 1; with_mtime >= 0; with_mtime--) {
		int r = vu_key_make(q->hash, domain, q->content, q->size, q->attr, with_mtime,
				    q->mtime_ns, &k);

		if (r)
			return r;
		if (!memcmp(&k.hash, &q->key->hash, sizeof(k.hash)))
			return 1;
	}
	return 0;
}

int vu_identify_value(struct vu_identifier *w, const struct vu_key *key, const char *extra,
		      const struct vu_digest *content, uint64_t size, uint64_t mtime_ns,
		      const struct vu_attr *attr)
{
	const struct question q = {w->hash, key, content, size, mtime_ns, attr};
	int r = ask(&q, "");

	if (!r && extra)
		r = ask(&q, extra);
	for (const char *const *d = w->domains; !r && d && *d; d++)
		r = ask(&q, *d);
	return r;
}

int vu_identify_with(struct vu_identifier *w, int fd, const struct vu_key *key, const char *extra,
		     size_t max_xattr_bytes, const struct vu_stat *st, struct vu_attr *ret_attr,
		     struct vu_digest *ret_content)
{
	*ret_attr = vu_stat_attr(st);
	int r = vu_xattr_complete(fd, w->hash, max_xattr_bytes, ret_attr);

	if (r)
		return r > 0 ? -E2BIG : r;
	r = vu_identify_content(w, fd, st->version.size, ret_content);
	return r ? r
		 : vu_identify_value(w, key, extra, ret_content, st->version.size,
				     st->version.mtime_ns, ret_attr);
}

int vu_identify(int fd, const struct vu_key *key, const char *const *domains, const char *extra,
		size_t max_xattr_bytes, struct vu_stat *ret_st, struct vu_attr *ret_attr)
{
	vu_cleanup(vu_identifier_done_p) struct vu_identifier w = {.domains = domains};
	struct vu_digest content;
	int r = vu_identifier_init(&w);

	if (!r)
		r = vu_stat_fd(fd, ret_st);
	if (!r)
		r = vu_identify_with(&w, fd, key, extra, max_xattr_bytes, ret_st, ret_attr,
				     &content);
	return r == -E2BIG ? 0 : r;
}

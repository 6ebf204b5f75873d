/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/identify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/pagecache.h"
#include "fs/xattr.h"

#define CHUNK ((size_t)1 << 18)

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

static int digest(int fd, struct vu_hash *hash, uint64_t size, struct vu_digest *ret)
{
	_cleanup_free_ char *buf = malloc(CHUNK);
	struct vu_quiet_reader q;
	uint64_t at = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	vu_hash_begin(hash);
	vu_quiet_begin(&q, fd, size, false);
	while ((n = vu_quiet_read(&q, buf, CHUNK, at)) > 0) {
		vu_hash_add(hash, buf, (size_t)n);
		at += (uint64_t)n;
	}
	vu_quiet_end(&q);
	return n < 0 ? (int)n : vu_hash_end(hash, ret->b);
}

struct question {
	struct vu_hash *hash;
	const struct vu_key *key;
	const struct vu_digest *content;
	const struct vu_stat *st;
	const struct vu_attr *attr;
};

static int ask(const struct question *q, const char *domain)
{
	struct vu_key k;

	for (int with_mtime = 0; with_mtime < 2; with_mtime++) {
		int r = vu_key_make(q->hash, domain, q->content, q->st->version.size, q->attr,
				    with_mtime, q->st->version.mtime_ns, &k);

		if (r)
			return r;
		if (!memcmp(&k.hash, &q->key->hash, sizeof(k.hash)))
			return 1;
	}
	return 0;
}

int vu_identify(int fd, const struct vu_key *key, const char *const *domains, const char *extra,
		size_t max_xattr_bytes, struct vu_stat *ret_st, struct vu_attr *ret_attr)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *hash = vu_hash_new();
	struct vu_digest content;
	int r = hash ? vu_stat_fd(fd, ret_st) : -ENOMEM;

	if (r)
		return r;
	*ret_attr = vu_stat_attr(ret_st);
	r = vu_xattr_complete(fd, hash, max_xattr_bytes, ret_attr);
	if (r)
		return r > 0 ? 0 : r;
	r = digest(fd, hash, ret_st->version.size, &content);
	if (r)
		return r;
	struct question q = {hash, key, &content, ret_st, ret_attr};

	r = ask(&q, "");
	if (!r && extra)
		r = ask(&q, extra);
	for (; !r && domains && *domains; domains++)
		r = ask(&q, *domains);
	return r;
}

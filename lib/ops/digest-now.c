/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/digest-now.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "db/catalog-find.h"
#include "fs/beneath.h"
#include "fs/guard.h"
#include "ops/sound.h"
#include "scan/content.h"

int vu_digest_now_init(struct vu_digest_now *d, struct vu_session *s)
{
	int r = 0;

	*d = (struct vu_digest_now){.session = s, .hash = vu_hash_new()};
	d->index = calloc(s->n_fs + 1, sizeof(struct vu_pool_index *));
	if (!d->hash || !d->index)
		return -ENOMEM;
	for (size_t i = 0; !r && i < s->n_fs; i++)
		if (s->fs[i].pool)
			r = vu_pool_index_new(s->fs[i].pool, &d->index[i]);
	return r;
}

void vu_digest_now_done(struct vu_digest_now *d)
{
	for (size_t i = 0; d->index && i < d->session->n_fs; i++)
		vu_pool_index_free(d->index[i]);
	free(d->index);
	vu_hash_free(d->hash);
	*d = (struct vu_digest_now){0};
}

int vu_digest_now_is_object(const struct vu_digest_now *d, size_t guest, const struct vu_stat *st)
{
	struct vu_pool_index *x = d->index[d->session->guest_fs[guest]];
	struct vu_key key;

	return x ? vu_pool_index_find(x, st, &key) : 0;
}

/* An object gets another ctime with each link, and keeps its content as long as it is immutable. */
static int find_object(const struct vu_digest_now *d, size_t guest, int fd,
		       const struct vu_stat *st, struct vu_found_inode *f)
{
	int r = vu_digest_now_is_object(d, guest, st);

	if (r <= 0 || !vu_guard_or_flag_holds(fd, st))
		return r < 0 ? r : -ENOENT;
	return vu_catalog_find_object(d->session->catalog, d->session->guests.v[guest].fs_id,
				      st->version.ino, f);
}

static int find_private(const struct vu_digest_now *d, size_t guest, const struct vu_stat *st,
			struct vu_found_inode *f)
{
	int r = vu_catalog_find_inode(d->session->catalog, d->session->guests.v[guest].id,
				      st->version.ino, f);

	return r || f->ctime_ns == st->version.ctime_ns ? r : -ENOENT;
}

/* Returns 0, -ENOENT where the catalog does not know, or another negative errno. */
static int ask_catalog(const struct vu_digest_now *d, size_t guest, int fd,
		       const struct vu_stat *st, struct vu_digest *ret)
{
	struct vu_found_inode f;

	if (d->read_all || !d->session->catalog || !d->session->guests.v[guest].id)
		return -ENOENT;
	int r = find_object(d, guest, fd, st, &f);

	if (r == -ENOENT)
		r = find_private(d, guest, st, &f);
	if (r > 0) /* damaged: reading knows better */
		return -ENOENT;
	if (r)
		return r;
	if (!f.has_digest || f.size != st->version.size || f.mtime_ns != st->version.mtime_ns)
		return -ENOENT;
	*ret = f.digest;
	return 0;
}

static int read_it(struct vu_digest_now *d, int fd, const struct vu_stat *st, struct vu_digest *ret)
{
	struct vu_stat after;

	if (st->version.size > st->blocks * 512 + VU_CONTENT_MAX_HOLES)
		return VU_DIGEST_NOW_HOLES;
	int r = vu_sound_digest(d->hash, fd, st->version.size, ret);

	d->read++;
	d->read_bytes += st->version.size;
	if (!r)
		r = vu_stat_fd(fd, &after);
	return r ? r : vu_version_equal(&st->version, &after.version) ? 0 : VU_DIGEST_NOW_CHANGED;
}

int vu_digest_now(struct vu_digest_now *d, size_t guest, int dir, const char *name,
		  const struct vu_stat *st, struct vu_digest *ret)
{
	struct vu_stat now;
	_cleanup_fd_ int fd = vu_regular_open(dir, name, &now);

	if (fd < 0)
		return fd == -ENOENT || fd == -ESTALE ? VU_DIGEST_NOW_CHANGED : fd;
	if (!vu_version_equal(&st->version, &now.version))
		return VU_DIGEST_NOW_CHANGED;
	int r = ask_catalog(d, guest, fd, &now, ret);

	if (!r)
		d->recorded++;
	return r == -ENOENT ? read_it(d, fd, &now, ret) : r;
}

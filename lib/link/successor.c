/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/successor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "fs/stat.h"
#include "link/adopt.h"
#include "link/ledger.h"

struct wanted {
	uint64_t ino;
	struct vu_key key;
};

static int is_wanted(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct wanted *w = arg;

	if (ino == w->ino)
		w->key = *key;
	return ino == w->ino;
}

/* The object that the copy has become, with its lease, or lost; NULL: none. 0 or errno. */
static int object_of_copy(const struct vu_pool *pool, int copy, size_t max_xattr_bytes,
			  struct vu_object **ret)
{
	struct wanted w;
	struct vu_stat st;
	int r = vu_stat_fd(copy, &st);

	*ret = NULL;
	w.ino = st.version.ino;
	if (!r)
		r = vu_pool_list(pool, is_wanted, &w);
	if (r <= 0)
		return r;
	bool slipped = vu_pool_object_slipped(pool, &w.key);

	r = slipped ? 1 : vu_object_open(pool, &w.key, true, max_xattr_bytes, ret, NULL);
	if (r > 0)
		r = vu_object_open(pool, &w.key, false, max_xattr_bytes, ret, NULL);
	if (!r && !vu_lease_quiet((*ret)->fd))
		(*ret)->lost = true;
	return r;
}

int vu_successor_drop_copy(struct vu_moment_env *env, const struct vu_pool *pool,
			   const struct vu_key *key, struct vu_object *o)
{
	if (!o)
		return vu_slip_copy_unlink(pool, key);
	int r = vu_moment_begin(env, o), e;

	if (r == -ESTALE) /* it goes on to the next object, and its name has to go all the same */
		r = vu_moment_begin(env, o);
	if (r)
		return r;
	r = vu_slip_copy_unlink(pool, key);
	e = vu_moment_end(env, o, -EBADF);
	return r ? r : e;
}

int vu_successor_forget(struct vu_moment_env *env, const struct vu_pool *pool,
			const struct vu_key *key)
{
	_cleanup_fd_ int copy = vu_slip_copy_open(pool, key);
	struct vu_object *o = NULL;
	struct vu_key made;
	int r = copy < 0 ? copy : object_of_copy(pool, copy, env->max_xattr_bytes, &o);
	bool is_object = o;

	if (o)
		made = o->key;
	if (!r)
		r = vu_successor_drop_copy(env, pool, key, o);
	vu_object_unref(env, o);
	/* an eviction that was cut off before the first name had moved: nobody has it */
	if (!r && is_object) {
		r = vu_pool_object_remove(pool, &made);
		r = r == -EBUSY ? 0 : r;
	}
	if (r && r != -ENOENT)
		return r;
	return vu_slip_forget(pool, key);
}

/* What a successor is made for. */
struct making {
	struct vu_moment_env *env;
	const struct vu_pool *pool;
	const struct vu_key *key;
	const struct vu_object *old;
	int r; /* what came of the sibling that was tried last */
};

/* Another object of the same key has the same content and metadata; a slipped one's copy has them. */
static int try_sibling(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct making *m = arg;
	struct vu_object *o = NULL;
	size_t max = m->env->max_xattr_bytes;

	if (memcmp(&key->hash, &m->key->hash, sizeof(key->hash)) || ino == m->old->ino)
		return 0;
	_cleanup_fd_ int fd = vu_pool_object_slipped(m->pool, key)
				      ? vu_slip_copy_open(m->pool, key)
				      : vu_pool_object_open(m->pool, key);

	m->r = fd < 0 ? fd : vu_object_of_consume(m->pool, key, fd, max, &o, NULL);
	if (m->r > 0)
		m->r = -EBUSY;
	if (!m->r)
		fd = -EBADF;
	if (!m->r)
		m->r = vu_slip_secure(m->env->watch, m->key, o, max);
	vu_object_unref(m->env, o);
	return !m->r;
}

/* No copy was put aside, or not one that can be used: is the content to be had now? 0 or errno. */
static int find_content(struct making *m)
{
	int r = vu_slip_secure(m->env->watch, m->key, m->old, m->env->max_xattr_bytes);

	if (!r || r == -ENOSPC || r == -EDQUOT || vu_is_want(r))
		return r;
	r = vu_pool_list(m->pool, try_sibling, m);
	return r > 0 ? 0 : r ? r : -ENODATA;
}

/* The copy gets the name of an object; durable before any guest's name leads to it; then the flag. */
static int make_object(const struct making *m, int copy, struct vu_object **ret)
{
	struct vu_ledger *ledger = vu_moment_ledger(m->env);
	struct vu_key key = *m->key;
	unsigned entry = 0;
	struct vu_stat st;
	int r = vu_stat_fd(copy, &st);

	if (!r)
		r = vu_adopt_name(ledger, m->pool, &key, copy, st.version.ino, &entry);
	if (r)
		return r;
	r = vu_pool_sync(m->pool);
	if (!r)
		r = vu_object_open(m->pool, &key, true, m->env->max_xattr_bytes, ret, NULL);
	if (!r)
		r = vu_iattr_set_immutable((*ret)->fd, true);
	vu_ledger_leave(ledger, entry);
	return r > 0 ? -EBUSY : r;
}

/* The object that the copy has become, if it can be used; NULL: none. */
static int open_object(const struct making *m, int copy, struct vu_object **ret)
{
	int r = object_of_copy(m->pool, copy, m->env->max_xattr_bytes, ret);

	if (r || !*ret || !(*ret)->lost)
		return r;
	/* somebody has slipped into it as well: the copy is his */
	r = vu_successor_drop_copy(m->env, m->pool, m->key, *ret);
	*ret = vu_object_unref(m->env, *ret);
	return r ? r : -ESTALE;
}

int vu_successor_open(struct vu_moment_env *env, const struct vu_pool *pool,
		      const struct vu_key *key, const struct vu_object *old, struct vu_object **ret)
{
	struct making m = {.env = env, .pool = pool, .key = key, .old = old};
	_cleanup_fd_ int copy = vu_slip_copy_open(pool, key);
	int r = copy < 0 ? copy : open_object(&m, copy, ret);

	if (r == -ENOENT || r == -ESTALE) {
		r = find_content(&m);
		if (r)
			return r == -ESTALE ? -ENODATA : r;
		vu_close_p(&copy);
		copy = vu_slip_copy_open(pool, key);
		r = copy < 0 ? copy : 0;
	}
	return r || *ret ? r : make_object(&m, copy, ret);
}

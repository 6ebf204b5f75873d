/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/apart.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "db/catalog-find.h"
#include "fs/beneath.h"
#include "fs/iattr.h"
#include "fs/xattr.h"
#include "guest/package.h"
#include "match/policy.h"
#include "scan/entry.h"
#include "scan/exclude.h"

struct vu_apart {
	struct vu_session *session;
	const struct vu_digest_now *digests;
	struct vu_hash *hash;		   /* owned */
	struct vu_exclude *exclude[2];	   /* owned */
	struct vu_package_db *packages[2]; /* owned */
};

struct vu_apart *vu_apart_free(struct vu_apart *a)
{
	if (!a)
		return NULL;
	for (int i = 0; i < 2; i++) {
		vu_exclude_free(a->exclude[i]);
		vu_package_free(a->packages[i]);
	}
	vu_hash_free(a->hash);
	free(a);
	return NULL;
}

VU_DEFINE_CLEANUP(struct vu_apart *, vu_apart_free)

static int know_guest(struct vu_apart *a, size_t i)
{
	const struct vu_config *c = a->session->ops->config;
	struct vu_exclude_error err;
	const char *why;
	int r = vu_exclude_new(a->session->guests.v[i].rules, c->exclude, &a->exclude[i], &err);

	if (r)
		return r == VU_EXCLUDE_BAD ? vu_fail(a->session->ops, VU_OPS_USAGE,
						     "cannot use the rule", err.rule, err.why, NULL)
					   : r;
	r = vu_package_read(a->session->root_fds[i], c->max_package_db_bytes, &a->packages[i],
			    &why);
	return r < 0 ? r : 0;
}

int vu_apart_new(struct vu_session *s, const struct vu_digest_now *d, struct vu_apart **ret)
{
	vu_cleanup(vu_apart_free_p) struct vu_apart *a = calloc(1, sizeof(*a));
	int r = 0;

	if (!a)
		return -ENOMEM;
	a->session = s;
	a->digests = d;
	a->hash = vu_hash_new();
	if (!a->hash)
		return -ENOMEM;
	for (size_t i = 0; !r && i < 2; i++)
		r = know_guest(a, i);
	if (!r)
		*ret = vu_take_ptr(a);
	return r;
}

/* What one of the files is by itself. An object is immutable by our hand, and one file of any guest's. */
static int alone(struct vu_apart *a, const struct vu_sides_file *f, unsigned side,
		 enum vu_skip *ret)
{
	const struct vu_config *c = a->session->ops->config;
	const struct vu_entry_limits l = {
		.min_size = c->min_size,
		.max_size = c->max_size,
		.unify_setid = c->unify_setid,
	};
	int object = vu_digest_now_is_object(a->digests, side, &f->st[side]);

	*ret = VU_SKIP_NONE;
	if (object)
		return object < 0 ? object : 0;
	if (vu_exclude_match(a->exclude[side], f->path, false, NULL) != VU_EXCLUDE_NO)
		*ret = VU_SKIP_EXCLUDED;
	else
		*ret = vu_entry_skip(&f->st[side], &l);
	if (!*ret && vu_package_is_conffile(a->packages[side], f->path))
		*ret = VU_SKIP_CONFFILE;
	if (!*ret && vu_exclude_lock_file(f->name))
		*ret = VU_SKIP_LOCK_FILE;
	return 0;
}

/* What the key holds of one of the files. */
static int know(struct vu_apart *a, const struct vu_sides_file *f, unsigned side,
		struct vu_attr *ret_attr, enum vu_skip *ret)
{
	const struct vu_config *c = a->session->ops->config;
	uint32_t project = 0;
	_cleanup_fd_ int fd = vu_regular_open(f->dir[side], f->name, NULL);
	int r = fd < 0 ? fd : 0;

	*ret_attr = vu_stat_attr(&f->st[side]);
	if (!r)
		r = vu_xattr_complete(fd, a->hash, c->max_xattr_bytes, ret_attr);
	if (r > 0) {
		*ret = VU_SKIP_LIMIT;
		return 0;
	}
	if (!r)
		r = vu_iattr_project(fd, &project);
	if (!r && project)
		*ret = VU_SKIP_CROSS_DEVICE;
	else if (!r && ret_attr->has_caps && !c->unify_setid)
		*ret = VU_SKIP_CAPABILITY;
	return r;
}

static int pair(struct vu_apart *a, const struct vu_sides_file *f, enum vu_skip *ret)
{
	const struct vu_session *s = a->session;
	const struct vu_policy policy = {.mtime_exact = s->ops->config->mtime_exact};
	struct vu_policy_side sides[2];
	struct vu_attr attr[2];
	int r = 0;

	for (unsigned i = 0; !r && !*ret && i < 2; i++) {
		r = know(a, f, i, &attr[i], ret);
		sides[i] = (struct vu_policy_side){.attr = &attr[i],
						   .domain = s->guests.v[i].domain,
						   .mtime_ns = f->st[i].version.mtime_ns,
						   .guest = i};
	}
	if (!r && !*ret)
		*ret = vu_policy_pair(&policy, &sides[0], &sides[1]);
	if (!r && !*ret &&
	    vu_session_shares_with(s, s->guest_fs[0]) != vu_session_shares_with(s, s->guest_fs[1]))
		*ret = VU_SKIP_CROSS_DEVICE;
	return r;
}

/* What the last scan saw of a file that is the same still, and that no look at it alone can tell. */
static enum vu_skip recorded(const struct vu_apart *a, const struct vu_sides_file *f, unsigned side)
{
	const struct vu_guest *g = &a->session->guests.v[side];
	struct vu_found_inode i;

	if (!a->session->catalog || !g->id ||
	    vu_catalog_find_inode(a->session->catalog, g->id, f->st[side].version.ino, &i) ||
	    i.ctime_ns != f->st[side].version.ctime_ns)
		return VU_SKIP_NONE;
	switch (i.skip) {
	case VU_SKIP_LINKS_OUTSIDE:
	case VU_SKIP_OPEN_FOR_WRITE:
	case VU_SKIP_LINK_LIMIT:
	case VU_SKIP_UNREADABLE:
		return (enum vu_skip)i.skip;
	default:
		return VU_SKIP_NONE;
	}
}

int vu_apart_why(struct vu_apart *a, const struct vu_sides_file *f, enum vu_skip *ret)
{
	enum vu_skip skip = VU_SKIP_NONE;
	int r = 0;

	for (unsigned i = 0; !r && !skip && i < 2; i++)
		r = alone(a, f, i, &skip);
	if (!r && !skip)
		r = pair(a, f, &skip);
	for (unsigned i = 0; !r && !skip && i < 2; i++)
		skip = recorded(a, f, i);
	if (!r)
		*ret = skip;
	return r;
}

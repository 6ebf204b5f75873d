/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One path, asked anew: facts first (what it is, rules, flags, who writes to it), then the other files
 * of the same content: the same path in the other guests, and what the catalog has under its digest.
 * The catalog only helps to find them; what is said of them was looked at now.
 */
#include "ops/ops-why.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/stop.h"
#include "db/catalog-find.h"
#include "fs/beneath.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "fs/pagecache.h"
#include "fs/reopen.h"
#include "fs/stat.h"
#include "fs/xattr.h"
#include "guest/package.h"
#include "match/policy.h"
#include "ops/difference.h"
#include "ops/locate.h"
#include "ops/session.h"
#include "ops/sound.h"
#include "scan/content.h"
#include "scan/entry.h"
#include "scan/exclude.h"

#define PARTNERS_MAX 6

struct asking {
	struct vu_session s;
	struct vu_why *w;
	struct vu_hash *hash;
	size_t guest; /* index in s.guests */
	char *rel;    /* owned; path below the root */
	struct vu_stat st;
	struct vu_attr attr; /* full */
	struct vu_digest digest;
	enum vu_skip nearest; /* what keeps it from the partner that is nearest to it */
};

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

static int say(struct asking *a, enum vu_skip skip, const char *value)
{
	a->w->state = VU_WHY_PRIVATE;
	a->w->skip = skip;
	free(a->w->value);
	a->w->value = value ? strdup(value) : NULL;
	return value && !a->w->value ? -ENOMEM : 0;
}

static int add_partner(struct vu_why *w, const char *guest, const char *path)
{
	if (w->n_partners >= PARTNERS_MAX) {
		w->n_more++;
		return 0;
	}
	char **v = reallocarray(w->partners, w->n_partners + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	w->partners = v;
	if (asprintf(&v[w->n_partners], "%s:/%s", guest, path) < 0)
		return -ENOMEM;
	w->n_partners++;
	return 0;
}

/* ---- facts about the file alone ---- */

static int ask_rules(struct asking *a)
{
	const struct vu_config *c = a->s.ops->config;
	const struct vu_guest *g = &a->s.guests.v[a->guest];
	struct vu_exclude *x = NULL;
	struct vu_exclude_error err;
	const char *rule = NULL;
	int r = vu_exclude_new(g->rules, c->exclude, &x, &err);

	if (r)
		return r == VU_EXCLUDE_BAD ? vu_fail(a->s.ops, VU_OPS_USAGE, "cannot use the rule",
						     err.rule, err.why, NULL)
					   : r;
	if (vu_exclude_match(x, a->rel, S_ISDIR(a->st.mode), &rule) != VU_EXCLUDE_NO)
		r = say(a, VU_SKIP_EXCLUDED, rule);
	vu_exclude_free(x);
	return r;
}

static int ask_package(struct asking *a)
{
	struct vu_package_db *db = NULL;
	const char *why;
	int r = vu_package_read(a->s.root_fds[a->guest], a->s.ops->config->max_package_db_bytes,
				&db, &why);

	if (r < 0)
		return r;
	r = vu_package_is_conffile(db, a->rel) ? say(a, VU_SKIP_CONFFILE, "dpkg") : 0;
	vu_package_free(db);
	return r;
}

static const char *base_name(const char *rel)
{
	const char *slash = strrchr(rel, '/');

	return slash ? slash + 1 : rel;
}

/* What a number of the configuration or of the file says, for people: "size 12, min_size 4096". */
static int ask_entry(struct asking *a)
{
	const struct vu_config *c = a->s.ops->config;
	struct vu_entry_limits l = {
		.min_size = c->min_size,
		.max_size = c->max_size,
		.unify_setid = c->unify_setid,
	};
	enum vu_skip skip = vu_entry_skip(&a->st, &l);
	char value[80] = "";

	if (skip == VU_SKIP_TOO_SMALL || skip == VU_SKIP_TOO_LARGE)
		snprintf(value, sizeof(value), "%llu bytes, limit %llu",
			 (unsigned long long)a->st.version.size,
			 (unsigned long long)(skip == VU_SKIP_TOO_SMALL ? c->min_size
									: c->max_size));
	else if (skip == VU_SKIP_SETID)
		snprintf(value, sizeof(value), "mode %04o", a->st.mode & 07777);
	return skip ? say(a, skip, *value ? value : NULL) : 0;
}

/* What its directory says of all files in it. */
static int ask_directory(struct asking *a)
{
	_cleanup_free_ char *dir = strdup(a->rel);
	struct vu_stat st;

	if (!dir)
		return -ENOMEM;
	dir[base_name(dir) > dir ? base_name(dir) - dir - 1 : 0] = 0;
	_cleanup_fd_ int fd =
		vu_beneath_open(a->s.root_fds[a->guest], dir, O_PATH | O_DIRECTORY | O_NOFOLLOW);
	enum vu_skip skip = fd < 0 || vu_stat_fd(fd, &st) ? VU_SKIP_NONE : vu_entry_dir_skip(&st);

	return skip ? say(a, skip, "its directory") : 0;
}

static const char *type_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symbolic link";
	case S_IFCHR:
	case S_IFBLK:
		return "device";
	case S_IFIFO:
		return "FIFO";
	default:
		return "socket";
	}
}

/* Rules and facts, in the order in which the walk decides. Leaves the state alone where none holds. */
static int ask_facts(struct asking *a)
{
	int r;

	if (!S_ISREG(a->st.mode)) {
		/* an excluded directory says so: that holds for all below */
		r = S_ISDIR(a->st.mode) ? ask_rules(a) : 0;
		return r || a->w->skip ? r : say(a, VU_SKIP_NOT_REGULAR, type_of(a->st.mode));
	}
	r = ask_rules(a);
	if (!r && !a->w->skip)
		r = ask_entry(a);
	if (!r && !a->w->skip)
		r = ask_directory(a);
	if (!r && !a->w->skip)
		r = ask_package(a);
	if (!r && !a->w->skip && vu_exclude_lock_file(base_name(a->rel)))
		r = say(a, VU_SKIP_LOCK_FILE, base_name(a->rel));
	return r;
}

/* ---- content ---- */

/* Reads what the key holds of an open file. Returns 0 or a negative errno. */
static int know(struct asking *a, int fd, const struct vu_stat *st, struct vu_attr *ret_attr,
		struct vu_digest *ret_digest)
{
	*ret_attr = vu_stat_attr(st);
	int r = vu_xattr_complete(fd, a->hash, a->s.ops->config->max_xattr_bytes, ret_attr);

	if (r)
		return r > 0 ? -E2BIG : r;
	return vu_sound_digest(a->hash, fd, st->version.size, ret_digest);
}

/* Compares with one other file, if it has the same content: tells what stands between, or nothing. */
static int ask_other(struct asking *a, int fd, size_t guest, const char *path)
{
	const struct vu_config *c = a->s.ops->config;
	const struct vu_guest *g = &a->s.guests.v[guest];
	struct vu_policy policy = {.mtime_exact = c->mtime_exact};
	_cleanup_fd_ int pin = vu_beneath_open(a->s.root_fds[guest], path, O_PATH | O_NOFOLLOW);
	_cleanup_free_ char *value = NULL;
	struct vu_digest digest;
	struct vu_attr attr;
	struct vu_stat st;

	if (pin < 0 || vu_stat_fd(pin, &st) || !S_ISREG(st.mode) ||
	    st.version.size != a->st.version.size ||
	    (st.version.ino == a->st.version.ino && st.version.dev == a->st.version.dev))
		return 0;
	_cleanup_fd_ int other = vu_reopen(pin, O_RDONLY | O_NOATIME);

	if (other < 0 || know(a, other, &st, &attr, &digest) ||
	    memcmp(&digest, &a->digest, sizeof(digest)))
		return 0;
	struct vu_policy_side x = {.attr = &a->attr,
				   .domain = a->s.guests.v[a->guest].domain,
				   .mtime_ns = a->st.version.mtime_ns,
				   .guest = (uint32_t)a->guest};
	struct vu_policy_side y = {.attr = &attr,
				   .domain = g->domain,
				   .mtime_ns = st.version.mtime_ns,
				   .guest = (uint32_t)guest};
	enum vu_skip skip = vu_policy_pair(&policy, &x, &y);
	int r = add_partner(a->w, g->name, path);

	if (!skip && vu_session_shares_with(&a->s, a->s.guest_fs[guest]) !=
			     vu_session_shares_with(&a->s, a->s.guest_fs[a->guest]))
		skip = VU_SKIP_CROSS_DEVICE;

	if (r || a->nearest == VU_SKIP_NONE)
		return r;
	/* another guest's file says more than a copy in the same guest, or on another file system */
	if (a->nearest != VU_SKIP_UNIQUE && a->nearest != VU_SKIP_SAME_GUEST &&
	    a->nearest != VU_SKIP_CROSS_DEVICE && skip)
		return 0;
	a->nearest = skip;
	struct vu_difference_side mine = {.policy = x, .fd = fd};
	struct vu_difference_side theirs = {.policy = y, .fd = other};

	r = vu_difference_text(skip, &mine, &theirs, c->max_xattr_bytes, &value);
	return r ? r : say(a, skip, value);
}

struct same_content {
	struct asking *a;
	int fd;
};

static int ask_recorded(void *arg, uint32_t id, const char *path, uint64_t size)
{
	struct same_content *sc = arg;

	(void)size;
	for (size_t i = 0; i < sc->a->s.guests.n; i++) {
		if (sc->a->s.guests.v[i].id != id)
			continue;
		/* the same path in the other guests was asked already */
		if (i != sc->a->guest && !strcmp(path, sc->a->rel))
			return 0;
		return ask_other(sc->a, sc->fd, i, path);
	}
	return 0;
}

/* A guest's name of an object of this content. */
struct unified_name {
	struct same_content *sc;
	size_t guest;
};

static int ask_name(void *arg, const char *path)
{
	const struct unified_name *n = arg;
	struct asking *a = n->sc->a;

	/* the same path in the other guests was asked already */
	if (n->guest != a->guest && !strcmp(path, a->rel))
		return 0;
	return ask_other(a, n->sc->fd, n->guest, path);
}

static int ask_object(void *arg, const char *fs_id, uint64_t ino, const struct vu_key *key,
		      uint32_t n_links)
{
	struct same_content *sc = arg;
	const struct vu_guests *guests = &sc->a->s.guests;
	int r = 0;

	(void)key;
	(void)n_links;
	for (size_t i = 0; !r && i < guests->n; i++) {
		struct unified_name n = {.sc = sc, .guest = i};

		if (!strcmp(guests->v[i].fs_id, fs_id))
			r = vu_catalog_find_unified(sc->a->s.catalog, guests->v[i].id, ino, 1,
						    ask_name, &n);
	}
	return r;
}

static int ask_others(struct asking *a, int fd)
{
	struct same_content sc = {.a = a, .fd = fd};
	int r = 0;

	a->nearest = VU_SKIP_UNIQUE;
	for (size_t i = 0; !r && i < a->s.guests.n; i++)
		if (i != a->guest)
			r = ask_other(a, fd, i, a->rel);
	if (!r && a->s.catalog)
		r = vu_catalog_find_content(a->s.catalog, &a->digest, PARTNERS_MAX, ask_recorded,
					    &sc);
	if (!r && a->s.catalog)
		r = vu_catalog_find_objects(a->s.catalog, &a->digest, ask_object, &sc);
	if (r == VU_CATALOG_DAMAGED)
		return vu_session_catalog_failed(&a->s, r);
	if (r)
		return r;
	if (a->nearest == VU_SKIP_UNIQUE)
		return say(a, VU_SKIP_UNIQUE, NULL);
	if (a->nearest == VU_SKIP_NONE) {
		a->w->state = VU_WHY_PENDING;
		a->w->skip = VU_SKIP_NONE;
	}
	return 0;
}

/* What the last scan saw that one look at the file cannot: links that lie outside, say. */
static int ask_catalog(struct asking *a)
{
	struct vu_found_inode f;
	char value[40];

	if (!a->s.catalog ||
	    vu_catalog_find_inode(a->s.catalog, a->s.guests.v[a->guest].id, a->st.version.ino, &f))
		return 0;
	if (f.skip != VU_SKIP_LINKS_OUTSIDE || f.ctime_ns != a->st.version.ctime_ns)
		return 0;
	snprintf(value, sizeof(value), "%u links", a->st.n_links);
	return say(a, VU_SKIP_LINKS_OUTSIDE, value);
}

static int ask_open_file(struct asking *a, int fd)
{
	int r = ask_catalog(a);

	if (r || a->w->skip)
		return r;
	if (a->st.version.size > a->st.blocks * 512 + VU_CONTENT_MAX_HOLES)
		return say(a, VU_SKIP_LIMIT, "more than 1 GiB in holes");
	r = vu_lease_take(fd);
	if (r == VU_LEASE_BUSY)
		return say(a, VU_SKIP_OPEN_FOR_WRITE, NULL);
	if (!r)
		vu_lease_drop(fd);
	r = know(a, fd, &a->st, &a->attr, &a->digest);
	if (r == -ECANCELED)
		return vu_fail(a->s.ops, VU_OPS_CANCELLED, "stopped", NULL, NULL, NULL);
	if (r) {
		a->w->err = r;
		return say(a, r == -E2BIG ? VU_SKIP_LIMIT : VU_SKIP_UNREADABLE, NULL);
	}
	if (a->attr.has_caps && !a->s.ops->config->unify_setid) {
		/* still worth knowing: would it be the only thing? */
		r = ask_others(a, fd);
		if (r || (a->w->skip && a->w->skip != VU_SKIP_UNIQUE &&
			  a->w->skip != VU_SKIP_SAME_GUEST))
			return r;
		return say(a, VU_SKIP_CAPABILITY, "security.capability");
	}
	return ask_others(a, fd);
}

/* ---- unified files ---- */

struct wanted {
	uint64_t ino;
	struct vu_key key;
	bool found;
};

static int match_object(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct wanted *w = arg;

	if (ino != w->ino)
		return 0;
	w->key = *key;
	w->found = true;
	return 1;
}

struct naming {
	struct asking *a;
	size_t guest;
};

static int name_partner(void *arg, const char *path)
{
	struct naming *n = arg;

	if (n->guest == n->a->guest && !strcmp(path, n->a->rel))
		return 0;
	return add_partner(n->a->w, n->a->s.guests.v[n->guest].name, path);
}

/* Membership in the pool says that a path is unified, not the flag. */
static int ask_pool(struct asking *a, bool *ret_unified)
{
	uint8_t fs = a->s.guest_fs[a->guest];
	struct wanted w = {.ino = a->st.version.ino};
	char name[VU_KEY_NAME_MAX];
	int r = 0;

	*ret_unified = false;
	if (!a->s.fs[fs].pool || !S_ISREG(a->st.mode))
		return 0;
	r = vu_pool_list(a->s.fs[fs].pool, match_object, &w);
	if (r < 0)
		return r;
	if (!w.found)
		return 0;
	*ret_unified = true;
	a->w->state = VU_WHY_UNIFIED;
	vu_key_name(&w.key, name);
	a->w->object = strdup(name);
	if (!a->w->object)
		return -ENOMEM;
	r = 0;
	for (size_t i = 0; !r && a->s.catalog && i < a->s.guests.n; i++) {
		struct naming n = {.a = a, .guest = i};

		if (a->s.guest_fs[i] == fs)
			r = vu_catalog_find_unified(a->s.catalog, a->s.guests.v[i].id,
						    a->st.version.ino, UINT32_MAX, name_partner,
						    &n);
	}
	return r == VU_CATALOG_DAMAGED ? vu_session_catalog_failed(&a->s, r) : r;
}

/* ---- the whole ---- */

static int ask(struct asking *a)
{
	char value[32];
	bool unified;
	_cleanup_fd_ int pin =
		vu_beneath_open(a->s.root_fds[a->guest], a->rel, O_PATH | O_NOFOLLOW);
	int r = pin < 0 ? pin : vu_stat_fd(pin, &a->st);

	if (r) {
		a->w->state = r == -EXDEV ? VU_WHY_PRIVATE : VU_WHY_MISSING;
		a->w->skip = r == -EXDEV ? VU_SKIP_OTHER_FS : VU_SKIP_NONE;
		a->w->err = r == -EXDEV ? 0 : r;
		return 0;
	}
	r = ask_pool(a, &unified);
	if (r || unified)
		return r;
	r = ask_facts(a);
	if (r || a->w->skip)
		return r;
	_cleanup_fd_ int fd = vu_reopen(pin, O_RDONLY | O_NOATIME | O_NONBLOCK);

	if (fd < 0) {
		a->w->err = fd;
		return say(a, VU_SKIP_UNREADABLE, NULL);
	}
	uint32_t project = 0;

	r = vu_iattr_project(fd, &project);
	if (r || project) {
		snprintf(value, sizeof(value), "project %" PRIu32, project);
		return r ? r : say(a, VU_SKIP_CROSS_DEVICE, value);
	}
	return ask_open_file(a, fd);
}

static int ask_path(struct asking *a, const char *path)
{
	_cleanup_free_ char *abs = vu_locate_absolute(path);
	const char *rel;

	if (!abs) {
		a->w->state = VU_WHY_MISSING;
		a->w->err = -errno;
		return 0;
	}
	if (!vu_locate_guest(&a->s.guests, abs, &a->guest, &rel)) {
		a->w->state = VU_WHY_OUTSIDE;
		return 0;
	}
	a->rel = strdup(rel);
	a->w->guest = strdup(a->s.guests.v[a->guest].name);
	a->w->path = a->rel ? strdup(a->rel) : NULL;
	if (!a->w->guest || !a->w->path)
		return -ENOMEM;
	return ask(a);
}

int vu_ops_why(struct vu_ops *ops, const char *path, struct vu_why *ret_why)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *hash = vu_hash_new();
	struct vu_why w = {0};
	struct asking a = {.w = &w, .hash = hash};
	int r = hash ? vu_session_open(&a.s, ops, 0, NULL, 0) : -ENOMEM;

	if (!r)
		r = vu_session_find_pools(&a.s);
	if (!r)
		r = ask_path(&a, path);
	free(a.rel);
	vu_session_close(&a.s);
	if (r) {
		vu_why_done(&w);
		return r < 0 && !ops->problem->what
			       ? vu_fail(ops, r, "cannot tell", path, NULL, NULL)
			       : r;
	}
	*ret_why = w;
	return 0;
}

void vu_why_done(struct vu_why *w)
{
	free(w->guest);
	free(w->path);
	free(w->object);
	free(w->value);
	for (size_t i = 0; i < w->n_partners; i++)
		free(w->partners[i]);
	free(w->partners);
	*w = (struct vu_why){0};
}

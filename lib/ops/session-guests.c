/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of a session that makes guests of operands and roots, and registers them. */
#include "ops/session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "db/catalog-guest.h"
#include "fs/stat.h"

/* The last component says which guest it is, but for the names that runtimes give every root. */
static char *name_from_path(const char *path)
{
	static const char *const usual[] = {"rootfs", "root", "fs", "merged", "diff", NULL};
	_cleanup_free_ char *copy = strdup(path);
	char *base = copy ? strrchr(copy, '/') : NULL;

	if (!base)
		return strdup("root");
	for (const char *const *u = usual; *u; u++)
		if (base > copy && !strcmp(base + 1, *u)) {
			*base = 0;
			base = strrchr(copy, '/');
			break;
		}
	return strdup(base[1] ? base + 1 : "host");
}

static int unique_name(const struct vu_guests *known, const char *path, char **ret_name)
{
	_cleanup_free_ char *name = name_from_path(path);

	if (!name)
		return -ENOMEM;
	if (strlen(name) > VU_GUEST_NAME_MAX - 8)
		name[VU_GUEST_NAME_MAX - 8] = 0;
	for (unsigned i = 1; i < 100000; i++) {
		char *try = NULL;

		if ((i == 1 ? asprintf(&try, "%s", name) : asprintf(&try, "%s-%u", name, i)) < 0)
			return -ENOMEM;
		bool taken = false;

		for (size_t k = 0; k < known->n; k++)
			taken = taken || !strcmp(known->v[k].name, try);
		if (!taken) {
			*ret_name = try;
			return 0;
		}
		free(try);
	}
	return -EEXIST;
}

/* Opens a root as the admin names it: symbolic links on the way are the admin's own. */
static int open_root(const char *path, struct vu_stat *ret_st, char **ret_path)
{
	_cleanup_fd_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = vu_stat_fd(fd, ret_st);

	if (r)
		return r;
	*ret_path = realpath(path, NULL);
	if (!*ret_path)
		return -errno;
	return vu_take_fd(fd);
}

int vu_session_find_fs(struct vu_session *s, int root_fd, uint8_t *ret_fs)
{
	struct vu_mount m = {0};
	int r = vu_mount_of(root_fd, &m);

	if (r)
		return r;
	for (size_t i = 0; i < s->n_fs; i++)
		if (s->fs[i].mount.id == m.id && s->fs[i].mount.dev == m.dev) {
			vu_mount_done(&m);
			*ret_fs = (uint8_t)i;
			return 0;
		}
	struct vu_session_fs *fs =
		s->n_fs < UINT8_MAX ? reallocarray(s->fs, s->n_fs + 1, sizeof(*fs)) : NULL;

	if (!fs) {
		vu_mount_done(&m);
		return -ENOMEM;
	}
	s->fs = fs;
	fs[s->n_fs] = (struct vu_session_fs){.mount = m};
	*ret_fs = (uint8_t)s->n_fs++;
	return 0;
}

/* btrfs's ids are UUID/SUBVOLUME, others' have no slash (fs/mount.c). */
static bool is_one_superblock(const struct vu_mount *a, const struct vu_mount *b)
{
	size_t n = strcspn(a->fs_id, "/");

	return !strcmp(a->type, b->type) && n == strcspn(b->fs_id, "/") &&
	       !strncmp(a->fs_id, b->fs_id, n);
}

uint8_t vu_session_shares_with(const struct vu_session *s, uint8_t fs)
{
	uint8_t first = 0;

	if (s->ops->config->mode != VU_MODE_REFLINK)
		return fs;
	while (!is_one_superblock(&s->fs[first].mount, &s->fs[fs].mount))
		first++;
	return first;
}

/* A root that lies in another root would be two guests' at once. */
static int check_nested(struct vu_session *s, const struct vu_guests *guests, const char *path)
{
	for (size_t i = 0; i < guests->n; i++) {
		const char *a = guests->v[i].path, *b = path;
		size_t la = strlen(a), lb = strlen(b), n = la < lb ? la : lb;
		const char *longer = la < lb ? b : a;

		if (!strcmp(a, b) || strncmp(a, b, n) ||
		    (longer[n] != '/' && strcmp(la < lb ? a : b, "/")))
			continue;
		return vu_fail(s->ops, VU_OPS_REFUSED, "cannot take the root", path,
			       "it lies in the root of another guest, or the other way round",
			       "name only one of the two");
	}
	return 0;
}

/* Appends a guest whose root is open; g and fd are taken over in any case. */
static int add_open(struct vu_session *s, struct vu_guest *g, int fd_consume)
{
	_cleanup_fd_ int fd = fd_consume;
	uint8_t fs;
	int r = check_nested(s, &s->guests, g->path);

	if (!r)
		r = vu_session_find_fs(s, fd, &fs);
	size_t n = s->guests.n;

	if (!r && n >= UINT16_MAX - 1)
		r = -E2BIG;
	int *fds = r ? NULL : reallocarray(s->root_fds, n + 1, sizeof(*fds));

	if (fds)
		s->root_fds = fds;
	uint8_t *gf = fds ? reallocarray(s->guest_fs, n + 1, sizeof(*gf)) : NULL;

	if (gf)
		s->guest_fs = gf;
	if (!r)
		r = gf ? vu_guests_add_consume(&s->guests, g) : -ENOMEM;
	if (r) {
		vu_guest_done(g);
		return r;
	}
	s->guest_fs[n] = fs;
	s->root_fds[n] = vu_take_fd(fd);
	return 0;
}

static bool taken_already(const struct vu_session *s, const struct vu_stat *st)
{
	for (size_t i = 0; i < s->guests.n; i++)
		if (s->guests.v[i].dev == st->version.dev && s->guests.v[i].ino == st->version.ino)
			return true;
	return false;
}

/* Remembers that a known guest has moved, or the name of one that may be registered later. */
static int remember(struct vu_session *s, struct vu_guests *known, struct vu_guest *g, bool is_new,
		    unsigned flags)
{
	struct vu_guest copy;

	if (!s->catalog || !(flags & VU_SESSION_REGISTER))
		return 0;
	int r = is_new ? vu_guest_copy(g, &copy) : vu_catalog_guest_update(s->catalog, g);

	if (!is_new)
		return r ? vu_session_catalog_failed(s, r) : 0;
	return r ? r : vu_guests_add_consume(known, &copy);
}

int vu_session_register(struct vu_session *s)
{
	for (size_t i = 0; s->catalog && i < s->guests.n; i++) {
		struct vu_guest *g = &s->guests.v[i];
		int r = g->id ? 0 : vu_catalog_guest_add(s->catalog, g);

		if (r)
			return vu_session_catalog_failed(s, r);
	}
	return 0;
}

static const struct vu_guest *find_known(const struct vu_guests *known, const char *fs_id,
					 uint64_t ino)
{
	for (size_t i = 0; i < known->n; i++)
		if (!strcmp(known->v[i].fs_id, fs_id) && known->v[i].ino == ino)
			return &known->v[i];
	return NULL;
}

VU_DEFINE_CLEANUP_DONE(struct vu_mount, vu_mount_done)
VU_DEFINE_CLEANUP_DONE(struct vu_guest, vu_guest_done)

/* Makes the guest of an open root: a known one by (file system, inode), else a new one. */
static int make_guest(const struct vu_guests *known, int fd, const struct vu_stat *st,
		      const char *path, struct vu_guest *ret, bool *ret_new, bool *ret_moved)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount m = {0};
	vu_cleanup(vu_guest_done_p) struct vu_guest g = {0};
	int r = vu_mount_of(fd, &m);
	const struct vu_guest *k = r ? NULL : find_known(known, m.fs_id, st->version.ino);

	if (r)
		return r;
	*ret_new = !k;
	*ret_moved = k && strcmp(k->path, path);
	if (k) {
		r = vu_guest_copy(k, &g);
	} else {
		g.domain = strdup("");
		g.fs_id = vu_take_ptr(m.fs_id);
		r = g.domain ? unique_name(known, path, &g.name) : -ENOMEM;
	}
	if (r)
		return r;
	free(g.path);
	g.path = strdup(path);
	g.dev = st->version.dev;
	g.ino = st->version.ino;
	if (!g.path)
		return -ENOMEM;
	*ret = g;
	g = (struct vu_guest){0};
	return 0;
}

/*
 * Guests are known by file system and inode: those of a copied image are the same guests twice, and
 * the catalog could not tell them apart.
 */
static int check_twin(struct vu_session *s, const struct vu_guest *g)
{
	_cleanup_free_ char *why = NULL;

	for (size_t i = 0; i < s->guests.n; i++) {
		if (s->guests.v[i].ino != g->ino || strcmp(s->guests.v[i].fs_id, g->fs_id) != 0)
			continue;
		if (asprintf(&why, "its file system has the same UUID as that of %s",
			     s->guests.v[i].path) < 0)
			return -ENOMEM;
		return vu_fail(
			s->ops, VU_OPS_REFUSED, "cannot take the root", g->path, why,
			"give one of the two another (tune2fs -U, xfs_admin -U, btrfstune -u)");
	}
	return 0;
}

/* What can never be a guest is refused before it is registered. */
static int check_new(struct vu_session *s, const struct vu_guests *known, const struct vu_stat *st,
		     const char *path)
{
	if (st->attributes & STATX_ATTR_MOUNT_ROOT && s->ops->config->mode == VU_MODE_LINK)
		return vu_fail(s->ops, VU_OPS_REFUSED, "cannot take the root", path,
			       "it is the mount point itself, so the pool would lie inside of the "
			       "guest",
			       "put the guests into directories of one file system");
	return check_nested(s, known, path);
}

static int take_path(struct vu_session *s, struct vu_guests *known, const char *path,
		     unsigned flags)
{
	_cleanup_free_ char *real = NULL;
	struct vu_guest g = {0};
	struct vu_stat st;
	bool is_new, moved;
	_cleanup_fd_ int fd = open_root(path, &st, &real);

	if (fd < 0)
		return vu_fail(s->ops, fd, "cannot open the root", path, NULL,
			       "name the root directory of a guest");
	if (taken_already(s, &st))
		return 0;
	int r = make_guest(known, fd, &st, real, &g, &is_new, &moved);

	if (!r)
		r = is_new ? check_new(s, known, &st, real) : check_twin(s, &g);
	if (r > 0) {
		vu_guest_done(&g);
		return r;
	}
	if (!r && is_new && !(flags & VU_SESSION_REGISTER) && !(flags & VU_SESSION_NO_CATALOG)) {
		vu_guest_done(&g);
		return vu_fail(s->ops, VU_OPS_USAGE, "no such guest", path, "it is not registered",
			       "see `vunify guests`");
	}
	if (!r && (is_new || moved))
		r = remember(s, known, &g, is_new, flags);
	if (r) {
		vu_guest_done(&g);
		return r > 0 ? r
			     : vu_fail(s->ops, r, "cannot register the guest", path, NULL, NULL);
	}
	return add_open(s, &g, vu_take_fd(fd));
}

/*
 * Is what was opened at a guest's path still its root? Another file system may have the inode too.
 * Returns 1, 0 or a negative errno.
 */
static int is_root_of(const struct vu_guest *k, int fd, const struct vu_stat *st)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount m = {0};

	if (st->version.ino != k->ino)
		return 0;
	int r = vu_mount_of(fd, &m);

	return r ? r : !strcmp(m.fs_id, k->fs_id);
}

/* A registered guest: gone roots are left out with a warning, unless the guest was asked for. */
static int take_known(struct vu_session *s, struct vu_guests *known, const struct vu_guest *k,
		      bool asked_for, unsigned flags)
{
	_cleanup_free_ char *real = NULL, *text = NULL;
	struct vu_stat st;
	_cleanup_fd_ int fd = open_root(k->path, &st, &real);

	int r = fd < 0 ? fd : is_root_of(k, fd, &st);

	if (r > 0)
		return take_path(s, known, k->path, flags);
	if (asked_for)
		return vu_fail(s->ops, r < 0 ? r : VU_OPS_USAGE,
			       "cannot open the root of the guest", k->path,
			       r < 0 ? NULL : "another directory stands there now",
			       "scan the place where it is now, or `vunify guests remove` it");
	if (asprintf(&text, "left out: its root %s %s", k->path,
		     r == -ENOENT ? "is not there"
		     : r < 0	  ? "cannot be opened"
				  : "is another directory now") < 0)
		return -ENOMEM;
	vu_emit(&s->counting, &(struct vu_event){.kind = VU_EVENT_WARN,
						 .guest = k->name,
						 .err = r == -ENOENT ? 0 : r,
						 .text = text});
	return 0;
}

static int take_operand(struct vu_session *s, struct vu_guests *known, const char *operand,
			unsigned flags)
{
	for (size_t i = 0; !strchr(operand, '/') && i < known->n; i++)
		if (!strcmp(known->v[i].name, operand))
			return take_known(s, known, &known->v[i], !(flags & VU_SESSION_LEAVE_OUT),
					  flags);
	return take_path(s, known, operand, flags);
}

VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)

static int take_guests(struct vu_session *s, unsigned flags, char *const *operands, size_t n)
{
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	int r = vu_session_known_guests(s, &known);

	if (r)
		return r;
	if (!n && !known.n && !(flags & (VU_SESSION_REBUILD | VU_SESSION_REBUILD_DRY)))
		return vu_fail(s->ops, VU_OPS_NOT_SET_UP, "nothing to do", NULL,
			       "no guest is registered", "run `vunify scan ROOT...` first");
	size_t n_known = known.n;

	for (size_t i = 0; !r && !n && i < n_known; i++)
		r = take_known(s, &known, &known.v[i], false, flags);
	for (size_t i = 0; !r && i < n; i++)
		r = take_operand(s, &known, operands[i], flags);
	return r;
}

int vu_session_make_guest(struct vu_session *s, const struct vu_guests *known, const char *root,
			  struct vu_guest *ret)
{
	_cleanup_free_ char *real = NULL;
	struct vu_stat st;
	bool is_new, moved;
	_cleanup_fd_ int fd = open_root(root, &st, &real);

	if (fd < 0)
		return vu_fail(s->ops, fd, "cannot open the root", root, NULL,
			       "name the root directory of a guest");
	int r = make_guest(known, fd, &st, real, ret, &is_new, &moved);

	if (!r && is_new) {
		r = check_new(s, known, &st, real);
		if (r > 0)
			vu_guest_done(ret);
		if (r > 0)
			return r;
	}
	return r ? vu_fail(s->ops, r, "cannot register the guest", root, NULL, NULL) : 0;
}

int vu_session_open(struct vu_session *s, struct vu_ops *ops, unsigned flags, char *const *operands,
		    size_t n)
{
	int r = vu_session_open_catalog(s, ops, flags);

	if (!r)
		r = take_guests(s, flags, operands, n);
	if (!r && ops->guests_known)
		ops->guests_known(ops->guests_known_arg, &s->guests);
	return r;
}

static void borrow_pools(struct vu_session *s, const struct vu_session *of)
{
	for (size_t i = 0; i < s->n_fs; i++)
		for (size_t k = 0; k < of->n_fs; k++)
			if (s->fs[i].mount.id == of->fs[k].mount.id &&
			    s->fs[i].mount.dev == of->fs[k].mount.dev) {
				s->fs[i].pool = of->fs[k].pool;
				s->fs[i].borrowed = true;
			}
}

int vu_session_open_beside(struct vu_session *s, struct vu_session *of)
{
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	int r = vu_session_known_guests(of, &known);

	*s = (struct vu_session){.ops = of->ops, .counting = of->counting, .lock_fd = -EBADF};
	for (size_t i = 0; !r && i < of->guests.n; i++)
		r = take_path(s, &known, of->guests.v[i].path, VU_SESSION_NO_CATALOG);
	for (size_t i = 0; !r && i < known.n; i++)
		r = take_known(s, &known, &known.v[i], false, VU_SESSION_NO_CATALOG);
	if (!r)
		borrow_pools(s, of);
	return r;
}

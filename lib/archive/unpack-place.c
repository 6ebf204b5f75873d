/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where members go. The directory of a member is looked up with the tree's root as root (openat2(2),
 * RESOLVE_IN_ROOT): a symbolic link on the way leads where it would lead in the guest, so a name of a system
 * with merged /usr finds its place, and none leads out. The last component is never followed. Nobody else
 * reaches the tree, so what was looked up stays so.
 *
 * Layers: what a layer has made or named, and the directories above, is noted with the layer's number. A
 * whiteout takes away what has a lower one. Where it stands in its layer does not matter.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "archive/clear.h"
#include "archive/unpack-int.h"
#include "base/cleanup.h"

static int open_in_root(int root, const char *rel)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	long fd;

	do /* EAGAIN: a rename anywhere on the system */
		fd = syscall(SYS_openat2, root, *rel ? rel : ".", &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN);
	return fd < 0 ? -errno : (int)fd;
}

static void forget_parent(struct vu_unpack *u)
{
	vu_close_p(&u->parent);
	u->parent = -EBADF;
	free(u->parent_path);
	u->parent_path = NULL;
}

/* A directory that the archive did not name (yet): as mkdir(1) would make it. */
static int note_implied(struct vu_unpack *u, int dir, const char *name)
{
	struct vu_stat st;
	int r = vu_stat_at(dir, name, &st);

	/* its number may be that of one that was removed */
	if (!r)
		r = vu_inomap_set(&u->dirs, st.version.ino, VU_UNPACK_NONE);
	u->stats.dirs += !r;
	return r;
}

/* Is there a file in the directory that is not on the disk yet? */
static bool stands_in(const struct vu_unpack *u, int dir, const char *name)
{
	struct vu_stat st;

	return u->standins.v.n && !vu_stat_fd(dir, &st) &&
	       vu_standins_find(&u->standins, st.version.ino, name);
}

/* Makes the directories of a path that are missing, from the first to the last. */
static int make_dirs(struct vu_unpack *u, const char *path)
{
	_cleanup_free_ char *part = strdup(path);
	_cleanup_fd_ int at = open_in_root(u->env->root, "");
	int r = part ? 0 : -ENOMEM;

	for (char *p = part, *slash; !r && p; p = slash ? slash + 1 : NULL) {
		slash = strchr(p, '/');
		if (slash)
			*slash = 0;
		int next = open_in_root(u->env->root, part);

		if (next == -ENOENT && at >= 0) {
			if (stands_in(u, at, p))
				return -ENOTDIR;
			/* a symbolic link that leads nowhere is there already: not to be made */
			if (mkdirat(at, p, 0700))
				return errno == EEXIST
					       ? vu_unpack_refuse(
							 u, "it lies behind a symbolic link that "
							    "leads nowhere")
					       : -errno;
			r = note_implied(u, at, p);
			next = r ? r : open_in_root(u->env->root, part);
		}
		if (slash)
			*slash = '/';
		r = next < 0 ? next : 0;
		vu_close_p(&at);
		at = next;
	}
	return r;
}

int vu_unpack_parent(struct vu_unpack *u, const char *path, bool make, const char **ret_base)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	_cleanup_free_ char *dir = strndup(path, n);

	if (!dir)
		return -ENOMEM;
	*ret_base = slash ? slash + 1 : path;
	if (u->parent_path && !strcmp(u->parent_path, dir))
		return 0;
	forget_parent(u);
	int fd = open_in_root(u->env->root, dir);

	if (fd == -ENOENT && make) {
		int r = make_dirs(u, dir);

		if (r && r != -ENOTDIR && r != -ELOOP)
			return r;
		fd = r ? r : open_in_root(u->env->root, dir);
	}
	if (fd == -ENOTDIR)
		return vu_unpack_refuse(u, "it lies in what is no directory");
	if (fd == -ELOOP)
		return vu_unpack_refuse(u, "it lies behind too many symbolic links");
	if (fd < 0)
		return fd;
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	u->parent = fd;
	if (r)
		return r;
	u->parent_ino = st.version.ino;
	u->parent_path = vu_take_ptr(dir);
	return 0;
}

void vu_unpack_drop_standin(struct vu_unpack *u, const char *base)
{
	struct vu_standin *s =
		u->standins.v.n ? vu_standins_find(&u->standins, u->parent_ino, base) : NULL;

	if (s)
		s->token = VU_STANDIN_NONE;
}

static void dir_is_gone(void *arg, uint64_t ino)
{
	struct vu_unpack *u = arg;

	vu_standins_drop_dir(&u->standins, ino);
}

int vu_unpack_clear(struct vu_unpack *u, const char *base)
{
	const struct vu_clearing all = {.gone = dir_is_gone, .arg = u};

	/* the way to the directory may have led through what goes away: it is looked up anew next time */
	free(u->parent_path);
	u->parent_path = NULL;
	return vu_clear(u->parent, base, &all);
}

/* ---- layers ---- */

int vu_unpack_touch(struct vu_unpack *u, uint64_t ino)
{
	uint32_t layer;
	int at = -EBADF;

	if (!(u->env->flags & VU_UNPACK_LAYERS))
		return 0;
	int r = vu_inomap_set(&u->touched, ino, u->layer);

	/* so do the directories above, up to the first that is noted already */
	for (at = fcntl(u->parent, F_DUPFD_CLOEXEC, 3); !r && at >= 0;) {
		struct vu_stat st;

		r = vu_stat_fd(at, &st);
		if (r || st.version.ino == u->root_ino ||
		    (vu_inomap_get(&u->touched, st.version.ino, &layer) && layer == u->layer))
			break;
		r = vu_inomap_set(&u->touched, st.version.ino, u->layer);
		int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		close(at);
		at = up;
	}
	if (at < 0 && !r)
		return -errno;
	vu_close_p(&at);
	return r;
}

static bool is_of_this_layer(void *arg, const struct vu_stat *st)
{
	const struct vu_unpack *u = arg;
	uint32_t layer;

	return vu_inomap_get(&u->touched, st->version.ino, &layer) && layer == u->layer;
}

int vu_unpack_whiteout(struct vu_unpack *u, const char *base)
{
	const struct vu_clearing lower = {.stays = is_of_this_layer, .arg = u};
	const char *name = base + strlen(".wh.");
	int r;

	if (!strcmp(base, ".wh..wh..opq")) {
		_cleanup_fd_ int dir = openat(u->parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		r = dir < 0 ? -errno : vu_clear_below(dir, &lower);
	} else if (!strncmp(name, ".wh.", 4)) {
		return 0; /* of other tools, for themselves */
	} else if (!*name || !strcmp(name, ".") || !strcmp(name, "..")) {
		return vu_unpack_refuse(u, "it is a whiteout without a name");
	} else {
		r = vu_clear(u->parent, name, &lower);
	}
	forget_parent(u);
	u->stats.whiteouts += !r;
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/break-name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/exchange.h"
#include "fs/lease.h"
#include "link/dirs.h"
#include "link/interrupt.h"
#include "link/swap.h"

static struct vu_pool *pool_of(const struct vu_breaking *b)
{
	return b->env->pools[b->fs];
}

void vu_breaking_tmp(const struct vu_breaking *b, uint64_t n, char *tmp)
{
	if (b->live)
		snprintf(tmp, VU_BREAKING_TMP_MAX, "b-%llx-%016llx-%llx",
			 (unsigned long long)b->live_ino, (unsigned long long)b->prefix,
			 (unsigned long long)n);
	else
		snprintf(tmp, VU_BREAKING_TMP_MAX, "c-%016llx-%llx", (unsigned long long)b->prefix,
			 (unsigned long long)n);
}

static const char *guest_of(const struct vu_breaking *b, const struct vu_breaking_item *w)
{
	return b->env->guests->v[w->it->guest].name;
}

static int open_parent(const struct vu_breaking *b, const struct vu_breaking_item *w, uint32_t k,
		       const char **ret_base)
{
	const char *path = w->it->paths[k], *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = slash ? strndup(path, (size_t)(slash - path)) : strdup("");

	if (!dir)
		return -ENOMEM;
	*ret_base = slash ? slash + 1 : path;
	return vu_dirs_open_path(b->env->root_fds[w->it->guest], dir,
				 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME);
}

/* Nothing is there, or not inside of the guest: an answer, unlike other errors. */
static bool is_nowhere(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -ELOOP || err == -EXDEV;
}

int vu_breaking_ino_at(const struct vu_breaking *b, const struct vu_breaking_item *w, uint32_t k,
		       uint64_t *ret_ino)
{
	const char *base;
	struct vu_stat st;
	_cleanup_fd_ int dir = open_parent(b, w, k, &base);
	int r = dir < 0 ? dir : vu_stat_at(dir, base, &st);

	if (r && !is_nowhere(r))
		return r;
	*ret_ino = r ? 0 : st.version.ino;
	return 0;
}

bool vu_breaking_name_holds(const struct vu_breaking *b, const struct vu_breaking_item *w,
			    uint32_t k)
{
	uint64_t ino;

	return !vu_breaking_ino_at(b, w, k, &ino) && ino == w->object->ino;
}

/* The directory of a name. */
static void restore_time(struct vu_breaking *b, const struct vu_breaking_item *w, uint32_t k,
			 int dir, uint64_t mtime_ns)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, vu_stat_timespec(mtime_ns)};

	if (futimens(dir, times))
		vu_moment_emit(&b->moment,
			       &(struct vu_event){
				       .kind = VU_EVENT_WARN,
				       .err = -errno,
				       .guest = guest_of(b, w),
				       .path = w->it->paths[k],
				       .text = "the modification time of its directory could not "
					       "be put back"});
}

/*
 * The guest may have made or removed a name in it since the exchange: then its new time is the right one. after: what
 * the exchange has left, or NULL where that cannot be told; then it is taken for unchanged.
 */
static void restore_unless_changed(struct vu_breaking *b, const struct vu_breaking_item *w,
				   uint32_t k, int dir, const struct vu_stat *before,
				   const struct vu_stat *after)
{
	struct vu_stat now;

	if (!after || vu_stat_fd(dir, &now) || now.version.mtime_ns == after->version.mtime_ns)
		restore_time(b, w, k, dir, before->version.mtime_ns);
}

/* What came out is not the object: the guest has just put it there. */
static int give_way(struct vu_breaking *b, const struct vu_breaking_item *w, const char *tmp,
		    int dir, const char *base, uint64_t newest)
{
	_cleanup_free_ char *path = NULL;
	int r = vu_swap_back(b->stage, tmp, dir, base, newest, w->copy_ino);

	if (!r && unlinkat(b->stage, tmp, 0))
		return -errno;
	/* who was about to write to the copy starts anew, and finds the newest at the path */
	for (int i = 0; !r && w->copy_fd >= 0 && i < 10 && !vu_lease_quiet(w->copy_fd); i++)
		if (vu_interrupt_waiters(vu_pool_super_dev(pool_of(b)), w->copy_ino, NULL) <= 0)
			break;
	if (!r)
		return 0;
	if (r > 0)
		r = vu_pool_rescue(pool_of(b), b->stage, tmp, &path);
	if (r) {
		b->unsettled = r;
		return r;
	}
	vu_moment_emit(
		&b->moment,
		&(struct vu_event){
			.kind = VU_EVENT_WARN,
			.guest = guest_of(b, w),
			.path = path,
			.text = "a guest replaced or removed a file while it was given another inode: a "
				"version of it was moved to .vunify/rescued"});
	return 0;
}

int vu_breaking_move_name(struct vu_breaking *b, const struct vu_breaking_item *w, uint32_t k)
{
	const char *base;
	char tmp[VU_BREAKING_TMP_MAX];
	struct vu_stat st, before, after;
	_cleanup_fd_ int dir = open_parent(b, w, k, &base);

	if (dir < 0)
		return dir == -ENOENT || dir == -ENOTDIR || dir == -ELOOP ? 0 : dir;
	vu_breaking_tmp(b, w->tmp + k, tmp);
	int r = vu_stat_at(dir, base, &st);

	if (r || st.version.ino != w->it->ino)
		return r == -ENOENT ? 0 : r;
	r = vu_stat_fd(dir, &before);
	if (!r && w->into)
		r = vu_link_fd(w->into->fd, b->stage, tmp);
	if (r)
		return r;
	r = vu_exchange(b->stage, tmp, dir, base);
	if (r && w->into && unlinkat(b->stage, tmp, 0))
		b->unsettled = -errno;
	if (r)
		return r == -ENOENT ? 0 : r;
	bool known = !vu_stat_fd(dir, &after);

	r = vu_stat_at(b->stage, tmp, &st);
	if (!r && st.version.ino == w->it->ino)
		r = unlinkat(b->stage, tmp, 0) ? -errno : 1;
	else if (!r)
		r = give_way(b, w, tmp, dir, base, st.version.ino);
	if (r < 0)
		b->unsettled = r;
	restore_unless_changed(b, w, k, dir, &before, known ? &after : NULL);
	return r;
}

void vu_breaking_touch_parent(struct vu_breaking *b, const struct vu_breaking_item *w, uint32_t k)
{
	const char *base;
	struct vu_stat st;
	_cleanup_fd_ int dir = open_parent(b, w, k, &base);

	if (dir >= 0 && !vu_stat_fd(dir, &st))
		restore_time(b, w, k, dir, st.version.mtime_ns);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/break-item.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "fs/beneath.h"
#include "fs/copy.h"
#include "fs/exchange.h"
#include "fs/guard.h"
#include "fs/lease.h"
#include "link/break-name.h"
#include "link/interrupt.h"

static struct vu_pool *pool_of(const struct vu_breaking *b)
{
	return b->env->pools[b->fs];
}

bool vu_breaking_is_fatal(int err)
{
	return err == -ENOSPC || err == -EDQUOT || err == -EROFS || vu_is_want(err);
}

/* The item stays as it is, and that is told. */
static int fail(struct vu_breaking *b, struct vu_breaking_item *w, enum vu_skip why, int err)
{
	if (vu_breaking_is_fatal(err))
		return err;
	b->stats->failed++;
	vu_moment_emit(&b->moment, &(struct vu_event){
					   .kind = VU_EVENT_SKIP,
					   .skip = why,
					   .err = err,
					   .guest = b->env->guests->v[w->it->guest].name,
					   .path = w->it->n_paths ? w->it->paths[0] : NULL,
					   .size = w->size,
				   });
	w->object = vu_object_unref(&b->moment, w->object);
	return 0;
}

/* ---- file system ---- */

void vu_breaking_leave(struct vu_breaking *b)
{
	if (!b->open)
		return;
	vu_journal_close(pool_of(b), b->slot, &b->journal);
	close(b->stage);
	vu_pool_stage_remove(pool_of(b), b->slot);
	b->open = false;
}

int vu_breaking_enter(struct vu_breaking *b, uint32_t fs)
{
	if (b->open && b->fs == fs)
		return 0;
	vu_breaking_leave(b);
	b->fs = fs;
	int r = vu_journal_open(pool_of(b), b->slot, &b->journal);

	if (r)
		return r;
	b->stage = vu_pool_stage_open(pool_of(b), b->slot);
	if (b->stage < 0) {
		vu_journal_close(pool_of(b), b->slot, &b->journal);
		return b->stage;
	}
	b->open = true;
	return 0;
}

/* ---- object ---- */

/*
 * An item of the same object before this one has the lease: a second lease on one inode would keep
 * the first from being renewed.
 */
static bool share_object(struct vu_breaking_item *w, const struct vu_breaking_item *others,
			 size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!others[i].object || others[i].it->ino != w->it->ino)
			continue;
		w->object = vu_object_ref(others[i].object);
		w->n_links = others[i].n_links;
		w->size = others[i].size;
		return true;
	}
	return false;
}

int vu_breaking_open(struct vu_breaking *b, struct vu_breaking_item *w, struct vu_break_item *it,
		     const struct vu_breaking_item *others, size_t n)
{
	struct vu_stat st;

	*w = (struct vu_breaking_item){.it = it, .copy_fd = -EBADF};
	if (share_object(w, others, n))
		return 0;
	int r = vu_object_open(pool_of(b), &it->key, true, b->env->max_xattr_bytes, &w->object,
			       &st);

	if (r)
		return fail(b, w, r > 0 ? VU_SKIP_OPEN_FOR_WRITE : VU_SKIP_UNREADABLE,
			    r > 0 ? 0 : r);
	w->n_links = st.n_links;
	w->size = st.version.size;
	return st.version.ino == it->ino ? 0 : fail(b, w, VU_SKIP_CHANGED, -ESTALE);
}

/* ---- copy ---- */

/* One more name of the copy; the first, of one that has none yet. */
static int name_copy(struct vu_breaking *b, struct vu_breaking_item *w, int fd)
{
	char tmp[VU_BREAKING_TMP_MAX];

	vu_breaking_tmp(b, w->tmp + w->n_tmp, tmp);
	int r = vu_link_fd(fd, b->stage, tmp);

	w->n_tmp += !r;
	return r;
}

static int create_copy(struct vu_breaking *b, struct vu_breaking_item *w)
{
	char tmp[VU_BREAKING_TMP_MAX];

	if (b->live) {
		int fd = openat(b->stage, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

		return fd < 0 ? -errno : fd;
	}
	vu_breaking_tmp(b, w->tmp, tmp);
	int fd = openat(b->stage, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	w->n_tmp += fd >= 0;
	return fd < 0 ? -errno : fd;
}

static const struct timespec modified_now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};

/* What was copied is compared: the copy is all that the guest will have. */
static int compare_copy(const struct vu_breaking *b, const struct vu_breaking_item *w, int fd)
{
	struct vu_object as = *w->object;

	as.fd = fd;
	as.size = w->empty ? 0 : as.size;
	int r = vu_object_holds(&as, b->env->max_xattr_bytes);

	return r > 0 ? 0 : r ? r : -EIO;
}

static int make_copy(struct vu_breaking *b, struct vu_breaking_item *w)
{
	struct vu_stat st;
	bool shared = true;
	_cleanup_fd_ int fd = create_copy(b, w);

	if (fd < 0)
		return fd;
	int r = vu_stat_fd(w->object->fd, &st);

	if (!r && !w->empty)
		r = vu_copy_content(w->object->fd, fd, st.version.size, &shared);
	if (!r)
		r = vu_copy_metadata(w->object->fd, &st, fd, b->env->max_xattr_bytes);
	if (r)
		return r > 0 ? -E2BIG : r;
	r = compare_copy(b, w, fd);
	/* to cut what is empty changes no time */
	if (!r && w->empty && futimens(fd, modified_now))
		r = -errno;
	if (!r)
		r = vu_stat_fd(fd, &st);
	w->copy_ino = b->live_ino = st.version.ino;
	/* extents that are shared are metadata, which is on disk before the exchange is */
	if (!r && b->live && !shared && fdatasync(fd))
		r = -errno;
	while (!r && w->n_tmp < w->it->n_paths)
		r = name_copy(b, w, fd);
	return r;
}

/* What recovery is to do for it: nothing where eviction, which has a note of its own, moves the names once more. */
static enum vu_journal_kind kind_of(const struct vu_breaking_item *w)
{
	if (!w->into)
		return VU_JOURNAL_COPY;
	return w->evicts ? VU_JOURNAL_LINK : VU_JOURNAL_LEAD;
}

static int write_intents(struct vu_breaking *b, const struct vu_breaking_item *w)
{
	const struct vu_guest *g = &b->env->guests->v[w->it->guest];
	char tmp[16 + VU_BREAKING_TMP_MAX];
	int at = snprintf(tmp, sizeof(tmp), "%u/", b->slot), r = 0;

	for (uint32_t k = 0; !r && k < w->it->n_paths; k++) {
		vu_breaking_tmp(b, w->tmp + k, tmp + at);
		r = vu_journal_add(&b->journal,
				   &(struct vu_intent){
					   .kind = kind_of(w),
					   .tmp = tmp,
					   .key = w->into ? w->into->key : w->it->key,
					   .object_ino = w->into ? w->into->ino : w->it->ino,
					   .ino = w->into ? w->it->ino : w->copy_ino,
					   .root_ino = g->ino,
					   .root = g->path,
					   .path = w->it->paths[k],
					   .domain = g->domain,
					   .with_mtime = w->into != NULL,
				   });
	}
	return r;
}

void vu_breaking_drop(struct vu_breaking *b, struct vu_breaking_item *w)
{
	char tmp[VU_BREAKING_TMP_MAX];

	for (uint32_t k = 0; k < w->n_tmp; k++) {
		struct vu_stat st;

		vu_breaking_tmp(b, w->tmp + k, tmp);
		int r = vu_stat_at(b->stage, tmp, &st);

		/* a guest's file that could not be put back may be there: that is for recovery */
		if (!r && w->copy_ino && st.version.ino != w->copy_ino)
			r = -ESTALE;
		if (!r && unlinkat(b->stage, tmp, 0))
			r = -errno;
		if (r && r != -ENOENT)
			b->unsettled = r == -ESTALE ? -EIO : r;
	}
	w->n_tmp = 0;
	w->copy_ino = 0;
}

int vu_breaking_copy(struct vu_breaking *b, struct vu_breaking_item *w)
{
	if (!w->object)
		return 0;
	w->tmp = b->next_tmp;
	b->next_tmp += w->it->n_paths;
	int r = w->into ? 0 : make_copy(b, w);

	if (w->into)
		w->copy_ino = w->into->ino;
	if (!r)
		r = write_intents(b, w);
	if (!r)
		return 0;
	vu_breaking_drop(b, w);
	return fail(b, w, VU_SKIP_UNREADABLE, r);
}

int vu_breaking_sync(struct vu_breaking *b)
{
	int r = vu_journal_flush(&b->journal);

	return r || b->live ? r : vu_pool_sync(pool_of(b));
}

/* ---- move ---- */

static void tell_moved(struct vu_breaking *b, const struct vu_breaking_item *w, uint32_t k)
{
	char name[VU_KEY_NAME_MAX];

	vu_key_name(w->into ? &w->into->key : &w->it->key, name);
	b->stats->names++;
	if (b->env->progress)
		vu_progress_add(b->env->progress, 1, 0);
	vu_moment_emit(&b->moment, &(struct vu_event){
					   .kind = w->into ? VU_EVENT_UNIFY : VU_EVENT_BREAK,
					   .guest = b->env->guests->v[w->it->guest].name,
					   .path = w->it->paths[k],
					   .object = name,
					   .size = w->size,
				   });
}

/* The copy, if it is the object's equal still: xattrs can be restored from it. */
static int twin_of(const struct vu_breaking *b, const struct vu_breaking_item *w)
{
	struct vu_object as = *w->object;

	as.fd = w->copy_fd;
	return as.fd >= 0 && vu_object_holds(&as, b->env->max_xattr_bytes) == 1 ? as.fd : -EBADF;
}

/* Both flags off: the object's, and that of the one that takes its place. */
static int begin(struct vu_breaking *b, struct vu_breaking_item *w)
{
	int r = vu_moment_begin_strict(&b->moment, w->object), e;

	if (r || !w->into)
		return r;
	r = vu_moment_begin_inside(&b->moment, w->into);
	if (!r)
		return 0;
	e = vu_moment_end(&b->moment, w->object, -EBADF);
	return e ? e : r;
}

static int end(struct vu_breaking *b, struct vu_breaking_item *w)
{
	int e = w->into ? vu_moment_end(&b->moment, w->into, w->object->fd) : 0;
	int r = vu_moment_end(&b->moment, w->object, twin_of(b, w));

	return r ? r : e;
}

static bool is_slipped(const struct vu_breaking *b, const struct vu_object *o)
{
	return o->lost && vu_pool_slip_writes(pool_of(b));
}

/* Inside of moments of both: the names that have moved move to back->into again. Returns 0 or why one did not. */
static int names_back(struct vu_breaking *b, const struct vu_breaking_item *back,
		      uint32_t *ret_moved, bool *moved)
{
	int r = 0;

	for (uint32_t k = 0; r >= 0 && k < back->it->n_paths; k++) {
		r = moved[k] ? vu_breaking_move_name(b, back, k) : 0;
		*ret_moved -= r > 0;
		moved[k] = moved[k] && r <= 0;
	}
	return VU_MIN(r, 0);
}

/* A name could not be led over: then none is, for they are names of one file. */
static int lead_back(struct vu_breaking *b, struct vu_breaking_item *w, uint32_t *ret_moved,
		     bool *moved)
{
	struct vu_break_item it = *w->it;
	struct vu_breaking_item back = *w;

	it.ino = w->into->ino;
	back.it = &it;
	back.object = w->into;
	back.into = w->object;
	back.copy_ino = w->object->ino;
	int r = begin(b, &back), e;

	if (r)
		return r;
	r = names_back(b, &back, ret_moved, moved);
	e = end(b, &back);
	return e ? e : r;
}

/*
 * Somebody slipped in during the moment, of this guest maybe: then the inode is to be left to it, with
 * all its names. So they change places again with the copy, which nobody can have written to yet.
 */
static int take_back(struct vu_breaking *b, struct vu_breaking_item *w, uint32_t *ret_moved,
		     bool *moved)
{
	struct vu_break_item it = *w->it;
	struct vu_breaking_item back = *w;
	int r = vu_moment_begin(&b->moment, w->object), e;

	if (r)
		return r;
	it.ino = w->copy_ino;
	back.it = &it;
	back.into = w->object;
	back.copy_ino = w->object->ino;
	back.copy_fd = -EBADF;
	r = names_back(b, &back, ret_moved, moved);
	e = vu_moment_end(&b->moment, w->object, -EBADF);
	/* who came to write to the copy starts anew, and finds the object at the path */
	for (int i = 0; i < 10 && !vu_lease_quiet(w->copy_fd); i++)
		if (vu_interrupt_waiters(vu_pool_super_dev(pool_of(b)), w->copy_ino, NULL) <= 0)
			break;
	return e ? e : r;
}

static int move_all(struct vu_breaking *b, struct vu_breaking_item *w, uint32_t *ret_moved,
		    bool *moved)
{
	int kind = kind_of(w), r = begin(b, w), e, first = 0;
	char tmp[VU_BREAKING_TMP_MAX];

	if (r)
		return r;
	/* until all is in its place nobody writes to the copy: it may have to give way again */
	vu_breaking_tmp(b, w->tmp, tmp);
	_cleanup_fd_ int copy = w->into ? -EBADF : vu_regular_open(b->stage, tmp, NULL);

	w->copy_fd = copy >= 0 && !vu_lease_take(copy) ? copy : -EBADF;
	for (uint32_t k = 0; k < w->it->n_paths; k++) {
		r = vu_breaking_move_name(b, w, k);
		moved[k] = r > 0;
		*ret_moved += r > 0;
		if (r < 0 && !first)
			first = r;
		if (vu_breaking_is_fatal(r))
			break;
	}
	e = end(b, w);
	/* one that could not be moved: then none is, for they are names of one file */
	if (!e && w->copy_fd >= 0 && (is_slipped(b, w->object) || (first && !b->unsettled)))
		e = take_back(b, w, ret_moved, moved);
	else if (!e && kind == VU_JOURNAL_LEAD && first && *ret_moved && !b->unsettled)
		e = lead_back(b, w, ret_moved, moved);
	w->copy_fd = -EBADF;
	if (kind != VU_JOURNAL_LINK && (e || first) && (*ret_moved || b->unsettled)) {
		/* that went wrong too: recovery lets the others follow */
		b->unsettled = e ? e : first;
		w->n_tmp = 0;
	}
	return e ? e : first;
}

static int by_copy(struct vu_breaking *b, struct vu_breaking_item *w)
{
	_cleanup_free_ bool *moved = calloc(w->it->n_paths + 1, sizeof(*moved));
	uint32_t n = 0;

	if (!moved)
		return -ENOMEM;
	int r = move_all(b, w, &n, moved);

	for (uint32_t k = 0; k < w->it->n_paths; k++)
		if (moved[k])
			tell_moved(b, w, k);
	b->stats->inodes += n && !w->into;
	b->stats->copied_bytes += n && !w->into ? w->size : 0;
	if (r && !b->unsettled)
		return fail(b, w, r == -EAGAIN ? VU_SKIP_OPEN_FOR_WRITE : VU_SKIP_UNREADABLE, r);
	if (!r && !w->into && is_slipped(b, w->object))
		return fail(b, w, VU_SKIP_OPEN_FOR_WRITE, 0);
	w->it->done = !r;
	return r;
}

/* Has it as many names as the item and the pool have together? 0, 1: no, or errno. */
static int count_names(const struct vu_breaking_item *w)
{
	struct vu_stat st;
	int r = vu_stat_fd(w->object->fd, &st);

	return r ? r : st.n_links != w->it->n_paths + 1;
}

/*
 * Does nobody else have it? The number alone does not say so: a name that is gone since the guest was walked
 * would stand for another guest's. Counted before and behind, so that none can go in between.
 */
static int is_alone(const struct vu_breaking *b, const struct vu_breaking_item *w)
{
	int r = count_names(w);

	for (uint32_t k = 0; !r && k < w->it->n_paths; k++)
		r = !vu_breaking_name_holds(b, w, k);
	return r ? r : count_names(w);
}

int vu_breaking_give(struct vu_breaking *b, struct vu_breaking_item *w)
{
	int r = count_names(w);

	if (r)
		return r;
	r = vu_moment_begin(&b->moment, w->object);
	if (r)
		return r;
	r = is_alone(b, w);
	if (!r)
		r = vu_pool_object_unlink(pool_of(b), &w->it->key);
	if (r) {
		int e = vu_moment_end(&b->moment, w->object, -EBADF);

		return e ? e : r;
	}
	vu_moment_end_private(&b->moment, w->object);
	for (uint32_t k = 0; k < w->it->n_paths; k++) {
		vu_breaking_touch_parent(b, w, k);
		tell_moved(b, w, k);
	}
	b->stats->inodes++;
	b->stats->given++;
	w->it->done = true;
	return 0;
}

int vu_breaking_move(struct vu_breaking *b, struct vu_breaking_item *w)
{
	vu_progress_guest(b->env->progress, w->it->guest);
	int r;

	if (!w->object)
		return 0;
	if (w->object->given)
		return fail(b, w, VU_SKIP_CHANGED, 0);
	/*
	 * One with a writer is for who evicts: nothing that is written to it may be left behind. Where the
	 * file system refuses what is written, only the flag makes it do so. And the writer may be of
	 * another guest than the one that would get the inode.
	 */
	if ((w->into ? w->into : w->object)->lost)
		return fail(b, w, VU_SKIP_OPEN_FOR_WRITE, 0);
	if (w->copy_ino)
		return by_copy(b, w);
	r = vu_breaking_give(b, w);
	if (r == -ESTALE)
		return fail(b, w, VU_SKIP_OPEN_FOR_WRITE, 0);
	if (r <= 0)
		return r;
	/* an item before it could not be broken: a copy after all */
	r = vu_breaking_copy(b, w);
	if (!r)
		r = vu_breaking_sync(b);
	return r || !w->object ? r : by_copy(b, w);
}

int vu_breaking_close(struct vu_breaking *b, struct vu_breaking_item *w)
{
	struct vu_stat st;

	vu_breaking_drop(b, w);
	if (!w->object)
		return 0;
	/* an object still, and no name but the pool's */
	bool unused = !vu_stat_fd(w->object->fd, &st) && st.n_links == 1 &&
		      vu_guard_or_flag_holds(w->object->fd, &st);

	w->object = vu_object_unref(&b->moment, w->object);
	if (!unused)
		return 0;
	int r = vu_moment_remove_unused(&b->moment, pool_of(b), &w->it->key);

	if (!r)
		b->stats->objects_removed++;
	return r == -EBUSY || r == -ENOENT ? 0 : r;
}

int vu_breaking_settled(struct vu_breaking *b)
{
	return b->unsettled ? b->unsettled : vu_journal_reset(&b->journal);
}

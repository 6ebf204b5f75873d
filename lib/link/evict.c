/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eviction, step by step:
 *
 *  1. The verified copy (link/slip.c) gets the next free name of the key in the pool; syncfs(2); flag.
 *     From then on it is an object like any other, but for its further name NAME.copy.
 *  2. For each guest but the one that keeps the inode: journal lines, one syncfs(2), then in one moment
 *     each name exchanged with a name of the new object, as the breaker does it (link/break-item.c).
 *     What comes out must be the old inode; what a guest has just put there is exchanged back.
 *  3. The old inode's name leaves the pool and its flag stays off: it is the private file of the guest
 *     that keeps it. If nobody does, the name moves to .vunify/rescued.
 *  4. NAME.copy removed in a moment, then the note.
 *
 * Killed, or power lost: every path has the old inode or the new one. The note stays until 4, recovery
 * gives both inodes their flag and removes temporary names, and eviction begins anew: a copy that has a
 * second name is the new object of before. A note without an object was done with.
 *
 * The lease of an object that was parked (link/parking.h) is held all the while: whoever opens the old
 * inode while its flag is off waits, and is interrupted; nobody gets in before only one guest, or
 * nobody, has names of it. Then it is given back.
 *
 * If somebody slips into the new object in turn, that is noted like the first slip. What is not there yet
 * moves to one more object; what is moves on when the caller looks again.
 */
#include "link/evict.h"

#include <errno.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "fs/guard.h"
#include "fs/lease.h"
#include "link/break-item.h"
#include "link/identify.h"
#include "link/parking.h"
#include "link/quarantine.h"
#include "link/successor.h"

#define TRIES 4 /* new objects for one that is evicted, when each in turn is slipped into */

struct evicting {
	struct vu_breaking b;
	struct vu_breaker_stats breaker;
	const struct vu_breaker_env *env;
	struct vu_evict *e;
	struct vu_evict_stats *stats;
	struct vu_object *old;	/* owned */
	struct vu_object *into; /* owned; the new object */
	size_t keeper;		/* index of the item whose guest keeps the inode; n_items: nobody */
	bool damaged;		/* nobody slipped in: it is not what its name says */
};

static struct vu_pool *pool_of(const struct evicting *v)
{
	return v->env->pools[v->e->fs];
}

static const char *guest_of(const struct evicting *v, size_t item)
{
	return v->env->guests->v[v->e->items[item].guest].name;
}

static void tell(const struct evicting *v, enum vu_event_kind kind, const char *guest,
		 const char *path, const char *text)
{
	char name[VU_KEY_NAME_MAX];

	vu_key_name(&v->e->key, name);
	vu_emit(v->env->sink, &(struct vu_event){
				      .kind = kind,
				      .guest = guest,
				      .path = path,
				      .object = name,
				      .text = text,
			      });
}

/* ---- what is to be evicted at all ---- */

struct looking {
	const struct vu_breaker_env *env;
	uint32_t fs;
	struct vu_evict *v;
	size_t n;
};

static int take_note(void *arg, const struct vu_key *key)
{
	struct looking *l = arg;
	struct vu_evict *v = reallocarray(l->v, l->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	l->v = v;
	v[l->n++] = (struct vu_evict){.fs = l->fs, .key = *key};
	return 0;
}

/* Nobody has it open, and it is what its key says? 1, 0 or errno. */
static int is_unharmed(const struct vu_breaker_env *env, const struct vu_evict *e,
		       struct vu_stat *ret_st)
{
	_cleanup_fd_ int fd = vu_pool_object_open(env->pools[e->fs], &e->key);
	struct vu_attr attr;
	int r = fd < 0 ? fd : vu_stat_fd(fd, ret_st);

	if (!r)
		r = vu_guard_lease(fd);
	if (r)
		return r > 0 ? 0 : r;
	if (!vu_guard_or_flag_holds(fd, ret_st))
		return 0;
	r = vu_identify(fd, &e->key, env->watch ? env->watch->domains : NULL, NULL,
			env->max_xattr_bytes, ret_st, &attr);
	return r > 0 ? vu_lease_quiet(fd) : r;
}

/* 1: to be evicted. 0: settled. */
static int look_at(const struct vu_breaker_env *env, struct vu_moment_env *moment,
		   struct vu_evict *e, struct vu_evict_stats *stats)
{
	struct evicting v = {.env = env, .e = e, .stats = stats};
	struct vu_stat st = {0};

	_cleanup_fd_ int copy = vu_slip_copy_open(pool_of(&v), &e->key);
	int r = vu_slip_is_damage(pool_of(&v), &e->key);

	if (r < 0)
		return r;
	v.damaged = r;
	/* without the copy it was cut short, at its begin or at its end */
	if (v.damaged && copy == -ENOENT)
		return vu_slip_forget(pool_of(&v), &e->key);
	r = is_unharmed(env, e, &st);

	/* what cannot be read is damaged, too */
	if (r < 0 && r != -ENOENT && !vu_is_want(r) && v.damaged && st.version.ino)
		r = 0;
	if (!r) {
		e->ino = st.version.ino;
		return 1;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	stats->unharmed += r > 0;
	tell(&v, v.damaged ? VU_EVENT_RECOVER : VU_EVENT_WARN, NULL, NULL,
	     v.damaged ? "this object was to be replaced as damaged, and need not be any more"
	     : r > 0 ? "somebody got this object open for writing while a name was added or taken "
		       "away; nothing was changed, and it is closed again"
		     : "somebody got this object open for writing while a name was added or taken "
		       "away; it is shared no more, and what is written stays in one guest");
	return vu_successor_forget(moment, pool_of(&v), &e->key);
}

int vu_evict_look(const struct vu_breaker_env *env, uint32_t fs, struct vu_evict **ret,
		  size_t *ret_n, struct vu_evict_stats *stats)
{
	struct looking l = {.env = env, .fs = fs};
	struct vu_moment_env moment;
	size_t left = 0;
	int r = vu_slip_each(env->pools[fs], take_note, &l);

	vu_moment_env_init(&moment, env->sink, env->max_xattr_bytes);
	moment.watch = env->watch;
	for (size_t i = 0; r >= 0 && i < l.n; i++) {
		r = look_at(env, &moment, &l.v[i], stats);
		if (r > 0)
			l.v[left++] = l.v[i];
	}
	vu_moment_env_done(&moment);
	*ret = l.v;
	*ret_n = left;
	return r < 0 ? r : 0;
}

/* ---- who keeps the inode ---- */

static int who_now(const struct evicting *v, struct vu_slip_seen *seen)
{
	const struct vu_slip_watch *w = v->env->watch;
	int n = w && w->who ? w->who(w->arg, vu_pool_dev(pool_of(v)), v->e->ino,
				     &(struct vu_waiters){0}, seen, VU_SLIP_SEEN_MAX)
			    : 0;

	return VU_MAX(n, 0);
}

static size_t item_of(const struct evicting *v, uint64_t root_ino)
{
	size_t i = 0;

	while (i < v->e->n_items && v->env->guests->v[v->e->items[i].guest].ino != root_ino)
		i++;
	return i;
}

/* The one root that is seen in this way; *ret_n: how many are. */
static uint64_t only_one(const struct vu_slip_seen *seen, int n, bool holds, unsigned *ret_n)
{
	uint64_t root = 0;

	*ret_n = 0;
	for (int i = 0; i < n; i++) {
		if (!(holds ? seen[i].holds : seen[i].waited) ||
		    (*ret_n && seen[i].root_ino == root))
			continue;
		root = seen[i].root_ino;
		++*ret_n;
	}
	return root;
}

static int choose_keeper(struct evicting *v)
{
	struct vu_slip_seen seen[2 * VU_SLIP_SEEN_MAX];

	v->keeper = v->e->n_items;
	if (v->damaged)
		return 0;
	int n = vu_slip_seen(pool_of(v), &v->e->key, seen, VU_SLIP_SEEN_MAX);
	unsigned holders, waiters;

	if (n < 0)
		return n;
	n += who_now(v, seen + n);
	uint64_t holder = only_one(seen, n, true, &holders);
	uint64_t waiter = only_one(seen, n, false, &waiters);

	if (holders == 1)
		v->keeper = item_of(v, holder);
	else if (!holders && waiters == 1)
		v->keeper = item_of(v, waiter);
	return 0;
}

/* ---- moving ---- */

static int open_into(struct evicting *v)
{
	return vu_successor_open(&v->b.moment, pool_of(v), &v->e->key, v->old, &v->into);
}

static bool is_to_move(const struct evicting *v, size_t item)
{
	return item != v->keeper && !v->e->items[item].done;
}

/* Until somebody slips into the new object too: it stays what is there already. */
static int move_items(struct evicting *v, struct vu_breaking_item *w)
{
	int r = 0;

	for (size_t i = 0; !r && i < v->e->n_items; i++) {
		vu_object_unref(&v->b.moment, w[i].object);
		w[i] = (struct vu_breaking_item){
			.it = &v->e->items[i],
			.object = vu_object_ref(v->old),
			.into = i == v->keeper ? NULL : v->into,
			.evicts = true,
			.size = v->old->size,
			.copy_fd = -EBADF,
		};
		if (is_to_move(v, i))
			r = vu_breaking_copy(&v->b, &w[i]);
	}
	if (!r)
		r = vu_breaking_sync(&v->b);
	for (size_t i = 0; !r && i < v->e->n_items && !v->into->lost; i++)
		if (is_to_move(v, i))
			r = vu_breaking_move(&v->b, &w[i]);
	return r;
}

/* All of them; with one more new object as often as somebody slips into the one before. */
static int move_all_items(struct evicting *v, struct vu_breaking_item *w)
{
	int r = move_items(v, w);

	for (int i = 0; !r && v->into->lost && i < TRIES; i++) {
		bool any = false;

		for (size_t k = 0; k < v->e->n_items; k++)
			any = any || is_to_move(v, k);
		if (!any)
			break;
		r = vu_successor_drop_copy(&v->b.moment, pool_of(v), &v->e->key, v->into);
		v->into = vu_object_unref(&v->b.moment, v->into);
		if (!r)
			r = open_into(v);
		if (!r)
			r = move_items(v, w);
	}
	return r;
}

static void drop_items(struct evicting *v, struct vu_breaking_item *w)
{
	for (size_t i = 0; i < v->e->n_items; i++)
		w[i].object = vu_object_unref(&v->b.moment, w[i].object);
}

/* Nobody got it open, now that its lease was given back for an instant: nothing was written to it. */
static bool is_unused(struct evicting *v)
{
	if (!v->old->parked)
		return false;
	vu_lease_drop(v->old->fd);
	return !vu_lease_take(v->old->fd) && vu_object_holds(v->old, v->env->max_xattr_bytes) > 0;
}

/*
 * Nobody keeps it: its last name goes where nothing is lost, or away if nobody had it open. 1: it has
 * other names still.
 */
static int rescue(struct evicting *v, char **ret_path)
{
	struct vu_stat st;
	int r = vu_stat_fd(v->old->fd, &st);

	if (r || st.n_links != 1)
		return r ? r : 1;
	bool unused = is_unused(v);

	r = vu_moment_begin(&v->b.moment, v->old);
	if (!r && unused)
		r = vu_pool_object_unlink(pool_of(v), &v->e->key);
	else if (!r)
		r = vu_pool_object_rescue(pool_of(v), &v->e->key, ret_path);
	if (!r)
		vu_moment_end_private(&v->b.moment, v->old);
	else
		vu_moment_end(&v->b.moment, v->old, -EBADF);
	return r;
}

/* ---- what is told ---- */

static void tell_no_content(const struct evicting *v)
{
	for (size_t i = 0; i < v->e->n_items; i++)
		tell(v, VU_EVENT_DAMAGE, guest_of(v, i), v->e->items[i].paths[0],
		     "a guest that shares this file got it open for writing and changed it, and the "
		     "content that it had cannot be had any more: this guest sees what was written. "
		     "Run `vunify unmerge` for this path in all guests that are named, then put the "
		     "file back from its package or a backup");
}

static void tell_shared(const struct evicting *v)
{
	if (v->damaged) {
		tell(v, VU_EVENT_DAMAGE, NULL, NULL,
		     "the damaged object has names still, in a guest, that could not be moved, or that no "
		     "registered guest has; the others were moved to a new object. Register the "
		     "guest and run `vunify recover`");
		return;
	}
	for (size_t i = 0; i < v->e->n_items; i++)
		if (is_to_move(v, i))
			tell(v, VU_EVENT_DAMAGE, guest_of(v, i), v->e->items[i].paths[0],
			     "a guest that shares this file got it open for writing, and it could "
			     "not be replaced here: run `vunify recover` again");
	tell(v, VU_EVENT_DAMAGE, NULL, NULL,
	     "somebody got this object open for writing, and it has names in a guest still that "
	     "could not be moved, or that no registered guest has: register the guest and run "
	     "`vunify recover`");
}

static void tell_kept(const struct evicting *v)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text,
		     "this guest %s a shared file %s writing while a name was added or "
		     "taken away: the file is its own now, and the %llu names that other guests "
		     "have of it were moved to a new object with the content as it was",
		     v->old->parked ? "opened" : "got", v->old->parked ? "for" : "open for",
		     (unsigned long long)v->breaker.names) < 0)
		text = NULL;
	tell(v, VU_EVENT_WARN, guest_of(v, v->keeper), v->e->items[v->keeper].paths[0], text);
}

static void tell_rescued(const struct evicting *v, const char *path)
{
	_cleanup_free_ char *text = NULL;

	if (v->damaged) {
		if (asprintf(
			    &text,
			    "the damaged object was replaced by one with the content as it was; the "
			    "damaged inode is in this file (below %s)",
			    vu_pool_mount_point(pool_of(v))) < 0)
			text = NULL;
		tell(v, VU_EVENT_RECOVER, NULL, path, text);
		return;
	}
	if (!path) {
		tell(v, VU_EVENT_WARN, NULL, NULL,
		     "somebody opened this object for writing while a name was added or taken "
		     "away: the guests' names were moved to a new object, before anything was "
		     "written");
		return;
	}
	if (asprintf(&text,
		     v->e->n_items
			     ? "somebody got this object open for writing, and it cannot be "
			       "told which one guest that was: the guests' names were moved "
			       "to a new object with the content as it was, and what was "
			       "written is in this file (below %s)"
			     : "somebody got this object open for writing, and no guest has it "
			       "any more: what was written is in this file (below %s)",
		     vu_pool_mount_point(pool_of(v))) < 0)
		text = NULL;
	tell(v, VU_EVENT_DAMAGE, NULL, path, text);
}

/* While the flag was off, did another guest get it open as well? */
static void look_for_others(const struct evicting *v)
{
	struct vu_slip_seen seen[VU_SLIP_SEEN_MAX];
	int n = who_now(v, seen);

	for (int i = 0; i < n; i++) {
		size_t item = item_of(v, seen[i].root_ino);

		if (!seen[i].holds || item == v->keeper)
			continue;
		tell(v, VU_EVENT_DAMAGE, item < v->e->n_items ? guest_of(v, item) : NULL,
		     item < v->e->n_items ? v->e->items[item].paths[0] : NULL,
		     "it got this file open for writing while its name was moved away from an "
		     "inode that belongs to another guest now: what it writes goes there");
	}
}

/* ---- all of it ---- */

/* The names have moved as far as they do. Returns 0, 1 when the inode is shared still, or errno. */
static int part(struct evicting *v, struct vu_breaking_item *w)
{
	_cleanup_free_ char *path = NULL;
	uint64_t moved = v->breaker.names;
	int r;

	/* who waits for the lease of what was another guest's name finds the new object instead */
	if (v->old->parked)
		vu_moment_calm(v->old);
	if (v->keeper == v->e->n_items) {
		r = rescue(v, &path);
		if (!r)
			tell_rescued(v, path);
		return r;
	}
	r = vu_breaking_give(&v->b, &w[v->keeper]);
	if (r == -ESTALE) /* whoever writes to it is of the guest that gets it */
		r = vu_breaking_give(&v->b, &w[v->keeper]);
	if (r)
		return r;
	v->breaker.names = moved; /* not those that it keeps */
	tell_kept(v);
	vu_lease_drop(v->old->fd);
	look_for_others(v);
	return 0;
}

static int evict(struct evicting *v)
{
	_cleanup_free_ struct vu_breaking_item *w = calloc(v->e->n_items + 1, sizeof(*w));
	int r = w ? choose_keeper(v) : -ENOMEM;

	/* no guest has it any more: there is nothing to move, but what was written is kept */
	if (!r && v->e->n_items)
		r = open_into(v);
	if (r == -ENODATA || r == -ESTALE) {
		tell_no_content(v);
		return 1;
	}
	if (r)
		return r;
	if (v->into)
		r = move_all_items(v, w);
	if (r == -ENODATA) /* slipped into again, and written to at once: what is left is shared */
		r = 1;
	if (!r)
		r = part(v, w);
	drop_items(v, w);
	if (r > 0)
		tell_shared(v);
	v->stats->names += v->breaker.names;
	if (r)
		return r;
	v->stats->evicted++;
	/* an eviction before this one, which was cut off, may have made an object of the copy */
	if (!v->into)
		return vu_successor_forget(&v->b.moment, pool_of(v), &v->e->key);
	return vu_successor_drop_copy(&v->b.moment, pool_of(v), &v->e->key, v->into);
}

/*
 * The inode behind the object's name: with the lease that is kept for it; else with nobody kept from it,
 * for there is a writer already.
 */
static int open_old(struct evicting *v)
{
	size_t max = v->env->max_xattr_bytes;
	_cleanup_fd_ int fd =
		v->env->watch ? vu_parking_take(v->env->watch->parking, pool_of(v), v->e->ino)
			      : -ENOENT;
	bool parked = fd >= 0, leased = false;
	int r = vu_slip_is_damage(pool_of(v), &v->e->key);

	if (r < 0)
		return r;
	v->damaged = r;
	r = 1;
	if (v->damaged && !parked) {
		r = vu_object_open(pool_of(v), &v->e->key, true, max, &v->old, NULL);
		leased = !r;
	}
	if (r > 0)
		r = parked ? vu_object_of_consume(pool_of(v), &v->e->key, fd, max, &v->old, NULL)
			   : vu_object_open(pool_of(v), &v->e->key, false, max, &v->old, NULL);
	if (r)
		return r; /* claimed by who breaks links: the next run sees to it */
	if (parked)
		fd = -EBADF;
	/* somebody has it open for writing besides: then that decides */
	v->damaged = leased;
	v->old->parked = parked;
	v->old->lost = !leased;
	return 0;
}

int vu_evict_run(const struct vu_breaker_env *env, struct vu_evict *e, struct vu_evict_stats *stats)
{
	struct evicting v = {.env = env, .e = e, .stats = stats};

	v.b = (struct vu_breaking){.env = env, .stats = &v.breaker, .stage = -EBADF};
	if (getrandom(&v.b.prefix, sizeof(v.b.prefix), 0) != sizeof(v.b.prefix))
		return -EIO;
	vu_moment_env_init(&v.b.moment, env->sink, env->max_xattr_bytes);
	v.b.moment.watch = env->watch;
	int r = vu_breaking_enter(&v.b, e->fs), s;

	if (!r)
		r = open_old(&v);
	if (!r)
		r = evict(&v);
	stats->left += r > 0;
	struct vu_key key = v.into ? v.into->key : e->key;
	bool unused = !r && v.into;

	v.old = vu_object_unref(&v.b.moment, v.old);
	v.into = vu_object_unref(&v.b.moment, v.into);
	/* nobody but the keeper had it: refused with -EBUSY otherwise */
	if (unused)
		(void)vu_moment_remove_unused(&v.b.moment, pool_of(&v), &key);
	s = v.b.open ? vu_breaking_settled(&v.b) : 0;
	if (!r && !s)
		r = vu_slip_forget(pool_of(&v), &e->key);
	if (!r && !s)
		r = vu_quarantine_lift(pool_of(&v), &e->key);
	vu_breaking_leave(&v.b);
	vu_moment_env_done(&v.b.moment);
	return r < 0 ? r : s;
}

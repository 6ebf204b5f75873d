/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whoever can be frozen is frozen for the time of a moment (link/freezer.h): then nobody is inside of a
 * system call, and 5 and 6 find nothing to do. All of it is done all the same, for those that cannot.
 *
 * A moment, step by step (kernel behaviour measured on Linux 6.18, ext4, XFS and btrfs):
 *
 *  1. A read lease on the object is held before, during and after. It was given, so nobody has the
 *     inode open for writing or mapped shared-writable. Whoever opens it for writing from now on
 *     passes the permission check first (EPERM while the flag is on) and then waits inside open().
 *  2. Flag off.
 *  3. Names are added, exchanged, taken away, by the caller. None of it breaks the lease.
 *  4. Flag on.
 *  5. The lease is asked (F_GETLEASE). If it is not a read lease any more, somebody waits inside
 *     open() with a permission from step 3. Ending the lease would let him in: on ext4 his write
 *     would fail with EPERM, on XFS and btrfs it would land in the object. So he is interrupted with
 *     the lease still held: his system call starts anew and meets the flag. This goes on for the
 *     cool-down, for those who were between the permission check and the lease (link/cooling.c); where it
 *     can, meanwhile other things are done, even further moments of the object: a lease that is being
 *     broken makes openers wait like any other.
 *     If somebody cannot be interrupted, on XFS and btrfs: the lease stays as it is (link/parking.c), the
 *     object is lost, its verified content is put aside (link/slip.c), and whoever called the linker
 *     evicts it (link/evict.c) before the lease is given back: who is let in at last has an inode of his
 *     own. That is not done for everybody who was interrupted: under attack most runs would evict, and
 *     while names move from the old inode its flag is off for long.
 *     A lease that is being broken cannot be renewed in place: it is given back and taken anew. If it
 *     is refused now, a writer slipped in; if it is not, but the object was written to, one came and
 *     went in between (which shows in size or mtime: where these changed, the content is read). On ext4,
 *     which refuses the write itself, he is waited for and told. Elsewhere the object is lost from here on:
 *     its verified content and who is seen to have it open are put aside (link/slip.c), nothing is
 *     linked to it any more, and whoever called the linker evicts it (link/evict.c).
 *  6. chmod, chown, utimes and setxattr by another name do not ask for leases. What they changed in
 *     step 3 is seen by comparing, and put right in another moment. (To the caller of chmod it
 *     succeeded: that is the documented limit of this way.)
 *
 * An object under the guard (fs/guard.h, lib/lsm) has no flag: a mark, which refuses all that a flag does but what is
 * done to names. Then 2 and 4 change nothing, nobody can slip in, and there is no lease.
 *
 * A lease in step 5 is never left in the state of being broken: after lease-break-time (45 s) the
 * kernel would take it away.
 *
 * Killed between 2 and 4: the guardian, which has the same descriptors and so the lease still, does
 * what is left of 4 to 6 (link/ledger.c, link/guardian.c). Killed together with it: the flag is off, the
 * lease is gone, and guests can write. Recovery finds objects without a flag and compares them with
 * their key (link/recover.c). Power lost: the same, or the flag never was off.
 */
#include "link/moment.h"

#include <errno.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "fs/guard.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "link/cooling.h"
#include "link/freezer.h"
#include "link/interrupt.h"
#include "link/ledger.h"

#define REPAIRS_MAX 16 /* moments spent on putting metadata right, before it is told as damage */
#define FLAG_TRIES 8

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void vu_moment_env_init(struct vu_moment_env *env, const struct vu_sink *sink,
			size_t max_xattr_bytes)
{
	*env = (struct vu_moment_env){.sink = sink, .max_xattr_bytes = max_xattr_bytes};
	pthread_mutex_init(&env->sink_lock, NULL);
	vu_moment_ignore_sigio();
}

void vu_moment_env_done(struct vu_moment_env *env)
{
	pthread_mutex_destroy(&env->sink_lock);
}

struct vu_freezer *vu_moment_freezer(const struct vu_moment_env *env)
{
	return env->watch ? env->watch->freezer : NULL;
}

struct vu_ledger *vu_moment_ledger(const struct vu_moment_env *env)
{
	return env->watch ? env->watch->ledger : NULL;
}

void vu_moment_emit(struct vu_moment_env *env, const struct vu_event *e)
{
	pthread_mutex_lock(&env->sink_lock);
	vu_emit(env->sink, e);
	pthread_mutex_unlock(&env->sink_lock);
}

void vu_moment_tell(struct vu_moment_env *env, enum vu_event_kind kind, const struct vu_object *o,
		    int err, const char *text)
{
	char name[VU_KEY_NAME_MAX];
	struct vu_event e = {
		.kind = kind,
		.err = err,
		.object = name,
		.text = text,
		.size = o->size,
	};

	vu_key_name(&o->key, name);
	vu_moment_emit(env, &e);
}

uint64_t vu_moment_now(void)
{
	return (uint64_t)vu_clock_ns();
}

static void nap_ns(uint64_t ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(ns / UINT64_C(1000000000)),
		.tv_nsec = (long)(ns % UINT64_C(1000000000)),
	};

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

void vu_moment_ignore_sigio(void)
{
	struct sigaction now;

	if (!sigaction(SIGIO, NULL, &now) && now.sa_handler == SIG_DFL) {
		now.sa_handler = SIG_IGN;
		sigaction(SIGIO, &now, NULL);
	}
}

/* ---- objects ---- */

/* Nobody waits for its lease, or it has none and needs none. */
static bool is_quiet(const struct vu_object *o)
{
	return o->marked || vu_lease_quiet(o->fd);
}

/*
 * Between moments somebody came to wait. Were it long ago, the kernel has let him in by now
 * (lease-break-time), and he may be gone again: then only the times tell.
 */
static void disturbed(struct vu_moment_env *env, struct vu_object *o)
{
	vu_cooling_now(env, o, -EBADF);
	if (!o->lost && !vu_object_holds(o, env->max_xattr_bytes))
		vu_cooling_slipped(env, o, -EBADF);
}

static void leave_ledger(struct vu_moment_env *env, struct vu_object *o)
{
	vu_ledger_leave(vu_moment_ledger(env), o->entry);
	o->entry = 0;
}

static void let_go(struct vu_moment_env *env, struct vu_object *o)
{
	uint64_t now = vu_moment_now();
	uint32_t flags = 0;

	/* openers on their way since the last moment find the lease, and then the flag */
	if (o->ended_ns && now < o->ended_ns + VU_COOL_DOWN_NS)
		nap_ns(o->ended_ns + VU_COOL_DOWN_NS - now);
	if (!o->lost && !is_quiet(o) && !vu_iattr_get(o->fd, &flags) && (flags & FS_IMMUTABLE_FL))
		disturbed(env, o);
	vu_cooling_end(o);
	leave_ledger(env, o);
}

struct vu_object *vu_object_unref(struct vu_moment_env *env, struct vu_object *o)
{
	if (!o || atomic_fetch_sub(&o->refs, 1) != 1)
		return NULL;
	let_go(env, o);
	close(o->fd);
	/* of one that is parked the lease is kept (link/parking.h) */
	if (o->claimed && !o->parked)
		vu_object_unclaim(o->pool, o->ino);
	pthread_mutex_destroy(&o->lock);
	free(o);
	return NULL;
}

/* ---- moments ---- */

static bool needs_look(const struct vu_object *o)
{
	return !o->lost && !o->given && !o->cooling.hot &&
	       vu_moment_now() >= o->ended_ns + VU_COOL_DOWN_NS && !is_quiet(o);
}

void vu_moment_look(struct vu_moment_env *env, struct vu_object *o)
{
	if (pthread_mutex_trylock(&o->lock))
		return;
	if (needs_look(o))
		disturbed(env, o);
	pthread_mutex_unlock(&o->lock);
}

void vu_moment_look_hot(struct vu_moment_env *env, struct vu_object *o)
{
	if (pthread_mutex_trylock(&o->lock))
		return;
	if (needs_look(o)) {
		o->entry = vu_ledger_enter(vu_moment_ledger(env), VU_LEDGER_MOMENT, o,
					   env->max_xattr_bytes);
		vu_cooling_begin(env, o, -EBADF);
	}
	if (!o->cooling.hot)
		leave_ledger(env, o);
	pthread_mutex_unlock(&o->lock);
}

static void unlock(struct vu_moment_env *env, struct vu_object *o)
{
	bool froze = o->froze;

	/* of a hot object the guardian has to see to as well */
	if (!o->cooling.hot)
		leave_ledger(env, o);
	o->froze = false;
	pthread_mutex_unlock(&o->lock);
	if (froze)
		vu_freezer_leave(vu_moment_freezer(env));
}

/* The freezer before the lock: who waits for the lock must not be waited for by who is frozen. */
static int begin(struct vu_moment_env *env, struct vu_object *o, bool frozen)
{
	int r = vu_moment_begin_inside(env, o);

	if (!r)
		o->froze = frozen;
	else if (frozen)
		vu_freezer_leave(vu_moment_freezer(env));
	return r;
}

int vu_moment_begin(struct vu_moment_env *env, struct vu_object *o)
{
	return begin(env, o, !vu_freezer_enter(vu_moment_freezer(env)));
}

int vu_moment_begin_strict(struct vu_moment_env *env, struct vu_object *o)
{
	int r = vu_freezer_enter(vu_moment_freezer(env));

	return r ? r : begin(env, o, true);
}

int vu_moment_begin_inside(struct vu_moment_env *env, struct vu_object *o)
{
	pthread_mutex_lock(&o->lock);
	bool was_lost = o->lost;
	int r = o->given ? -ENOENT : 0;

	if (!r && !was_lost && (o->cooling.hot ? vu_cooling_is_overdue(o) : !is_quiet(o)))
		disturbed(env, o);
	/* with a writer about, the flag is the last thing that may hold him off */
	if (o->lost && !was_lost)
		r = -ESTALE;
	o->rearmed = false;
	if (!r) {
		if (!o->entry)
			o->entry = vu_ledger_enter(vu_moment_ledger(env), VU_LEDGER_MOMENT, o,
						   env->max_xattr_bytes);
		r = vu_iattr_set_immutable(o->fd, false);
	}
	if (r) {
		unlock(env, o);
		return r;
	}
	count(&env->stats.moments);
	return 0;
}

/* Flag on. Its failure would leave the object open to everybody: so not at the first try. */
static int flag_on(struct vu_moment_env *env, struct vu_object *o)
{
	int r = -EIO;

	for (int i = 0; r && i < FLAG_TRIES; i++) {
		if (i)
			nap_ns(10000000);
		r = vu_guard_or_flag(o->fd);
	}
	if (r)
		vu_moment_tell(env, VU_EVENT_DAMAGE, o, r,
			       "the immutable flag could not be set again: run `vunify recover`");
	return r;
}

static int close_up(struct vu_moment_env *env, struct vu_object *o, int twin, bool may_be_hot)
{
	int r = flag_on(env, o);

	if (!r && !o->lost && !is_quiet(o))
		(may_be_hot ? vu_cooling_begin : vu_cooling_now)(env, o, twin);
	else if (!r && o->parked)
		(void)vu_interrupt_waiters(vu_pool_super_dev(o->pool), o->ino, &o->waited);
	return r;
}

/* Lost, and noted as such: it is evicted as it is. */
static bool is_given_up(const struct vu_object *o)
{
	return o->lost && vu_pool_slip_writes(o->pool);
}

static void tell_put_right(struct vu_moment_env *env, struct vu_object *o, bool done, int err)
{
	if (done) {
		count(&env->stats.put_right);
		vu_moment_tell(
			env, VU_EVENT_WARN, o, 0,
			"a guest changed its mode, owner, times or attributes while a name was "
			"added or taken away: put right");
		return;
	}
	o->lost = true;
	vu_moment_tell(env, VU_EVENT_DAMAGE, o, err,
		       "a guest changed it while a name was added or taken away, and it could "
		       "not be put right");
}

static int put_right(struct vu_moment_env *env, struct vu_object *o, int twin)
{
	int r = 0, holds = vu_object_holds(o, env->max_xattr_bytes), failed = 0;

	if (holds)
		return holds < 0 ? holds : 0;
	/* was it changed by a name, or by somebody who got in? With its lease held anew that can be told */
	if (o->cooling.hot)
		vu_cooling_now(env, o, twin);
	for (int i = 0; !r && !holds && !failed && !o->lost && i < REPAIRS_MAX; i++) {
		if (vu_cooling_was_written(env, o)) {
			vu_cooling_slipped(env, o, twin);
			break;
		}
		r = vu_iattr_set_immutable(o->fd, false);
		if (r)
			break;
		failed = vu_object_restore(o, twin, env->max_xattr_bytes);
		r = close_up(env, o, twin, false);
		holds = vu_object_holds(o, env->max_xattr_bytes);
	}
	if (!r && !is_given_up(o))
		tell_put_right(env, o, holds > 0, failed);
	return r;
}

static int end(struct vu_moment_env *env, struct vu_object *o, int twin, bool may_be_hot)
{
	int r = close_up(env, o, twin, may_be_hot);

	if (!r && !is_given_up(o))
		r = put_right(env, o, twin);
	o->ended_ns = vu_moment_now();
	unlock(env, o);
	return r;
}

int vu_moment_end(struct vu_moment_env *env, struct vu_object *o, int twin)
{
	return end(env, o, twin, false);
}

int vu_moment_end_hot(struct vu_moment_env *env, struct vu_object *o, int twin)
{
	return end(env, o, twin, true);
}

/* found: what a look that began at at_ns saw of it. */
static void cool_one(struct vu_moment_env *env, struct vu_object *o, uint64_t at_ns,
		     uint64_t late_ns, int n, const struct vu_waiters *found)
{
	int twin = vu_cooling_twin(o);

	if (!o->cooling.hot || !vu_cooling_step(env, o, at_ns, late_ns, n, found))
		return;
	/* the flag was on all the time: only who got in can have changed anything */
	if (!o->lost && !vu_object_holds(o, env->max_xattr_bytes))
		vu_cooling_slipped(env, o, twin);
	vu_cooling_end(o);
	leave_ledger(env, o);
}

void vu_moment_cool(struct vu_moment_env *env, struct vu_object *const *v, size_t n,
		    uint64_t late_ns)
{
	struct vu_wanted wanted[VU_HOT_MAX];
	uint64_t at = vu_moment_now();

	n = VU_MIN(n, VU_HOT_MAX);
	for (size_t i = 0; i < n; i++)
		wanted[i] = (struct vu_wanted){.super_dev = vu_pool_super_dev(v[i]->pool),
					       .ino = v[i]->ino};
	int r = vu_interrupt_waiters_each(wanted, n);

	for (size_t i = 0; i < n; i++) {
		if (pthread_mutex_trylock(&v[i]->lock))
			continue; /* in another moment */
		cool_one(env, v[i], at, late_ns,
			 r		   ? r
			 : wanted[i].found ? (int)wanted[i].n
					   : -ENOENT,
			 &wanted[i].seen);
		pthread_mutex_unlock(&v[i]->lock);
	}
}

void vu_moment_end_private(struct vu_moment_env *env, struct vu_object *o)
{
	o->ended_ns = 0;
	o->given = true;
	vu_cooling_end(o);
	vu_guard_release(o->fd);
	vu_lease_drop(o->fd);
	unlock(env, o);
}

int vu_moment_remove_unused(struct vu_moment_env *env, const struct vu_pool *pool,
			    const struct vu_key *key)
{
	struct vu_object as = {.pool = pool, .key = *key, .fd = -EBADF};
	struct vu_ledger *ledger = vu_moment_ledger(env);
	unsigned entry = vu_ledger_enter(ledger, VU_LEDGER_UNUSED, &as, env->max_xattr_bytes);
	int r = vu_pool_object_remove(pool, key);

	vu_ledger_leave(ledger, entry);
	return r;
}

void vu_moment_calm(struct vu_object *o)
{
	vu_cooling_calm(o);
}

int vu_moment_settle(struct vu_moment_env *env, struct vu_object *o)
{
	vu_cooling_now(env, o, -EBADF);
	return 0;
}

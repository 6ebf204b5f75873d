/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/cooling.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/guard.h"
#include "fs/lease.h"
#include "fs/reopen.h"
#include "link/freezer.h"
#include "link/interrupt.h"
#include "link/parking.h"

#define NAP_NS UINT64_C(200000)
#define STUBBORN_LOOKS 8
#define QUIET_LOOKS 2
#define LANDING_MAX_NS UINT64_C(1000000000)
#define LANDING_LATES                                                                              \
	8 /* how many times as long as this process an opener may wait for a processor */

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
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

/* ---- how long ---- */

enum heat {
	COLD,
	HOT,
	STUBBORN, /* somebody waits still, who cannot be interrupted */
};

/* Interrupts who waits. Returns how many; negative when that could not be seen. */
static int look(struct vu_object *o)
{
	struct vu_wanted w = {.super_dev = vu_pool_super_dev(o->pool), .ino = o->ino};
	int r = vu_interrupt_waiters_each(&w, 1);

	vu_waiters_add(&o->waited, &w.seen);
	return r ? r : w.found ? (int)w.n : -ENOENT;
}

/*
 * After a look that began at at_ns and saw n: until for a whole cool-down nobody new came, at most so
 * long. It ends with a look that began when that time was over, not before a nap in it: on a busy machine
 * a nap takes many times as long as it should, and who came to wait meanwhile would be let in.
 *
 * Who is on his way from the permission check to the lease may sleep there, behind a reader of
 * /proc/locks (file_rwsem, Linux 6.18), and then has to get a processor. So where somebody came, others
 * may be on their way for longer than in a quiet moment; and the longer, the longer this thread had to
 * wait for a processor itself.
 *
 * How long somebody resisted counts from the first look, for before it nobody has interrupted him.
 */
static enum heat next(struct vu_cooling *c, uint64_t at_ns, int n, uint64_t most_ns)
{
	if (!c->looked_ns)
		c->looked_ns = at_ns;
	c->found = n != -ENOENT;
	if (n != 0) {
		c->n_seen++;
		c->n_quiet = 0;
		if (at_ns >= c->looked_ns + most_ns && c->n_seen >= STUBBORN_LOOKS)
			return STUBBORN;
		c->came_ns = vu_moment_now();
		return HOT;
	}
	c->n_quiet++;
	uint64_t landing = VU_MIN(LANDING_LATES * c->late_ns, LANDING_MAX_NS);
	uint64_t end = c->came_ns ? c->came_ns + VU_MAX(VU_LANDING_NS, landing) : 0;

	end = VU_MAX(end, c->begun_ns + VU_COOL_DOWN_NS);
	return at_ns >= end && c->n_quiet >= QUIET_LOOKS ? COLD : HOT;
}

/* A moment has ended. came_ns: when somebody came, into it or into one before; 0: nobody did. */
static void start(struct vu_cooling *c, uint64_t came_ns)
{
	c->begun_ns = vu_moment_now();
	c->came_ns = came_ns;
	c->looked_ns = 0;
	c->n_seen = c->n_quiet = 0;
}

static enum heat cool_down(struct vu_object *o, struct vu_cooling *c, uint64_t most_ns)
{
	for (;;) {
		uint64_t at = vu_moment_now();
		enum heat heat = next(c, at, look(o), most_ns);

		if (heat != HOT)
			return heat;
		uint64_t asleep = vu_moment_now();

		nap_ns(NAP_NS);
		c->late_ns = VU_MAX(c->late_ns, vu_moment_now() - asleep);
	}
}

void vu_cooling_calm(struct vu_object *o)
{
	struct vu_cooling c = {0};

	start(&c, 0);
	cool_down(o, &c, VU_GRACE_NS);
}

/* ---- who got in ---- */

/* On ext4: whoever has it open cannot write. Is he gone soon? */
static void wait_for_end(struct vu_moment_env *env, struct vu_object *o)
{
	uint64_t until = vu_moment_now() + VU_SLIP_NS;

	vu_moment_tell(env, VU_EVENT_WARN, o, 0,
		       "somebody got this object open for writing; the file system refuses "
		       "what is written");
	while (vu_moment_now() < until) {
		nap_ns(2000000);
		if (!vu_lease_take(o->fd))
			return;
	}
	o->lost = true;
}

void vu_cooling_slipped(struct vu_moment_env *env, struct vu_object *o, int twin)
{
	count(&env->stats.slips);
	if (!vu_pool_slip_writes(o->pool)) {
		wait_for_end(env, o);
		return;
	}
	o->lost = true;
	int r = vu_slip_note(env->watch, o, twin, env->max_xattr_bytes);

	if (r)
		vu_moment_tell(env, VU_EVENT_DAMAGE, o, r,
			       "somebody got this object open for writing, and may change it for "
			       "all its guests; it could not be noted for eviction");
}

bool vu_cooling_was_written(struct vu_moment_env *env, struct vu_object *o)
{
	struct vu_stat st;
	bool changed = o->rearmed && vu_pool_slip_writes(o->pool) &&
		       (vu_stat_fd(o->fd, &st) || st.version.size != o->size ||
			st.version.mtime_ns != o->mtime_ns);

	o->rearmed = false;
	return changed && !vu_slip_intact(env->watch, o, env->max_xattr_bytes);
}

/* ---- the end of it ---- */

static bool may_park(const struct vu_moment_env *env, const struct vu_object *o)
{
	return vu_pool_slip_writes(o->pool) && env->watch && env->watch->parking;
}

/* Who cannot be interrupted waits for eviction, which is to be soon. */
static uint64_t most_ns(const struct vu_moment_env *env, const struct vu_object *o)
{
	return may_park(env, o) ? 10 * VU_GRACE_NS : VU_SLIP_NS;
}

/* Nobody gets in before the object has been evicted. False: that cannot be had. */
static bool park(struct vu_moment_env *env, struct vu_object *o, int twin)
{
	if (!vu_parking_put(env->watch->parking, o))
		return false;
	o->parked = true;
	if (vu_slip_note(env->watch, o, twin, env->max_xattr_bytes)) {
		int fd = vu_parking_take(env->watch->parking, o->pool, o->ino);

		vu_close_p(&fd);
		o->parked = false;
		return false;
	}
	count(&env->stats.parked);
	o->lost = true;
	return true;
}

/* A lease that is being broken is given back, and taken anew. */
static void renew(struct vu_moment_env *env, struct vu_object *o, int twin)
{
	vu_lease_drop(o->fd);
	o->rearmed = true;
	if (vu_lease_take(o->fd))
		vu_cooling_slipped(env, o, twin);
}

/* keep: somebody waits who cannot be interrupted. */
static void finish(struct vu_moment_env *env, struct vu_object *o, bool keep, int twin)
{
	if (!keep || !may_park(env, o) || !park(env, o, twin))
		renew(env, o, twin);
}

/*
 * Under the guard (fs/guard.h) nobody gets in, so whoever waits may go on: truncate(2) breaks the lease before it is
 * refused. And open() counts as a writer for the instant until it is: so a lease that is refused says nothing.
 */
static bool is_guarded(struct vu_object *o)
{
	if (!vu_guard_holds(o->fd))
		return false;
	vu_lease_drop(o->fd);
	(void)vu_guard_lease(o->fd);
	return true;
}

/* Who is frozen was taken out of open(), and starts anew when the flag is on. */
static bool are_all_frozen(struct vu_moment_env *env, struct vu_object *o)
{
	return vu_freezer_holds(vu_moment_freezer(env)) && !look(o);
}

void vu_cooling_now(struct vu_moment_env *env, struct vu_object *o, int twin)
{
	struct vu_cooling c = {0};

	if (is_guarded(o)) {
		vu_cooling_end(o);
		return;
	}
	if (o->cooling.hot) {
		twin = twin < 0 ? o->cooling.twin : twin;
		c.late_ns = o->cooling.late_ns;
	} else {
		count(&env->stats.interrupted);
		o->waited.n = 0;
	}
	/* the lease is being broken, so somebody came, even if he is not seen to wait */
	start(&c, vu_moment_now());
	bool stubborn = !are_all_frozen(env, o) && cool_down(o, &c, most_ns(env, o)) == STUBBORN;

	/* one that was not found any more has been taken away by the kernel: it cannot be kept */
	finish(env, o, stubborn && c.found, twin);
	vu_cooling_end(o);
}

void vu_cooling_begin(struct vu_moment_env *env, struct vu_object *o, int twin)
{
	struct vu_cooling *c = &o->cooling;

	if (!c->hot && is_guarded(o))
		return;
	if (!c->hot && vu_freezer_holds(vu_moment_freezer(env))) {
		vu_cooling_now(env, o, twin);
		return;
	}
	if (!c->hot) {
		count(&env->stats.interrupted);
		o->waited.n = 0;
		c->twin = -EBADF;
		c->first_ns = vu_moment_now();
		c->late_ns = 0;
		c->hot = true;
	}
	start(c, vu_moment_now());
	/* not a duplicate: that would keep the twin's lease when it is given back */
	if (c->twin < 0 && twin >= 0)
		c->twin = vu_reopen(twin, O_RDONLY);
}

bool vu_cooling_step(struct vu_moment_env *env, struct vu_object *o, uint64_t at_ns,
		     uint64_t late_ns, int n, const struct vu_waiters *found)
{
	struct vu_cooling *c = &o->cooling;

	vu_waiters_add(&o->waited, found);
	c->late_ns = VU_MAX(c->late_ns, late_ns);
	enum heat heat = next(c, at_ns, n, most_ns(env, o));

	if (heat == HOT)
		return false;
	finish(env, o, heat == STUBBORN && c->found, c->twin);
	return true;
}

int vu_cooling_twin(const struct vu_object *o)
{
	return o->cooling.hot ? o->cooling.twin : -EBADF;
}

void vu_cooling_end(struct vu_object *o)
{
	if (!o->cooling.hot)
		return;
	vu_close_p(&o->cooling.twin);
	o->cooling.hot = false;
}

bool vu_cooling_is_overdue(const struct vu_object *o)
{
	uint64_t most = VU_MIN(VU_SLIP_NS, vu_lease_break_ns() / 4);

	return o->cooling.hot && vu_moment_now() > o->cooling.first_ns + most;
}

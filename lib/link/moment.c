/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
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
 *     cool-down, for those who were between the permission check and the lease. A lease that is being
 *     broken cannot be renewed in place: it is given back and taken anew. If it is refused now, a
 *     writer slipped in: that is told (damage on XFS and btrfs), and waited for.
 *  6. chmod, chown, utimes and setxattr by another name do not ask for leases. What they changed in
 *     step 3 is seen by comparing, and put right in another moment. (To the caller of chmod it
 *     succeeded: that is the documented limit of this way.)
 *
 * A lease in step 5 is never left in the state of being broken: after lease-break-time (45 s) the
 * kernel would take it away.
 *
 * Killed between 2 and 4: the flag is off, the lease is gone, and guests can write. Recovery finds
 * objects without a flag and compares them with their key (link/recover.c). Power lost: the same, or
 * the flag never was off.
 */
#include "link/moment.h"

#include <errno.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "fs/xattr.h"
#include "link/interrupt.h"

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
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
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

/* ---- the lease ---- */

/* Interrupts whoever waits, until for a whole cool-down nobody new came, at most VU_SLIP_NS. */
static void cool_down(const struct vu_object *o)
{
	uint64_t begun = vu_moment_now(), end = begun + VU_COOL_DOWN_NS, now;

	do {
		int n = vu_interrupt_waiters(o->ino);

		nap_ns(200000);
		now = vu_moment_now();
		if (n > 0)
			end = now + VU_COOL_DOWN_NS;
	} while (now < end && now < begun + VU_SLIP_NS);
}

static void tell_slip(struct vu_moment_env *env, struct vu_object *o)
{
	if (vu_pool_slip_writes(o->pool))
		vu_moment_tell(
			env, VU_EVENT_DAMAGE, o, 0,
			"somebody got this object open for writing, and may change it for all "
			"its guests: run `vunify verify` and recover");
	else
		vu_moment_tell(env, VU_EVENT_WARN, o, 0,
			       "somebody got this object open for writing; the file system refuses "
			       "what is written");
}

/* The lease is being broken and the flag is on: nobody may be let in. Afterwards it is held anew. */
static void rearm(struct vu_moment_env *env, struct vu_object *o)
{
	uint64_t until = vu_moment_now() + VU_SLIP_NS;

	count(&env->stats.interrupted);
	cool_down(o);
	vu_lease_drop(o->fd);
	if (!vu_lease_take(o->fd))
		return;
	count(&env->stats.slips);
	tell_slip(env, o);
	while (vu_moment_now() < until) {
		nap_ns(2000000);
		if (!vu_lease_take(o->fd))
			return;
	}
	o->lost = true;
}

/*
 * Between moments somebody came to wait. Were it long ago, the kernel has let him in by now
 * (lease-break-time), and he may be gone again: then only the times tell.
 */
static void disturbed(struct vu_moment_env *env, struct vu_object *o)
{
	rearm(env, o);
	if (o->lost || vu_object_holds(env, o))
		return;
	o->lost = true;
	vu_moment_tell(env, VU_EVENT_DAMAGE, o, 0,
		       "somebody got this object open for writing, and changed it: run `vunify "
		       "verify` and recover");
}

/* ---- objects ---- */

int vu_object_new_consume(const struct vu_pool *pool, const struct vu_key *key, int fd,
			  const struct vu_stat *st, const struct vu_attr *attr,
			  struct vu_object **ret)
{
	struct vu_object *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->pool = pool;
	o->key = *key;
	o->fd = fd;
	o->ino = st->version.ino;
	o->size = st->version.size;
	o->mtime_ns = st->version.mtime_ns;
	o->attr = *attr;
	o->refs = 1;
	pthread_mutex_init(&o->lock, NULL);
	*ret = o;
	return 0;
}

struct vu_object *vu_object_ref(struct vu_object *o)
{
	atomic_fetch_add(&o->refs, 1);
	return o;
}

static void let_go(struct vu_moment_env *env, struct vu_object *o)
{
	uint64_t now = vu_moment_now();
	uint32_t flags = 0;

	/* openers on their way since the last moment find the lease, and then the flag */
	if (o->ended_ns && now < o->ended_ns + VU_COOL_DOWN_NS)
		nap_ns(o->ended_ns + VU_COOL_DOWN_NS - now);
	if (!vu_iattr_get(o->fd, &flags) && (flags & FS_IMMUTABLE_FL) && !o->lost &&
	    !vu_lease_quiet(o->fd))
		disturbed(env, o);
}

struct vu_object *vu_object_unref(struct vu_moment_env *env, struct vu_object *o)
{
	if (!o || atomic_fetch_sub(&o->refs, 1) != 1)
		return NULL;
	let_go(env, o);
	close(o->fd);
	pthread_mutex_destroy(&o->lock);
	free(o);
	return NULL;
}

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

static bool attr_equal(const struct vu_attr *a, const struct vu_attr *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->flags == b->flags &&
	       a->has_xattrs == b->has_xattrs && !memcmp(&a->xattrs, &b->xattrs, sizeof(a->xattrs));
}

/* A hash is only needed where there are xattrs: few files have any. */
static int complete(const struct vu_moment_env *env, int fd, struct vu_attr *attr)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *hash = NULL;

	if (flistxattr(fd, NULL, 0) > 0) {
		hash = vu_hash_new();
		if (!hash)
			return -ENOMEM;
	}
	int r = vu_xattr_complete(fd, hash, env->max_xattr_bytes, attr);

	return r > 0 ? -E2BIG : r;
}

int vu_object_holds(const struct vu_moment_env *env, const struct vu_object *o)
{
	struct vu_stat st;
	int r = vu_stat_fd(o->fd, &st);

	if (r)
		return r;
	struct vu_attr attr = vu_stat_attr(&st);

	if (st.version.size != o->size || st.version.mtime_ns != o->mtime_ns ||
	    attr.mode != o->attr.mode || attr.uid != o->attr.uid || attr.gid != o->attr.gid)
		return 0;
	r = complete(env, o->fd, &attr);
	if (r)
		return r == -E2BIG ? 0 : r;
	return attr_equal(&attr, &o->attr);
}

/* ---- metadata ---- */

static int drop_xattr(void *arg, const char *name, const void *value, size_t len)
{
	(void)value;
	(void)len;
	return fremovexattr(*(int *)arg, name) && errno != ENODATA ? -errno : 0;
}

static struct timespec time_of(uint64_t ns)
{
	int64_t v = (int64_t)ns, s = v / 1000000000, rest = v % 1000000000;

	if (rest < 0) {
		rest += 1000000000;
		s--;
	}
	return (struct timespec){.tv_sec = s, .tv_nsec = rest};
}

static int restore_xattrs(const struct vu_moment_env *env, struct vu_object *o, int twin)
{
	struct vu_attr now = {0};
	int r = complete(env, o->fd, &now);

	if (r && r != -E2BIG)
		return r;
	if (!r && now.has_xattrs == o->attr.has_xattrs &&
	    !memcmp(&now.xattrs, &o->attr.xattrs, sizeof(now.xattrs)))
		return 0;
	if (o->attr.has_xattrs && twin < 0)
		return -ENODATA;
	r = vu_xattr_each(o->fd, SIZE_MAX, drop_xattr, &o->fd);
	if (!r && o->attr.has_xattrs)
		r = vu_xattr_copy(twin, o->fd, env->max_xattr_bytes);
	return r > 0 ? -E2BIG : r;
}

static int restore_flags(struct vu_object *o)
{
	uint32_t now = 0;
	int r = vu_iattr_get(o->fd, &now);

	if (r || vu_iattr_key_flags(now) == o->attr.flags)
		return r == -ENOTTY || r == -EOPNOTSUPP ? 0 : r;
	int flags = (int)((now & ~vu_iattr_key_flags(now)) | o->attr.flags);

	return ioctl(o->fd, FS_IOC_SETFLAGS, &flags) ? -errno : 0;
}

/* With the flag off: makes the metadata what the key says. The size cannot be made good. */
static int restore(const struct vu_moment_env *env, struct vu_object *o, int twin)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, time_of(o->mtime_ns)};
	struct vu_stat st;
	int r = vu_stat_fd(o->fd, &st);

	if (r)
		return r;
	if (st.version.size != o->size)
		return -EUCLEAN;
	if ((st.uid != o->attr.uid || st.gid != o->attr.gid) &&
	    fchown(o->fd, o->attr.uid, o->attr.gid))
		return -errno;
	/* also after xattrs: an ACL carries mode bits */
	r = restore_xattrs(env, o, twin);
	if (!r && fchmod(o->fd, o->attr.mode & 07777))
		r = -errno;
	if (!r)
		r = restore_flags(o);
	if (!r && st.version.mtime_ns != o->mtime_ns && futimens(o->fd, times))
		r = -errno;
	return r;
}

/* ---- moments ---- */

void vu_moment_look(struct vu_moment_env *env, struct vu_object *o)
{
	if (pthread_mutex_trylock(&o->lock))
		return;
	if (!o->lost && vu_moment_now() >= o->ended_ns + VU_COOL_DOWN_NS && !vu_lease_quiet(o->fd))
		disturbed(env, o);
	pthread_mutex_unlock(&o->lock);
}

int vu_moment_begin(struct vu_moment_env *env, struct vu_object *o)
{
	pthread_mutex_lock(&o->lock);
	bool was_lost = o->lost;
	int r = 0;

	if (!was_lost && !vu_lease_quiet(o->fd))
		disturbed(env, o);
	/* with a writer about, the flag is the last thing that may hold him off */
	if (o->lost && !was_lost)
		r = -ESTALE;
	if (!r)
		r = vu_iattr_set_immutable(o->fd, false);
	if (r) {
		pthread_mutex_unlock(&o->lock);
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
		r = vu_iattr_set_immutable(o->fd, true);
	}
	if (r)
		vu_moment_tell(env, VU_EVENT_DAMAGE, o, r,
			       "the immutable flag could not be set again: run `vunify recover`");
	return r;
}

static int close_up(struct vu_moment_env *env, struct vu_object *o)
{
	int r = flag_on(env, o);

	if (!r && !o->lost && !vu_lease_quiet(o->fd))
		rearm(env, o);
	return r;
}

static int put_right(struct vu_moment_env *env, struct vu_object *o, int twin)
{
	int r = 0, holds = vu_object_holds(env, o), failed = 0;

	if (holds)
		return holds < 0 ? holds : 0;
	for (int i = 0; !r && !holds && !failed && !o->lost && i < REPAIRS_MAX; i++) {
		r = vu_iattr_set_immutable(o->fd, false);
		if (r)
			break;
		failed = restore(env, o, twin);
		r = close_up(env, o);
		holds = vu_object_holds(env, o);
	}
	if (r)
		return r;
	if (holds > 0) {
		count(&env->stats.put_right);
		vu_moment_tell(
			env, VU_EVENT_WARN, o, 0,
			"a guest changed its mode, owner, times or attributes while a name was "
			"added or taken away: put right");
	} else {
		o->lost = true;
		vu_moment_tell(
			env, VU_EVENT_DAMAGE, o, failed,
			"a guest changed it while a name was added or taken away, and it could "
			"not be put right");
	}
	return 0;
}

int vu_moment_end(struct vu_moment_env *env, struct vu_object *o, int twin)
{
	int r = close_up(env, o);

	if (!r)
		r = put_right(env, o, twin);
	o->ended_ns = vu_moment_now();
	pthread_mutex_unlock(&o->lock);
	return r;
}

void vu_moment_end_private(struct vu_object *o)
{
	o->ended_ns = 0;
	pthread_mutex_unlock(&o->lock);
}

int vu_moment_settle(struct vu_moment_env *env, struct vu_object *o)
{
	rearm(env, o);
	return 0;
}

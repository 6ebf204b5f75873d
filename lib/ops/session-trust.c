/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of a session that refuses guests which could undo, or get around, what keeps the others
 * apart: by lifting the immutable flag, or by way of a pool or of the catalog.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "guest/procs.h"
#include "guest/reach.h"
#include "ops/session.h"

#define CLIMB_MAX 4096 /* directories; PATH_MAX has not more */

/*
 * A launcher that enters a guest is for a moment in its root with all that it brought along: after
 * pivot_root(2) the host's mounts are there until it unmounts them, and capabilities are dropped after that.
 * So what counts is what is still there after these pauses.
 */
static const long pauses_ms[] = {10, 50, 250};

/* A directory that no guest must reach. */
struct own {
	char *path; /* owned; as the host names it */
	int fd;	    /* owned */
};

struct trust {
	struct vu_session *s;
	struct own *own;	       /* owned */
	struct vu_reach_place *places; /* owned; one for each of own */
	size_t n_own;
	struct vu_procs_root *roots; /* owned; one for each guest, as the others */
	struct vu_procs_found *procs;
	struct vu_reach_found *reach;
};

static void trust_done(struct trust *t)
{
	for (size_t i = 0; i < t->n_own; i++) {
		free(t->own[i].path);
		vu_close_p(&t->own[i].fd);
		vu_reach_place_done(&t->places[i]);
	}
	free(t->own);
	free(t->places);
	free(t->roots);
	free(t->procs);
	free(t->reach);
}

VU_DEFINE_CLEANUP_DONE(struct trust, trust_done)

static bool domain_trusted(const struct vu_config *c, const char *domain)
{
	for (char **d = c->trust_domains; d && *d; d++)
		if (!strcmp(*d, domain))
			return true;
	return false;
}

/* One who is root on the host needs no hole. */
static bool is_judged(const struct vu_session *s, size_t guest)
{
	const struct vu_guest *g = &s->guests.v[guest];

	return strcmp(g->path, "/") != 0 && !g->trust && !domain_trusted(s->ops->config, g->domain);
}

/* ---- what is ours ---- */

static int append(char **path, const char *name)
{
	char *longer = NULL;

	if (asprintf(&longer, "%s%s%s", *path, strcmp(*path, "/") != 0 ? "/" : "", name) < 0)
		return -ENOMEM;
	free(*path);
	*path = longer;
	return 0;
}

/* Takes dir, or what is or will be called name in it. */
static int add_own(struct trust *t, const char *dir, const char *name)
{
	struct own *o = &t->own[t->n_own];
	struct vu_reach_place *p = &t->places[t->n_own];

	*o = (struct own){.path = realpath(dir, NULL)};
	if (!o->path)
		return -errno;
	o->fd = open(o->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	t->n_own++;
	int r = o->fd < 0 ? -errno : vu_reach_place_of(o->fd, p);

	if (!r && name)
		r = append(&o->path, name);
	return !r && name ? append(&p->path, name) : r;
}

static int add_catalog(struct trust *t)
{
	_cleanup_free_ char *dir = realpath(t->s->ops->config->catalog, NULL);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return -errno;
	if (slash == dir)
		slash++;
	*slash = 0;
	return add_own(t, dir, NULL);
}

static int find_own(struct trust *t)
{
	size_t n = t->s->n_fs + 1;

	t->own = calloc(n, sizeof(*t->own));
	t->places = calloc(n, sizeof(*t->places));
	if (!t->own || !t->places)
		return -ENOMEM;
	int r = add_catalog(t);

	for (size_t i = 0; !r && i < t->s->n_fs; i++)
		r = add_own(t, t->s->fs[i].mount.point, ".vunify");
	return r;
}

/* ---- guests ---- */

static int refuse(const struct trust *t, size_t guest, const char *why, const char *todo)
{
	return vu_fail(t->s->ops, VU_OPS_REFUSED, "refused for the guest",
		       t->s->guests.v[guest].name, why, todo);
}

/* Does one of our directories lie in a guest's root? Then it is the guest's, processes or not. */
static int check_inside(const struct trust *t, const struct own *o)
{
	_cleanup_free_ char *why = NULL;
	_cleanup_fd_ int at = openat(o->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; at >= 0 && i < CLIMB_MAX; i++) {
		struct stat st, above;

		if (fstat(at, &st))
			return -errno;
		for (size_t g = 0; g < t->s->guests.n; g++) {
			if (t->roots[g].dev != st.st_dev || t->roots[g].ino != st.st_ino ||
			    !is_judged(t->s, g))
				continue;
			if (asprintf(&why, "%s lies in its root", o->path) < 0)
				return -ENOMEM;
			return refuse(t, g, why,
				      "keep the catalog and the pool where no guest reaches them "
				      "(--catalog, `catalog =` in vunify.conf)");
		}
		int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (up < 0)
			return -errno;
		close(at);
		at = up;
		if (!fstat(at, &above) && above.st_dev == st.st_dev && above.st_ino == st.st_ino)
			return 0;
	}
	return at < 0 ? -errno : -ELOOP;
}

static int check_capability(const struct trust *t, size_t guest)
{
	const struct vu_procs_found *f = &t->procs[guest];
	_cleanup_free_ char *why = NULL;

	if (!f->capable_pid)
		return 0;
	if (asprintf(&why,
		     "process %d (%s) in it could lift the immutable flag from files of other "
		     "guests: it holds CAP_LINUX_IMMUTABLE in the host's user namespace",
		     (int)f->capable_pid, f->capable_name) < 0)
		return -ENOMEM;
	return refuse(t, guest, why,
		      "drop the capability from the guest (lxc.cap.drop = linux_immutable, "
		      "systemd-nspawn --drop-capability=CAP_LINUX_IMMUTABLE), stop the guest, or "
		      "say --trust-guests if one admin owns all of them");
}

static int check_reach(const struct trust *t, size_t guest)
{
	static const char *const todo[] = {
		[VU_REACH_SHOWN] =
			"do not mount it, or what it lies in, into the guest; run the guest in a user "
			"namespace that does not map the host's root; or say --trust-guests if one "
			"admin owns all of them",
		[VU_REACH_BEYOND] =
			"drop CAP_SYS_CHROOT from the guest too, or give it a mount namespace of its "
			"own with its root as top (as container runtimes do); or say --trust-guests "
			"if one admin owns all of them",
		[VU_REACH_UNKNOWN] = "stop the guest, or say --trust-guests if one admin owns all "
				     "of them",
	};
	const struct vu_reach_found *f = &t->reach[guest];
	const char *path = t->own[f->place].path;
	_cleanup_free_ char *why = NULL;
	int n = 0;

	switch (f->how) {
	case VU_REACH_NOT:
		return 0;
	case VU_REACH_SHOWN:
		n = asprintf(&why, "process %d (%s) in it could reach %s: a mount shows it there",
			     (int)f->pid, f->name, path);
		break;
	case VU_REACH_BEYOND:
		n = asprintf(
			&why,
			"process %d (%s) in it could reach %s: it may leave its root directory "
			"(CAP_SYS_CHROOT), and a mount outside of that shows it",
			(int)f->pid, f->name, path);
		break;
	case VU_REACH_UNKNOWN:
		n = asprintf(
			&why,
			"whether process %d (%s) in it could reach the pool cannot be told: its "
			"mounts cannot be read, or are too many",
			(int)f->pid, f->name);
		break;
	}
	return n < 0 ? -ENOMEM : refuse(t, guest, why, todo[f->how]);
}

/* Is anything against a guest that is judged? */
static bool has_suspects(const struct trust *t)
{
	for (size_t i = 0; i < t->s->guests.n; i++)
		if ((t->procs[i].capable_pid || t->reach[i].how) && is_judged(t->s, i))
			return true;
	return false;
}

static int look_once(struct trust *t)
{
	size_t n = t->s->guests.n;
	int r = vu_procs_scan(t->roots, n, t->procs);

	return r ? r : vu_reach_scan(t->roots, n, t->places, t->n_own, t->reach);
}

static int look(struct trust *t)
{
	const struct vu_guests *g = &t->s->guests;

	t->roots = calloc(g->n + 1, sizeof(*t->roots));
	t->procs = calloc(g->n + 1, sizeof(*t->procs));
	t->reach = calloc(g->n + 1, sizeof(*t->reach));
	if (!t->roots || !t->procs || !t->reach)
		return -ENOMEM;
	for (size_t i = 0; i < g->n; i++)
		t->roots[i] = (struct vu_procs_root){.dev = g->v[i].dev, .ino = g->v[i].ino};
	int r = look_once(t);

	for (size_t i = 0; !r && i < VU_ARRAY_SIZE(pauses_ms) && has_suspects(t); i++) {
		nanosleep(&(struct timespec){.tv_nsec = pauses_ms[i] * 1000000}, NULL);
		r = look_once(t);
	}
	if (r)
		return vu_fail(t->s->ops, r, "cannot look at the processes of the guests", "/proc",
			       NULL, NULL);
	return 0;
}

int vu_session_check_trust(struct vu_session *s, bool trust_guests)
{
	vu_cleanup(trust_done_p) struct trust t = {.s = s};

	if (trust_guests)
		return 0;
	int r = find_own(&t);

	if (r)
		return vu_fail(s->ops, r, "cannot tell where the catalog and the pools are",
			       s->ops->config->catalog, NULL, NULL);
	r = look(&t);
	for (size_t i = 0; !r && i < t.n_own; i++)
		r = check_inside(&t, &t.own[i]);
	for (size_t i = 0; !r && i < s->guests.n; i++) {
		if (is_judged(s, i))
			r = check_capability(&t, i);
		if (!r && is_judged(s, i))
			r = check_reach(&t, i);
	}
	return r;
}

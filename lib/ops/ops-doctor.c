/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/filter.h"
#include "fs/guard.h"
#include "guest/freezable.h"
#include "link/probe.h"
#include "link/recover.h"
#include "lsm/lsm.h"
#include "ops/cow-mark.h"
#include "ops/damage.h"
#include "ops/session.h"

VU_DEFINE_CLEANUP_DONE(struct vu_session, vu_session_close)
VU_DEFINE_CLEANUP_DONE(struct vu_damage, vu_damage_done)
VU_DEFINE_CLEANUP_DONE(struct vu_freezable, vu_freezable_done)

struct doctor {
	struct vu_ops *ops;
	struct vu_findings *f;
	struct vu_session session;
	bool no_memory;
};

/* todo may be NULL. */
__attribute__((format(printf, 6, 7))) static void find(struct doctor *d,
						       enum vu_finding_level level,
						       const char *check, const char *on,
						       const char *todo, const char *format, ...)
{
	struct vu_finding f = {.level = level, .check = check};
	struct vu_finding *v = reallocarray(d->f->v, d->f->n + 1, sizeof(*v));
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&f.says, format, ap) < 0)
		f.says = NULL;
	va_end(ap);
	f.on = on ? strdup(on) : NULL;
	f.todo = todo ? strdup(todo) : NULL;
	if (v)
		d->f->v = v;
	if (!v || !f.says || (on && !f.on) || (todo && !f.todo)) {
		free(f.says);
		free(f.on);
		free(f.todo);
		d->no_memory = true;
		return;
	}
	d->f->v[d->f->n++] = f;
	d->f->n_warn += level == VU_FINDING_WARN;
	d->f->n_fail += level == VU_FINDING_FAIL;
}

/* What an operation that was tried says of why it could not go on. */
static void find_problem(struct doctor *d, enum vu_finding_level level, const char *check,
			 const char *on, int r)
{
	struct vu_problem *p = d->ops->problem;

	find(d, level, check, on, p->todo, "%s",
	     p->why    ? p->why
	     : p->what ? p->what
		       : strerror(r < 0 ? -r : EINVAL));
	vu_problem_done(p);
}

/* ---- the host ---- */

static void check_kernel(struct doctor *d)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		find(d, VU_FINDING_WARN, "kernel", NULL, NULL, "its version cannot be told");
	else if (major < 5 || (major == 5 && minor < 6))
		find(d, VU_FINDING_FAIL, "kernel", NULL, "use Linux 5.6 or later",
		     "Linux %s has no openat2 with RESOLVE_BENEATH", u.release);
	else
		find(d, VU_FINDING_OK, "kernel", NULL, NULL, "Linux %s", u.release);
}

static void check_capabilities(struct doctor *d)
{
	_cleanup_free_ char *why = NULL;

	if (vu_probe_capable(&why))
		find(d, VU_FINDING_FAIL, "capabilities", NULL,
		     "run it as root, and not in a container", "%s",
		     why ? why : "some are missing");
	else
		find(d, VU_FINDING_OK, "capabilities", NULL, NULL,
		     "immutable flags and leases may be set");
}

static void check_seccomp(struct doctor *d)
{
	struct vu_filter *filter = NULL;
	int r = vu_filter_new(0, VU_FILTER_DESCRIPTORS, &filter);

	if (r)
		find(d, VU_FINDING_WARN, "seccomp", NULL,
		     "use Linux 5.19 or later, on x86_64 or aarch64",
		     "no notifications, so no `vunify run` and no cowd: %s", strerror(-r));
	else
		find(d, VU_FINDING_OK, "seccomp", NULL, NULL,
		     "notifications are there: guests can have copy-on-write");
	vu_filter_free(filter);
}

/* Nothing that is missed where it cannot be had: it is one of three ways. */
static void check_guard(struct doctor *d)
{
	_cleanup_free_ char *why = NULL;
	int r = vu_guard_is_there() ? 0 : vu_lsm_probe(&why);

	if (r)
		find(d, VU_FINDING_OK, "guard", NULL, NULL, "cannot be had here: %s",
		     why ? why : strerror(r < 0 ? -r : EINVAL));
	else
		find(d, VU_FINDING_OK, "guard", NULL, NULL, "%s",
		     vu_guard_is_there() ? "is in force (vunify cowd --lsm)"
					 : "can be had (vunify cowd --lsm)");
}

static void check_freezer(struct doctor *d)
{
	vu_cleanup(vu_freezable_done_p) struct vu_freezable f = {0};
	const struct vu_session *s = &d->session;
	_cleanup_free_ struct vu_procs_root *roots = calloc(s->guests.n + 1, sizeof(*roots));

	if (!roots) {
		d->no_memory = true;
		return;
	}
	for (size_t i = 0; i < s->guests.n; i++)
		roots[i] = (struct vu_procs_root){s->guests.v[i].dev, s->guests.v[i].ino};
	int r = vu_freezable_look(roots, s->guests.n, &f);

	if (r)
		find(d, VU_FINDING_WARN, "freezer", NULL, NULL,
		     "nobody can be frozen, so leases have to do: %s", strerror(-r));
	else if (f.all)
		find(d, VU_FINDING_OK, "freezer", NULL, NULL, "%zu guests run%s", f.n_running,
		     f.n_running ? ", and can be frozen" : "");
	else
		find(d, VU_FINDING_WARN, "freezer", s->guests.v[f.root].name,
		     "run each guest in a cgroup (v2) of its own",
		     "process %d cannot be frozen, so a lease has to do: %s", (int)f.pid, f.why);
}

/* ---- a file system ---- */

static void check_mount(struct doctor *d, const struct vu_session_fs *fs, int root_fd)
{
	const char *on = fs->mount.point;
	struct statvfs st;

	if (!vu_mount_can_link(&fs->mount)) {
		find(d, VU_FINDING_FAIL, "mount", on, "unify guests on ext4, XFS or Btrfs",
		     "%s holds no immutable files that can be shared", fs->mount.type);
		return;
	}
	if (fstatvfs(root_fd, &st))
		find(d, VU_FINDING_FAIL, "mount", on, NULL, "%s", strerror(errno));
	else if (st.f_flag & ST_RDONLY)
		find(d, VU_FINDING_FAIL, "mount", on, "mount it rw", "it is mounted read-only");
	else if (!(st.f_flag & ST_NOATIME))
		find(d, VU_FINDING_WARN, "mount", on, "mount it with noatime",
		     "guests see by a shared file's atime that others read it, and reading writes");
	else
		find(d, VU_FINDING_OK, "mount", on, NULL, "%s, rw, noatime", fs->mount.type);
	if (!fstatvfs(root_fd, &st) && (!st.f_bavail || (st.f_files && !st.f_favail)))
		find(d, VU_FINDING_WARN, "space", on, "free some",
		     "no %s are left: private copies cannot be made",
		     st.f_bavail ? "inodes" : "blocks");
}

/* Can the file system do what linking needs? Where a run has the pool, that has tried it. */
static void check_pool(struct doctor *d, const struct vu_session_fs *fs, int root_fd)
{
	const char *on = fs->mount.point;
	_cleanup_free_ char *why = NULL;
	struct vu_pool *pool = NULL;

	if (!fs->pool) {
		find(d, VU_FINDING_OK, "pool", on, NULL, "there is none yet");
		return;
	}
	int r = vu_pool_open(root_fd, VU_POOL_CREATE, &pool, &why);

	vu_pool_close(pool);
	if (!r)
		find(d, VU_FINDING_OK, "pool", on, NULL, "flags, leases and exchanges work");
	else if (r == VU_POOL_BUSY)
		find(d, VU_FINDING_OK, "pool", on, NULL, "a run is at work");
	else
		find(d, VU_FINDING_FAIL, "pool", on, NULL, "%s",
		     why ? why : strerror(r < 0 ? -r : EINVAL));
}

static bool has_rescued(const struct vu_pool *pool)
{
	_cleanup_fd_ int part = vu_pool_part_open(pool, "rescued", false);
	int fd = part < 0 ? -1 : openat(part, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	bool has = false;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && (e = readdir(dir)))
		has = has || e->d_name[0] != '.';
	return has;
}

static void check_left(struct doctor *d, const struct vu_session_fs *fs)
{
	const char *on = fs->mount.point;

	if (!fs->pool)
		return;
	int r = vu_recover_is_needed(fs->pool);

	if (r < 0)
		find(d, VU_FINDING_FAIL, "leftovers", on, NULL, "the pool cannot be read: %s",
		     strerror(-r));
	else if (r)
		find(d, VU_FINDING_WARN, "leftovers", on, "run `vunify recover`",
		     "a run was cut short, or works just now");
	else
		find(d, VU_FINDING_OK, "leftovers", on, NULL, "none");
	if (has_rescued(fs->pool))
		find(d, VU_FINDING_WARN, "rescued", on, "see whose it is, put it back or remove it",
		     "%s/.vunify/rescued holds what belonged nowhere", on);
}

static void check_objects(struct doctor *d)
{
	vu_cleanup(vu_damage_done_p) struct vu_damage damage = {0};
	int r = vu_damage_find(&d->session, &damage);

	if (r)
		find_problem(d, VU_FINDING_FAIL, "objects", NULL, r);
	else if (damage.objects)
		find(d, VU_FINDING_FAIL, "objects", NULL,
		     "run `vunify recover`, and unmerge what stays damaged (`vunify status`)",
		     "%zu are not immutable, or not what the catalog says", (size_t)damage.objects);
	else
		find(d, VU_FINDING_OK, "objects", NULL, NULL, "immutable, and as the catalog says");
}

/* ---- a guest ---- */

/* In a session of its own: it is refused alone, if it is. */
static void check_trust(struct doctor *d, struct vu_guest *g)
{
	vu_cleanup(vu_session_close_p) struct vu_session s;
	char *operands[] = {g->path, NULL};
	int r = vu_session_open(&s, d->ops, 0, operands, 1);

	if (!r)
		r = vu_session_check_trust(&s, false);
	if (r)
		find_problem(d, VU_FINDING_FAIL, "confinement", g->name, r);
	else
		find(d, VU_FINDING_OK, "confinement", g->name, NULL, "%s",
		     g->trust ? "it is trusted"
			      : "no process in it could lift a flag, or reach the pool");
}

/* Owners that are shifted, and project ids, keep what is the same apart. */
static void check_owner(struct doctor *d, size_t i)
{
	const struct vu_session *s = &d->session;
	const struct vu_guest *g = &s->guests.v[i];
	struct stat mine, other;

	if (fstat(s->root_fds[i], &mine))
		return;
	for (size_t k = 0; k < s->guests.n; k++) {
		const struct vu_guest *h = &s->guests.v[k];

		if (s->guest_fs[k] != s->guest_fs[i] || strcmp(h->domain, g->domain) != 0 ||
		    fstat(s->root_fds[k], &other) || other.st_uid == mine.st_uid)
			continue;
		find(d, VU_FINDING_WARN, "owners", g->name,
		     "shift the user ids of both alike, or by an idmapped mount",
		     "its root is user %u's, that of %s is user %u's: what the same users of both own is not the same",
		     (unsigned)mine.st_uid, h->name, (unsigned)other.st_uid);
		return;
	}
}

static void check_project(struct doctor *d, size_t i)
{
	const struct vu_session *s = &d->session;
	struct fsxattr a;
	_cleanup_fd_ int fd =
		openat(s->root_fds[i], ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);

	if (fd >= 0 && !ioctl(fd, FS_IOC_FSGETXATTR, &a) && a.fsx_xflags & FS_XFLAG_PROJINHERIT &&
	    a.fsx_projid)
		find(d, VU_FINDING_WARN, "project", s->guests.v[i].name,
		     "account for the guest in another way",
		     "its files have project id %u, which a file that is shared cannot have",
		     a.fsx_projid);
}

static void check_cow(struct doctor *d, const struct vu_guest *g)
{
	char how[VU_COW_MARK_TEXT];
	int r = vu_cow_mark_look(d->ops->config->lock_dir, g->path, how);

	if (r < 0)
		find(d, VU_FINDING_WARN, "copy-on-write", g->name, NULL, "cannot be told: %s",
		     strerror(-r));
	else if (r)
		find(d, VU_FINDING_OK, "copy-on-write", g->name, NULL, "by %s", how);
	else
		find(d, VU_FINDING_OK, "copy-on-write", g->name, NULL, "%s",
		     vu_guard_is_there()
			     ? "none, but the guard: it can remove and replace unified files"
			     : "none: it cannot change unified files");
}

/* ---- */

static void check_all(struct doctor *d)
{
	struct vu_session *s = &d->session;

	check_freezer(d);
	for (size_t i = 0; i < s->n_fs; i++) {
		size_t g = 0;

		while (g < s->guests.n && s->guest_fs[g] != i)
			g++;
		if (g == s->guests.n)
			continue;
		check_mount(d, &s->fs[i], s->root_fds[g]);
		check_pool(d, &s->fs[i], s->root_fds[g]);
		check_left(d, &s->fs[i]);
	}
	check_objects(d);
	for (size_t i = 0; i < s->guests.n; i++) {
		check_trust(d, &s->guests.v[i]);
		check_owner(d, i);
		check_project(d, i);
		check_cow(d, &s->guests.v[i]);
	}
}

/* What else is wrong, as roots that are gone, comes as a warning. */
static void on_event(void *arg, const struct vu_event *e)
{
	if (e->kind == VU_EVENT_WARN || e->kind == VU_EVENT_DAMAGE)
		find(arg, e->kind == VU_EVENT_WARN ? VU_FINDING_WARN : VU_FINDING_FAIL, "guests",
		     e->guest, NULL, "%s", e->text ? e->text : "");
}

int vu_ops_doctor(struct vu_ops *ops, char *const *guests, size_t n, struct vu_findings *ret)
{
	struct doctor d = {.f = ret, .session = {.lock_fd = -EBADF}};
	struct vu_sink sink = {on_event, &d};
	struct vu_ops own = *ops;

	*ret = (struct vu_findings){0};
	own.sink = &sink;
	d.ops = &own;
	check_kernel(&d);
	check_capabilities(&d);
	check_seccomp(&d);
	check_guard(&d);
	int r = vu_session_open(&d.session, &own, 0, guests, n);

	if (!r)
		r = vu_session_find_pools(&d.session);
	if (!r)
		check_all(&d);
	else if (!n || (r > 0 && r != VU_OPS_USAGE))
		find_problem(&d, r == VU_OPS_NOT_SET_UP ? VU_FINDING_WARN : VU_FINDING_FAIL,
			     "catalog", ops->config->catalog, r);
	vu_session_close(&d.session);
	/* it is the guest that was named */
	if (n && (r < 0 || r == VU_OPS_USAGE))
		return r;
	return d.no_memory ? -ENOMEM : 0;
}

void vu_findings_done(struct vu_findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].on);
		free(f->v[i].says);
		free(f->v[i].todo);
	}
	free(f->v);
	*f = (struct vu_findings){0};
}

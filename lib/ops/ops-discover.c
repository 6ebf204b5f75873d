/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-discover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "fs/beneath.h"
#include "fs/iattr.h"
#include "fs/mount.h"
#include "fs/stat.h"
#include "guest/discovery.h"
#include "guest/procs.h"
#include "ops/session.h"

VU_DEFINE_CLEANUP_DONE(struct vu_session, vu_session_close)
VU_DEFINE_CLEANUP_DONE(struct vu_mount, vu_mount_done)
VU_DEFINE_CLEANUP_DONE(struct vu_discovery, vu_discovery_done)

struct looking {
	struct vu_session *s;
	struct vu_guests known;
	struct vu_proposals *ret;
	struct vu_procs_root *roots; /* owned; of the proposals, zeroes where they are none */
};

/* Says what is to be known of it, once: the first is what matters most. */
__attribute__((format(printf, 3, 4))) static int
say(struct vu_proposal *p, enum vu_proposal_verdict verdict, const char *format, ...)
{
	va_list ap;

	p->verdict = verdict;
	free(p->why);
	va_start(ap, format);
	if (vasprintf(&p->why, format, ap) < 0)
		p->why = NULL;
	va_end(ap);
	return p->why ? 0 : -ENOMEM;
}

/* Is one path the other, or above it? */
static bool is_within(const char *path, const char *above)
{
	size_t n = strlen(above);

	return !strncmp(path, above, n) && (!path[n] || path[n] == '/');
}

/* Roots of two guests must not lie in each other; nor may one come twice. */
static int check_place(const struct looking *l, struct vu_proposal *p)
{
	for (size_t i = 0; i < l->known.n; i++)
		if (is_within(p->path, l->known.v[i].path) ||
		    is_within(l->known.v[i].path, p->path))
			return say(p, VU_PROPOSAL_NO, "it and the guest %s lie in each other",
				   l->known.v[i].name);
	for (size_t i = 0; i < l->ret->n; i++)
		if (is_within(p->path, l->ret->v[i].path) || is_within(l->ret->v[i].path, p->path))
			return say(p, VU_PROPOSAL_NO, "it and %s lie in each other",
				   l->ret->v[i].path);
	return 0;
}

static int check_mount(struct vu_proposal *p, const struct vu_mount *m, const struct vu_stat *st)
{
	struct stat top;

	if (!vu_mount_can_link(m))
		return say(p, VU_PROPOSAL_NO,
			   "%s holds no immutable files that can be shared: ext4, XFS and Btrfs do",
			   m->type);
	if (m->read_only)
		return say(p, VU_PROPOSAL_NO, "its file system is mounted read-only");
	bool subvolume = !stat(m->point, &top) && top.st_dev != st->version.dev;

	if (!subvolume && !(st->attributes & STATX_ATTR_MOUNT_ROOT))
		return 0;
	return say(
		p, vu_mount_can_reflink(m) ? VU_PROPOSAL_DISK : VU_PROPOSAL_NO, "%s",
		subvolume ? "it is a subvolume of its own, and hard links do not cross these"
			  : "it is a mount point itself: guests share as directories of one mount");
}

/* What makes it share less than it could; all works. */
static int check_ids(struct vu_proposal *p, int fd, const struct vu_stat *st)
{
	uint32_t project = 0;
	_cleanup_fd_ int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);

	if (dir >= 0 && !vu_iattr_project(dir, &project) && project)
		return say(
			p, VU_PROPOSAL_NO,
			"its files are accounted to project %u (quota), which shared files cannot be",
			(unsigned)project);
	if (st->uid)
		return say(
			p, VU_PROPOSAL_YES,
			"its root is user %u's: it shares with guests whose ids are shifted alike",
			(unsigned)st->uid);
	return 0;
}

static bool has_entry(int fd, const char *name)
{
	struct vu_stat st;

	return !vu_stat_at(fd, name, &st);
}

static const struct vu_guest *find_known(const struct looking *l, const char *fs_id, uint64_t ino)
{
	for (size_t i = 0; i < l->known.n; i++)
		if (l->known.v[i].ino == ino && !strcmp(l->known.v[i].fs_id, fs_id))
			return &l->known.v[i];
	return NULL;
}

static int register_known(struct vu_proposal *p, const struct vu_guest *g)
{
	char *name = strdup(g->name);

	if (!name)
		return -ENOMEM;
	free(p->name);
	p->name = name;
	p->verdict = VU_PROPOSAL_REGISTERED;
	return 0;
}

/* What is on the disk at an open root. */
static int judge_root(struct looking *l, struct vu_proposal *p, int fd, struct vu_procs_root *root)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount m = {0};
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	if (!r)
		r = vu_mount_of(fd, &m);
	if (r)
		return r == -ENOMEM ? r : say(p, VU_PROPOSAL_NO, "%s", strerror(-r));
	p->fs_type = strdup(m.type);
	if (!p->fs_type)
		return -ENOMEM;
	const struct vu_guest *g = find_known(l, m.fs_id, st.version.ino);

	if (g)
		return register_known(p, g);
	r = check_mount(p, &m, &st);
	if (!r && !p->why)
		r = check_place(l, p);
	if (!r && !p->why && !has_entry(fd, "usr") && !has_entry(fd, "bin"))
		r = say(p, VU_PROPOSAL_NO, "it has neither usr nor bin: no root tree");
	if (!r && !p->why)
		r = check_ids(p, fd, &st);
	*root = (struct vu_procs_root){.dev = st.version.dev, .ino = st.version.ino};
	return r;
}

/* The roots are the admin's and the tools': links on the way are theirs. */
static int judge(struct looking *l, const struct vu_discovered *d, struct vu_proposal *p,
		 struct vu_procs_root *root)
{
	*p = (struct vu_proposal){.tool = d->tool, .name = strdup(d->name)};
	p->path = realpath(d->path, NULL);
	if (!p->path)
		p->path = strdup(d->path);
	if (!p->name || !p->path)
		return -ENOMEM;
	if (d->type)
		return say(p, VU_PROPOSAL_NO, "its root is made by %s when it starts", d->type);
	_cleanup_fd_ int fd = open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? say(p, VU_PROPOSAL_NO, "%s", strerror(errno)) : judge_root(l, p, fd, root);
}

/* The same root may be known to two tools. */
static bool is_there(const struct looking *l, const struct vu_procs_root *root)
{
	for (size_t i = 0; root->ino && i < l->ret->n; i++)
		if (l->roots[i].ino == root->ino && l->roots[i].dev == root->dev)
			return true;
	return false;
}

static void proposal_done(struct vu_proposal *p)
{
	free(p->name);
	free(p->path);
	free(p->fs_type);
	free(p->why);
	*p = (struct vu_proposal){0};
}

static int judge_all(struct looking *l, const struct vu_discovery *d)
{
	l->ret->v = calloc(d->n + 1, sizeof(*l->ret->v));
	l->roots = calloc(d->n + 1, sizeof(*l->roots));
	if (!l->ret->v || !l->roots)
		return -ENOMEM;
	for (size_t i = 0; i < d->n; i++) {
		struct vu_proposal p;
		struct vu_procs_root root = {0};
		int r = judge(l, &d->v[i], &p, &root);

		if (r || is_there(l, &root)) {
			proposal_done(&p);
			if (r)
				return r;
			continue;
		}
		l->roots[l->ret->n] = root;
		l->ret->v[l->ret->n++] = p;
	}
	return 0;
}

/* Guests that run, and whose root could lift a flag. */
static int check_processes(struct looking *l)
{
	_cleanup_free_ struct vu_procs_found *found = calloc(l->ret->n + 1, sizeof(*found));
	int r = found ? vu_procs_scan(l->roots, l->ret->n, found) : -ENOMEM;

	for (size_t i = 0; !r && i < l->ret->n; i++)
		if (found[i].capable_pid && l->ret->v[i].verdict == VU_PROPOSAL_YES)
			r = say(&l->ret->v[i], VU_PROPOSAL_TRUST,
				"it runs with CAP_LINUX_IMMUTABLE (process %d): drop that, stop it, or trust it",
				(int)found[i].capable_pid);
	return r;
}

static void on_trouble(void *arg, const char *path, int err)
{
	struct vu_session *s = arg;

	vu_emit(&s->counting, &(struct vu_event){.kind = VU_EVENT_WARN, .path = path, .err = err});
}

int vu_ops_discover(struct vu_ops *ops, struct vu_proposals *ret)
{
	vu_cleanup(vu_session_close_p) struct vu_session s;
	vu_cleanup(vu_discovery_done_p) struct vu_discovery d = {.trouble = on_trouble, .arg = &s};
	struct looking l = {.s = &s, .ret = ret};
	int r = vu_session_open_catalog(&s, ops, VU_SESSION_NO_CATALOG);

	*ret = (struct vu_proposals){0};
	if (!r)
		r = vu_session_known_guests(&s, &l.known);
	if (!r)
		r = vu_discovery_run(&d);
	if (!r)
		r = judge_all(&l, &d);
	if (!r)
		r = check_processes(&l);
	ret->warnings = s.warnings;
	free(l.roots);
	vu_guests_done(&l.known);
	return r < 0 && !ops->problem->what
		       ? vu_fail(ops, r, "cannot look for guests", NULL, NULL, NULL)
		       : r;
}

void vu_proposals_done(struct vu_proposals *p)
{
	for (size_t i = 0; i < p->n; i++)
		proposal_done(&p->v[i]);
	free(p->v);
	*p = (struct vu_proposals){0};
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A child looks at the processes, since one can make that wait for ever (base/watched.h), and opens what they have
 * mapped. Where it made no progress, another one does it all without the guest whose process that was.
 *
 * Whether a unit is one of the guest's own: where a process of the guest is in an init.scope, systemd runs there, and
 * what lies beside that scope is its. Else the unit is the host's, which has the guest, or a part of it, in it.
 */
#include "ops/ops-stale.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/watched.h"
#include "guest/cgroup.h"
#include "ops/guest-roots.h"
#include "ops/session.h"
#include "ops/stale-judge.h"

#define IDLE_MAX_MS 2000
#define MAPS_MAX                                                                                   \
	(UINT64_C(512)                                                                             \
	 << 20) /* bytes of one process' maps: 65,530 of the longest paths have half of it */
#define INIT_SCOPE "/init.scope"

VU_DEFINE_CLEANUP_DONE(struct vu_guest_roots, vu_guest_roots_done)
VU_DEFINE_CLEANUP_DONE(struct vu_stale_judge, vu_stale_judge_done)
VU_DEFINE_CLEANUP(struct vu_holders *, vu_holders_free)

struct looking {
	struct vu_session *session;
	struct vu_guest_roots *roots;
	struct vu_stale_judge *judge;
	struct vu_holders *h;
	struct vu_replaced_fs *fs; /* one for each of the session */
	/* the process at hand */
	uint32_t guest;
	int task_fd;
	struct vu_holders_service *service; /* NULL: not asked yet */
};

/* ---- in the child ---- */

/* The service that the process at hand belongs to. NULL: it has ended, or there is no room. */
static struct vu_holders_service *service_of(const struct looking *l)
{
	_cleanup_free_ char *path = vu_cgroup_path(l->task_fd, "");
	char name[VU_PROCS_NAME_MAX], unit[VU_CGROUP_UNIT_MAX];

	if (path && !path[1]) {
		free(path);
		path = vu_cgroup_path(l->task_fd, "name=systemd");
	}
	if (!path)
		return NULL;
	vu_procs_name(l->task_fd, name);
	bool is_unit = vu_cgroup_unit(path, unit);
	struct vu_holders_service *s = vu_holders_service(l->h, l->guest, is_unit ? unit : name);

	if (s && !s->n_processes && is_unit) {
		s->is_unit = true;
		*strstr(path, unit) = 0;
		snprintf(s->above, sizeof(s->above), "%s", path);
	}
	if (s)
		s->n_processes++;
	return s;
}

static int on_replaced(void *arg, const struct vu_replaced *m)
{
	struct looking *l = arg;
	bool is_new;
	struct vu_holders_inode *i =
		vu_holders_inode(l->h, l->guest, m->st.version.dev, m->st.version.ino, &is_new);
	int r = i && is_new ? vu_stale_judge_mapped(l->judge, m, i) : 0;

	l->h->progress++;
	if (r || !i || i->kind == VU_HOLDERS_IN_PLACE)
		return r;
	if (!l->service)
		l->service = service_of(l);
	if (l->service)
		vu_holders_hold(l->h, i, l->service);
	return 0;
}

/* systemd itself has nothing replaced, perhaps, and yet tells whose units there are. */
static void note_init(struct looking *l)
{
	_cleanup_free_ char *path = vu_cgroup_path(l->task_fd, "");
	size_t n = path ? strlen(path) : 0, suffix = sizeof(INIT_SCOPE) - 1;

	if (n < suffix || strcmp(path + n - suffix, INIT_SCOPE) != 0)
		return;
	l->service = service_of(l);
}

static int on_process(void *arg, size_t root, pid_t pid, int task_fd)
{
	struct looking *l = arg;

	(void)pid;
	l->h->progress++;
	l->h->now = root;
	if (l->roots->unread[root])
		return 0;
	l->guest = (uint32_t)root;
	l->task_fd = task_fd;
	l->service = NULL;
	note_init(l);
	int r = vu_replaced_each(task_fd, l->fs, l->session->n_fs, MAPS_MAX, on_replaced, l);

	if (r == VU_REPLACED_HIDDEN)
		l->h->hidden = true;
	return r == VU_REPLACED_HIDDEN ? 0 : r;
}

static int look_at_all(void *arg)
{
	struct looking *l = arg;

	return vu_procs_each(l->roots->v, l->roots->n, on_process, l);
}

/* ---- the parent ---- */

static int run_child(struct looking *l)
{
	int r;

	while ((r = vu_watched_run(&l->h->progress, IDLE_MAX_MS, look_at_all, l)) ==
	       VU_WATCHED_STUCK) {
		size_t guest = l->h->now;

		if (guest >= l->roots->n || l->roots->unread[guest])
			return -EIO;
		l->roots->unread[guest] = true;
		vu_holders_clear(l->h);
	}
	return r;
}

/* Is the unit of the guest's own systemd? */
static bool is_of_guest(const struct vu_holders *h, const struct vu_holders_service *s)
{
	for (uint32_t i = 0; i < h->n_services; i++) {
		const struct vu_holders_service *init = &h->service[i];

		if (init->guest == s->guest && init->is_unit && !strcmp(init->name, "init.scope"))
			return !strncmp(s->above, init->above, strlen(init->above));
	}
	return false;
}

static bool is_kept(const struct vu_holders *h, const struct looking *l, uint32_t inode)
{
	const struct vu_holders_inode *i = &h->inode[inode];

	return i->guest < l->session->guests.n && i->kind != VU_HOLDERS_IN_PLACE;
}

static uint64_t held(const struct vu_holders_inode *i)
{
	return i->links ? 0 : i->pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* An inode, whichever guests have it. */
struct inode_users {
	uint64_t dev;
	uint64_t ino;
	uint32_t n; /* services */
	bool summed;
};

static int by_inode(const void *a, const void *b)
{
	const struct inode_users *x = a, *y = b;

	return x->dev != y->dev ? (x->dev > y->dev) - (x->dev < y->dev)
				: (x->ino > y->ino) - (x->ino < y->ino);
}

/* How many services hold each inode: sorted, with one element for each entry of the table. */
static struct inode_users *count_users(const struct vu_holders *h)
{
	struct inode_users *u = calloc((size_t)h->n_holdings + 1, sizeof(*u));
	uint32_t n = 0;

	if (!u)
		return NULL;
	for (uint32_t k = 0; k < h->n_holdings; k++) {
		const struct vu_holders_inode *i = &h->inode[h->holding[k].inode];

		u[k] = (struct inode_users){.dev = i->dev, .ino = i->ino};
	}
	qsort(u, h->n_holdings, sizeof(*u), by_inode);
	for (uint32_t k = 0; k < h->n_holdings; k++) {
		if (n && !by_inode(&u[n - 1], &u[k]))
			u[n - 1].n++;
		else
			u[n++] = (struct inode_users){u[k].dev, u[k].ino, 1, false};
	}
	/* what is left is not found: it is sorted behind all */
	for (uint32_t k = n; k < h->n_holdings; k++)
		u[k] = (struct inode_users){.dev = UINT64_MAX, .ino = UINT64_MAX};
	return u;
}

static struct inode_users *users_of(struct inode_users *u, const struct vu_holders *h,
				    const struct vu_holders_inode *i)
{
	struct inode_users wanted = {.dev = i->dev, .ino = i->ino};

	return bsearch(&wanted, u, h->n_holdings, sizeof(*u), by_inode);
}

static void add(struct vu_stale_count *c, uint64_t bytes)
{
	c->files++;
	c->bytes += bytes;
}

/* What each service holds; of has its place in ret->services. */
static void sum_up(const struct looking *l, struct inode_users *users, const uint32_t *of,
		   struct vu_stale *ret)
{
	const struct vu_holders *h = l->h;

	for (uint32_t k = 0; k < h->n_holdings; k++) {
		const struct vu_holders_inode *i = &h->inode[h->holding[k].inode];
		struct inode_users *u = users_of(users, h, i);
		struct vu_stale_service *s = &ret->services[of[h->holding[k].service]];

		if (!is_kept(h, l, h->holding[k].inode))
			continue;
		add(&s->kind[i->kind], held(i));
		s->held_bytes += held(i);
		s->freed_bytes += u && u->n == 1 ? held(i) : 0;
		if (!u || u->summed)
			continue;
		u->summed = true;
		add(&ret->kind[i->kind], held(i));
		ret->held_bytes += held(i);
	}
}

static int make_services(const struct looking *l, uint32_t *of, struct vu_stale *ret)
{
	const struct vu_holders *h = l->h;

	ret->services = calloc((size_t)h->n_services + 1, sizeof(*ret->services));
	if (!ret->services)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->n_services; i++) {
		const struct vu_holders_service *s = &h->service[i];

		if (s->guest >= l->session->guests.n)
			continue;
		of[i] = (uint32_t)ret->n_services;
		ret->services[ret->n_services++] = (struct vu_stale_service){
			.guest = ret->names[s->guest],
			.name = strdup(s->name),
			.is_unit = s->is_unit,
			.of_guest = s->is_unit && is_of_guest(h, s),
			.processes = s->n_processes,
		};
		if (!ret->services[of[i]].name)
			return -ENOMEM;
	}
	return 0;
}

static int make_files(const struct looking *l, struct vu_stale *ret)
{
	const struct vu_holders *h = l->h;

	ret->files = calloc((size_t)h->n_inodes + 1, sizeof(*ret->files));
	if (!ret->files)
		return -ENOMEM;
	for (uint32_t k = 0; k < h->n_inodes; k++) {
		const struct vu_holders_inode *i = &h->inode[k];

		if (!is_kept(h, l, k))
			continue;
		struct vu_stale_file *f = &ret->files[ret->n_files++];

		*f = (struct vu_stale_file){
			.guest = ret->names[i->guest],
			.kind = (enum vu_holders_kind)i->kind,
			.held_bytes = held(i),
			.mapped = strdup(i->mapped),
			.path = *i->path ? strdup(i->path) : NULL,
		};
		if (!f->mapped || (*i->path && !f->path))
			return -ENOMEM;
	}
	return 0;
}

static int by_gain(const void *a, const void *b)
{
	const struct vu_stale_service *x = a, *y = b;

	if (x->freed_bytes != y->freed_bytes)
		return x->freed_bytes < y->freed_bytes ? 1 : -1;
	if (x->held_bytes != y->held_bytes)
		return x->held_bytes < y->held_bytes ? 1 : -1;
	int r = strcmp(x->guest, y->guest);

	return r ? r : strcmp(x->name, y->name);
}

/* Those that hold nothing were only asked for who they are. */
static void drop_empty(struct vu_stale *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_services; i++) {
		struct vu_stale_service *v = &s->services[i];
		uint64_t files = 0;

		for (int k = 0; k < VU_HOLDERS_KINDS; k++)
			files += v->kind[k].files;
		if (files)
			s->services[n++] = *v;
		else
			free(v->name);
	}
	s->n_services = n;
}

static int make_report(const struct looking *l, struct vu_stale *ret)
{
	_cleanup_free_ struct inode_users *users = count_users(l->h);
	_cleanup_free_ uint32_t *of = calloc((size_t)l->h->n_services + 1, sizeof(*of));
	int r = users && of ? make_services(l, of, ret) : -ENOMEM;

	if (!r)
		r = make_files(l, ret);
	if (r)
		return r;
	sum_up(l, users, of, ret);
	drop_empty(ret);
	qsort(ret->services, ret->n_services, sizeof(*ret->services), by_gain);
	ret->truncated = l->h->truncated;
	ret->hidden = l->h->hidden;
	for (size_t i = 0; i < l->session->guests.n; i++)
		ret->unknown[i] = l->roots->unread[i];
	return 0;
}

static int name_guests(const struct vu_session *s, struct vu_stale *ret)
{
	ret->names = calloc(s->guests.n + 1, sizeof(*ret->names));
	ret->unknown = calloc(s->guests.n + 1, sizeof(*ret->unknown));
	if (!ret->names || !ret->unknown)
		return -ENOMEM;
	for (size_t i = 0; i < s->guests.n; i++)
		if (!(ret->names[i] = strdup(s->guests.v[i].name)))
			return -ENOMEM;
	return 0;
}

static int look(struct vu_session *s, struct vu_stale *ret)
{
	vu_cleanup(vu_guest_roots_done_p) struct vu_guest_roots roots = {0};
	vu_cleanup(vu_holders_free_p) struct vu_holders *h = vu_holders_new();
	vu_cleanup(vu_stale_judge_done_p) struct vu_stale_judge judge = {0};
	_cleanup_free_ struct vu_replaced_fs *fs = calloc(s->n_fs + 1, sizeof(*fs));
	struct looking l = {.session = s, .roots = &roots, .judge = &judge, .h = h, .fs = fs};
	int r = h && fs ? vu_guest_roots_of(s, 1, &roots) : -ENOMEM;

	for (size_t i = 0; !r && i < s->n_fs; i++)
		fs[i] = (struct vu_replaced_fs){s->fs[i].mount.dev, s->fs[i].mount.super_dev};
	if (!r)
		r = vu_guest_roots_add_host(&roots);
	if (!r && roots.n > VU_HOLDERS_GUESTS)
		r = -E2BIG;
	if (!r)
		r = name_guests(s, ret);
	if (!r)
		r = vu_stale_judge_init(&judge, s, h);
	if (!r)
		r = run_child(&l);
	if (!r)
		r = vu_stale_judge_moved(&judge);
	return r ? r : make_report(&l, ret);
}

int vu_ops_stale(struct vu_ops *ops, char *const *guests, size_t n, struct vu_stale *ret)
{
	struct vu_session s = {.lock_fd = -EBADF};
	int r = vu_session_open(&s, ops, n ? VU_SESSION_NO_CATALOG : 0, guests, n);

	*ret = (struct vu_stale){0};
	if (!r)
		r = vu_session_find_pools(&s);
	if (!r)
		r = look(&s, ret);
	vu_session_close(&s);
	return r;
}

void vu_stale_done(struct vu_stale *s)
{
	for (size_t i = 0; s->names && s->names[i]; i++)
		free(s->names[i]);
	for (size_t i = 0; i < s->n_services; i++)
		free(s->services[i].name);
	for (size_t i = 0; i < s->n_files; i++) {
		free(s->files[i].mapped);
		free(s->files[i].path);
	}
	free(s->names);
	free(s->unknown);
	free(s->services);
	free(s->files);
	*s = (struct vu_stale){0};
}

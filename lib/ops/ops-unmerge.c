/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guests are walked with the pools' inodes in hand: what is a name of an object there is to be
 * broken, by inode, so that names which belong together move together. No catalog is asked; where
 * there is one, a second walk brings it up to date.
 */
#include "ops/ops-unmerge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "fs/xattr.h"
#include "link/breaker.h"
#include "ops/eviction.h"
#include "ops/farm.h"
#include "ops/locate.h"
#include "ops/recovery.h"
#include "ops/refresh.h"
#include "ops/run.h"
#include "ops/scan-count.h"
#include "ops/session.h"

/* What an operand asks for. */
struct asked {
	char *root; /* owned; the guest's */
	char *rel;  /* owned; below the root: what is at or below it; "": all */
};

/* The breaker's refusal, told apart from the codes of ops. */
#define NO_SPACE 1000

struct unmerge {
	struct vu_ops *ops;
	const struct vu_unmerge_options *o;
	struct vu_session session;
	struct vu_eviction eviction;
	struct vu_farm farm;
	struct vu_run run;
	char **operands;     /* owned, the strings too; what the session is opened for */
	struct asked *asked; /* owned; one for each operand: none where all guests are meant */
	size_t n_asked;
	uint32_t *order;	     /* owned; unified names by guest and inode */
	struct vu_break_item *items; /* owned */
	const char **paths;	     /* owned, the strings too; of the items' names */
	size_t n_items;
	size_t n_paths;
	struct vu_breaker_stats stats;
	uint64_t foreseen_bytes;   /* with dry_run: what would be copied */
	uint64_t foreseen_removed; /* and how many objects would go */
	struct vu_scan_report now; /* what the catalog was told at the end */
};

/* ---- operands ---- */

static int no_such(const struct unmerge *u, const char *operand, int err)
{
	return vu_fail(
		u->ops, err, "cannot unmerge", operand, NULL,
		"name a registered guest, a root, or a path inside of a guest; without a usable "
		"catalog no guest has a name");
}

/* Outside of all known guests: a root, or a file in a directory that is taken for one. */
static int ask_unknown(const char *operand, char *abs, bool is_dir, struct asked *ret)
{
	char *slash = strrchr(abs, '/');

	if (is_dir) {
		ret->root = realpath(operand, NULL);
		ret->rel = strdup("");
	} else {
		ret->rel = strdup(slash + 1);
		*slash = 0;
		ret->root = strdup(*abs ? abs : "/");
	}
	return ret->root && ret->rel ? 0 : -ENOMEM;
}

/* Does the path, as it was given, go through a guest's root? */
static bool enters_guest(const struct vu_guests *known, const char *path)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return true;
	for (char *p = strchr(copy, '/'); p; p = strchr(p + 1, '/')) {
		struct stat at, root;

		if (p == copy)
			continue;
		*p = 0;
		bool there = !stat(copy, &at);

		for (size_t g = 0; there && g < known->n; g++)
			if (!stat(known->v[g].path, &root) && root.st_dev == at.st_dev &&
			    root.st_ino == at.st_ino)
				return true;
		*p = '/';
	}
	return false;
}

static int ask(struct unmerge *u, const struct vu_guests *known, const char *operand,
	       struct asked *ret)
{
	_cleanup_free_ char *abs = NULL;
	const char *rel = "";
	struct stat st;
	size_t g = 0;

	while (g < known->n && strcmp(known->v[g].name, operand) != 0)
		g++;
	if (g == known->n) {
		abs = vu_locate_absolute(operand);
		if (!abs || lstat(abs, &st))
			return no_such(u, operand, -errno);
		/* a root may be named by a symbolic link */
		bool is_link = S_ISLNK(st.st_mode);
		bool is_dir = (!is_link || !stat(abs, &st)) && S_ISDIR(st.st_mode);

		if (!vu_locate_guest(known, abs, &g, &rel) && enters_guest(known, operand))
			return vu_fail(u->ops, VU_OPS_USAGE, "cannot unmerge", operand,
				       "a symbolic link in the guest leads out of it",
				       "name a path inside of the guest without symbolic links");
		if (g == known->n)
			return ask_unknown(operand, abs, is_dir, ret);
		if (*rel && is_link)
			return vu_fail(u->ops, VU_OPS_USAGE, "cannot unmerge", operand,
				       "it is a symbolic link, which has no copy to be given",
				       "name the path in the guest that it leads to");
	}
	ret->root = realpath(known->v[g].path, NULL);
	if (!ret->root) /* gone: it is told when it is opened */
		ret->root = strdup(known->v[g].path);
	ret->rel = strdup(rel);
	return ret->root && ret->rel ? 0 : -ENOMEM;
}

static int add_operand(struct unmerge *u, const struct vu_guests *known, size_t i)
{
	const char *operand = u->o->operands[i];
	struct asked *a = &u->asked[u->n_asked++];
	bool is_name = false;
	int r = ask(u, known, operand, a);

	if (r)
		return r;
	for (size_t g = 0; g < known->n; g++)
		is_name = is_name || !strcmp(known->v[g].name, operand);
	u->operands[i] = strdup(is_name ? operand : a->root);
	return u->operands[i] ? 0 : -ENOMEM;
}

VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)

/* Guests are asked for as such; paths inside of guests by their guest, and noted. */
static int read_operands(struct unmerge *u)
{
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	struct vu_session s;
	int r = vu_session_open_catalog(&s, u->ops, VU_SESSION_NO_CATALOG);

	if (!r)
		r = vu_session_known_guests(&s, &known);
	vu_session_close(&s);
	u->operands = calloc(u->o->n + 1, sizeof(*u->operands));
	u->asked = calloc(u->o->n + 1, sizeof(*u->asked));
	if (!u->operands || !u->asked)
		return -ENOMEM;
	for (size_t i = 0; !r && i < u->o->n; i++)
		r = add_operand(u, &known, i);
	return r;
}

static bool below(const char *rel, const char *path)
{
	size_t n = strlen(rel);

	while (n && rel[n - 1] == '/')
		n--;
	return !n || (!strncmp(rel, path, n) && (!path[n] || path[n] == '/'));
}

static bool asked_for(const struct unmerge *u, uint16_t guest, const char *path)
{
	const char *root = u->session.guests.v[guest].path;

	for (size_t i = 0; i < u->n_asked; i++)
		if (!strcmp(u->asked[i].root, root) && below(u->asked[i].rel, path))
			return true;
	return !u->n_asked;
}

/* ---- what is to be broken ---- */

static uint16_t guest_of(const struct vu_tree *t, const struct vu_unified_name *n)
{
	return vu_tree_dir(t, n->dir)->guest;
}

static int by_inode(const void *pa, const void *pb, void *arg)
{
	const struct vu_tree *t = arg;
	uint32_t ia = *(const uint32_t *)pa, ib = *(const uint32_t *)pb;
	const struct vu_unified_name *a = vu_tree_unified(t, ia), *b = vu_tree_unified(t, ib);
	uint16_t ga = guest_of(t, a), gb = guest_of(t, b);

	if (ga != gb)
		return ga < gb ? -1 : 1;
	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	return (ia > ib) - (ia < ib);
}

static void free_path(struct unmerge *u, size_t i)
{
	free((void *)(uintptr_t)u->paths[i]);
}

/* All names of one object in one guest: an item, if any of them was asked for. */
static int add_item(struct unmerge *u, uint32_t from, uint32_t to)
{
	const struct vu_tree *t = u->farm.tree;
	const struct vu_unified_name *first = vu_tree_unified(t, u->order[from]);
	uint16_t guest = guest_of(t, first);
	uint8_t fs = u->session.guest_fs[guest];
	size_t paths = u->n_paths;
	bool wanted = false;
	uint32_t object;

	if (!vu_inomap_get(&u->farm.objects[fs], first->ino, &object))
		return 0;
	for (uint32_t i = from; i < to; i++) {
		char *path = vu_tree_unified_path(t, vu_tree_unified(t, u->order[i]));

		if (!path)
			return -ENOMEM;
		u->paths[u->n_paths++] = path;
		wanted = wanted || asked_for(u, guest, path);
	}
	if (!wanted) {
		while (u->n_paths > paths)
			free_path(u, --u->n_paths);
		return 0;
	}
	u->items[u->n_items++] = (struct vu_break_item){
		.guest = guest,
		.fs = fs,
		.key = *vu_tree_key(t, vu_tree_inode(t, object)->key),
		.ino = first->ino,
		.paths = u->paths + paths,
		.n_paths = (uint32_t)(u->n_paths - paths),
	};
	return 0;
}

static int collect(struct unmerge *u)
{
	const struct vu_tree *t = u->farm.tree;
	uint32_t n = t->unified.n;
	int r = 0;

	u->order = malloc(sizeof(*u->order) * ((size_t)n + 1));
	u->items = calloc((size_t)n + 1, sizeof(*u->items));
	u->paths = calloc((size_t)n + 1, sizeof(*u->paths));
	if (!u->order || !u->items || !u->paths)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		u->order[i] = i;
	qsort_r(u->order, n, sizeof(*u->order), by_inode, u->farm.tree);
	for (uint32_t i = 0, end; !r && i < n; i = end) {
		const struct vu_unified_name *a = vu_tree_unified(t, u->order[i]);

		for (end = i + 1; end < n; end++) {
			const struct vu_unified_name *b = vu_tree_unified(t, u->order[end]);

			if (b->ino != a->ino || guest_of(t, b) != guest_of(t, a))
				break;
		}
		r = add_item(u, i, end);
	}
	return r;
}

/* ---- the run ---- */

static void tell_items(const struct unmerge *u)
{
	char object[VU_KEY_NAME_MAX];

	for (size_t i = 0; u->ops->per_file && i < u->n_items; i++) {
		const struct vu_break_item *it = &u->items[i];

		vu_key_name(&it->key, object);
		for (size_t k = 0; k < it->n_paths; k++)
			vu_emit(u->ops->sink, &(struct vu_event){
						      .kind = VU_EVENT_BREAK,
						      .guest = u->session.guests.v[it->guest].name,
						      .path = it->paths[k],
						      .object = object,
					      });
	}
}

/* What would be copied: all but what the last guest that has an object is given as it is. */
static int foresee(struct unmerge *u)
{
	const struct vu_tree *t = u->farm.tree;
	_cleanup_free_ uint32_t *taken = calloc((size_t)t->inodes.n + 1, sizeof(*taken));
	int r = taken ? vu_farm_know_objects(&u->farm) : -ENOMEM;

	for (size_t i = 0; !r && i < u->n_items; i++) {
		const struct vu_break_item *it = &u->items[i];
		uint32_t object;

		if (!vu_inomap_get(&u->farm.objects[it->fs], it->ino, &object))
			continue;
		const struct vu_inode *o = vu_tree_inode(t, object);

		taken[object] += it->n_paths;
		if (o->n_links == taken[object] + 1)
			u->foreseen_removed++;
		else
			u->foreseen_bytes += o->size;
	}
	return r;
}

static int break_items(struct unmerge *u)
{
	_cleanup_free_ struct vu_pool **pools = calloc(u->session.n_fs + 1, sizeof(*pools));

	if (!pools)
		return -ENOMEM;
	for (size_t i = 0; i < u->session.n_fs; i++)
		pools[i] = u->session.fs[i].pool;
	struct vu_breaker_env env = {
		.guests = &u->session.guests,
		.root_fds = u->session.root_fds,
		.pools = pools,
		.n_pools = u->session.n_fs,
		.max_xattr_bytes = VU_XATTR_ANY,
		.sink = &u->session.counting,
		.progress = u->ops->progress,
		.watch = &u->eviction.watch,
	};

	if (u->ops->progress)
		vu_progress_begin(u->ops->progress, VU_PHASE_BREAK, u->n_paths, 0);
	int r = vu_breaker_run(&env, u->items, u->n_items, &u->stats);

	if (r == -EBUSY)
		return vu_recovery_awaited(u->ops);
	return r == VU_BREAK_NO_SPACE ? NO_SPACE : r;
}

/* Pools that hold nothing any more leave no trace. What cannot be removed does no harm. */
static void dissolve_pools(struct unmerge *u)
{
	for (size_t i = 0; i < u->session.n_fs; i++)
		if (u->session.fs[i].pool)
			vu_pool_dissolve(u->session.fs[i].pool);
}

static int open_all(struct unmerge *u)
{
	int r = read_operands(u);

	if (!r)
		r = vu_session_open(&u->session, u->ops, VU_SESSION_WRITE | VU_SESSION_NO_CATALOG,
				    u->operands, u->o->n);
	if (!r)
		r = vu_session_find_pools(&u->session);
	if (!r && !u->o->dry_run)
		r = vu_session_lock_pools(&u->session);
	if (!r)
		r = vu_eviction_open(&u->eviction, &u->session);
	if (!r)
		r = vu_recovery_before_run(&u->eviction, u->o->dry_run);
	if (!r)
		r = vu_run_begin(&u->session, "unmerge", u->o->dry_run, &u->run);
	return r;
}

static int unmerge(struct unmerge *u)
{
	int r = vu_farm_open(&u->farm, &u->session, 0);

	if (!r)
		r = vu_farm_walk(&u->farm);
	if (!r)
		r = collect(u);
	if (r)
		return r;
	if (u->o->dry_run) {
		tell_items(u);
		return foresee(u);
	}
	r = break_items(u);
	vu_farm_close(&u->farm);
	int e = vu_eviction_run(&u->eviction, false), c = vu_refresh_catalog(&u->session, &u->now);

	dissolve_pools(u);

	return r ? r : e ? e : c;
}

/* The file at which the run ended, or its file system; or NULL. */
static char *stopped_at(const struct unmerge *u)
{
	const struct vu_break_item *it = u->stats.stopped_at;
	uint32_t fs = u->stats.stopped_fs;
	char *on = NULL;

	if (!it && fs)
		return strdup(u->session.fs[fs - 1].mount.point);
	if (!it || !it->n_paths ||
	    asprintf(&on, "%s:/%s", u->session.guests.v[it->guest].name, it->paths[0]) < 0)
		return NULL;
	return on;
}

static int explain(struct unmerge *u, int r)
{
	_cleanup_free_ char *why = NULL, *on = stopped_at(u);

	switch (r) {
	case NO_SPACE:
		if (asprintf(&why, "%llu MiB are needed, %llu MiB are free",
			     (unsigned long long)(u->stats.needed_bytes >> 20) + 1,
			     (unsigned long long)(u->stats.free_bytes >> 20)) < 0)
			return -ENOMEM;
		return vu_fail(
			u->ops, VU_OPS_NO_SPACE, "cannot give the files private copies", on, why,
			"free some space, or unmerge guests one by one; nothing was changed");
	case -ENOSPC:
	case -EDQUOT:
		return vu_fail(u->ops, VU_OPS_NO_SPACE, "cannot go on", on, strerror(-r),
			       "free some space and run it again; nothing is lost");
	case -ECANCELED:
		return vu_fail(u->ops, VU_OPS_CANCELLED, "stopped", NULL,
			       "everything is consistent, and the next run goes on from here",
			       NULL);
	default:
		if (r < 0 && !u->ops->problem->what)
			return vu_fail(u->ops, r, "cannot unmerge", on, NULL, NULL);
		return r;
	}
}

static void report(struct unmerge *u, struct vu_unmerge_report *rep)
{
	*rep = (struct vu_unmerge_report){
		.names = u->stats.names,
		.inodes = u->stats.inodes,
		.copied_bytes = u->stats.copied_bytes,
		.objects_removed = u->stats.objects_removed + u->stats.given,
		.objects_evicted = u->eviction.stats.evicted,
		.frozen = vu_freezer_stats(u->eviction.freezing.freezer),
		.warnings = u->session.warnings,
		.damages = u->session.damages,
		.seconds = vu_run_seconds(&u->run),
	};
	if (!u->o->dry_run)
		return;
	rep->names = u->n_paths;
	rep->inodes = u->n_items;
	rep->copied_bytes = u->foreseen_bytes;
	rep->objects_removed = u->foreseen_removed;
}

static void close_all(struct unmerge *u)
{
	for (size_t i = 0; u->operands && i < u->o->n; i++)
		free(u->operands[i]);
	free(u->operands);
	for (size_t i = 0; i < u->n_asked; i++) {
		free(u->asked[i].root);
		free(u->asked[i].rel);
	}
	free(u->asked);
	for (size_t i = 0; i < u->n_paths; i++)
		free_path(u, i);
	free(u->paths);
	free(u->items);
	free(u->order);
	vu_farm_close(&u->farm);
	vu_eviction_close(&u->eviction);
	vu_session_close(&u->session);
}

int vu_ops_unmerge(struct vu_ops *ops, const struct vu_unmerge_options *o,
		   struct vu_unmerge_report *ret_report)
{
	struct unmerge u = {.ops = ops, .o = o, .session = {.lock_fd = -EBADF}};
	int r = open_all(&u);

	if (!r)
		r = unmerge(&u);
	r = explain(&u, r);
	report(&u, ret_report);
	u.run.broken = ret_report->names;
	vu_scan_record(&u.session, &u.run, &u.now, r);
	ret_report->warnings = u.session.warnings;
	vu_scan_report_done(&u.now);
	close_all(&u);
	return r;
}

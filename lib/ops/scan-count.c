/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/scan-count.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- events ---- */

static void tell_names(const struct vu_ops *ops, const struct vu_tree *t,
		       const struct vu_guests *guests, const struct vu_inode *n,
		       enum vu_event_kind kind, const char *object)
{
	for (uint32_t i = n->first_name; i != VU_NONE; i = vu_tree_name(t, i)->next) {
		if (vu_tree_name(t, i)->fate == VU_GONE)
			continue;
		_cleanup_free_ char *path = vu_tree_name_path(t, i);

		vu_emit(ops->sink, &(struct vu_event){
					   .kind = kind,
					   .skip = n->skip,
					   .guest = guests->v[n->guest].name,
					   .path = path ? path : "?",
					   .object = object,
					   .size = n->size,
				   });
	}
}

static bool is_private(const struct vu_inode *n)
{
	return !(n->flags & (VU_INODE_OBJECT | VU_INODE_UNIFIED | VU_INODE_ADOPTED)) &&
	       n->fate != VU_UNSEEN && n->fate != VU_GONE && n->first_name != VU_NONE;
}

void vu_scan_tell_plan(const struct vu_ops *ops, const struct vu_tree *t,
		       const struct vu_guests *guests, const struct vu_plan *plan)
{
	char object[VU_KEY_NAME_MAX];

	if (!ops->per_file)
		return;
	for (uint32_t i = 0; i < plan->n_objects; i++) {
		const struct vu_plan_object *p = &plan->objects[i];

		vu_key_name(&p->key, object);
		if (!p->keeper_is_object)
			tell_names(ops, t, guests, vu_tree_inode(t, p->keeper), VU_EVENT_UNIFY,
				   object);
		for (uint32_t k = 0; k < p->n; k++)
			tell_names(ops, t, guests, vu_tree_inode(t, plan->targets[p->first + k]),
				   VU_EVENT_UNIFY, object);
	}
}

void vu_scan_tell_skips(const struct vu_ops *ops, const struct vu_tree *t,
			const struct vu_guests *guests)
{
	if (!ops->per_file)
		return;
	for (uint32_t i = 0; i < t->inodes.n; i++) {
		const struct vu_inode *n = vu_tree_inode(t, i);

		if (is_private(n) && n->skip)
			tell_names(ops, t, guests, n, VU_EVENT_SKIP, NULL);
	}
}

void vu_scan_tell_broken(const struct vu_ops *ops, const struct vu_tree *t,
			 const struct vu_guests *guests)
{
	for (uint32_t i = 0; ops->per_file && i < t->names.n; i++) {
		const struct vu_name *m = vu_tree_name(t, i);
		_cleanup_free_ char *path = m->apart ? vu_tree_name_path(t, i) : NULL;

		if (m->apart)
			vu_emit(ops->sink,
				&(struct vu_event){
					.kind = VU_EVENT_BROKEN,
					.guest = guests->v[vu_tree_dir(t, m->dir)->guest].name,
					.path = path ? path : "?",
					.size = vu_tree_inode(t, m->inode)->size,
				});
	}
}

/* ---- numbers ---- */

int vu_scan_report_new(const struct vu_guests *guests, struct vu_scan_report *ret)
{
	*ret = (struct vu_scan_report){.n_guests = guests->n};
	ret->guests = calloc(guests->n + 1, sizeof(*ret->guests));
	if (!ret->guests)
		return -ENOMEM;
	for (size_t i = 0; i < guests->n; i++) {
		ret->guests[i].name = strdup(guests->v[i].name);
		ret->guests[i].path = strdup(guests->v[i].path);
		if (!ret->guests[i].name || !ret->guests[i].path)
			return -ENOMEM;
	}
	return 0;
}

void vu_scan_report_done(struct vu_scan_report *r)
{
	for (size_t i = 0; r->guests && i < r->n_guests; i++) {
		free(r->guests[i].name);
		free(r->guests[i].path);
	}
	free(r->guests);
	vu_estimate_report_done(&r->memory);
	*r = (struct vu_scan_report){0};
}

/* What an inode occupies on the disk, as far as its size tells. */
static uint64_t disk_bytes(const struct vu_inode *n, const struct vu_session *s)
{
	uint64_t block = s->fs[n->fs].mount.block_bytes;

	return (n->size + block - 1) / block * block;
}

static void count_dirs(const struct vu_tree *t, struct vu_scan_report *r)
{
	for (uint32_t i = 0; i < t->dirs.n; i++) {
		const struct vu_dir *d = vu_tree_dir(t, i);
		struct vu_scan_guest *g = &r->guests[d->guest];

		if (d->fate == VU_UNSEEN || d->fate == VU_GONE)
			continue;
		g->dirs++;
		g->unified_before += d->n_unified;
		g->skips[VU_SKIP_NOT_REGULAR].files += d->n_other;
		if (d->flags & VU_DIR_EXCLUDED)
			g->skips[VU_SKIP_EXCLUDED].files++;
		if (d->flags & VU_DIR_OTHER_FS)
			g->skips[VU_SKIP_OTHER_FS].files++;
		if (d->flags & VU_DIR_FAILED)
			g->skips[VU_SKIP_UNREADABLE].files++;
	}
}

/* How an inode counts: it stays private, it goes (and frees its blocks), or it becomes the object. */
enum role {
	STAYS,
	GOES,
	KEPT
};

static uint32_t count_apart(const struct vu_tree *t, const struct vu_inode *n)
{
	uint32_t apart = 0;

	for (uint32_t i = n->first_name; i != VU_NONE; i = vu_tree_name(t, i)->next)
		apart += vu_tree_name(t, i)->apart;
	return apart;
}

static void count_inode(const struct vu_session *s, const struct vu_tree *t,
			const struct vu_inode *n, enum role role, struct vu_scan_guest *g)
{
	uint32_t n_names = vu_tree_count_names(t, n), apart = count_apart(t, n);

	g->inodes++;
	g->broken += apart;
	g->files += n_names;
	g->bytes += n->size;
	if (role == STAYS) {
		g->private_names += n_names;
		g->skips[n->skip].files += n_names;
		g->skips[n->skip].bytes += n->size;
		g->broken_skips[n->skip] += apart;
		return;
	}
	g->unified_now += n_names;
	g->again += apart;
	if (role == GOES)
		g->saved_bytes += disk_bytes(n, s);
}

uint8_t *vu_scan_roles(const struct vu_tree *t, const struct vu_plan *plan)
{
	uint8_t *role = calloc((size_t)t->inodes.n + 1, 1);

	for (uint32_t i = 0; role && i < plan->n_objects; i++) {
		const struct vu_plan_object *p = &plan->objects[i];

		if (!p->keeper_is_object)
			role[p->keeper] = KEPT;
		for (uint32_t k = 0; k < p->n; k++)
			role[plan->targets[p->first + k]] = GOES;
	}
	return role;
}

/* What became of it: an inode that shares its extents since this run plays the role it was planned for. */
static enum role role_of(const struct vu_inode *n, enum role planned)
{
	if (n->skip == VU_SKIP_REFLINKED)
		return planned;
	return n->flags & VU_INODE_ADOPTED ? KEPT : n->flags & VU_INODE_UNIFIED ? GOES : STAYS;
}

static void add_up(struct vu_scan_guest *total, const struct vu_scan_guest *g)
{
	total->dirs += g->dirs;
	total->files += g->files;
	total->inodes += g->inodes;
	total->bytes += g->bytes;
	total->unified_before += g->unified_before;
	total->unified_now += g->unified_now;
	total->private_names += g->private_names;
	total->saved_bytes += g->saved_bytes;
	total->broken += g->broken;
	total->again += g->again;
	for (int s = 0; s < VU_SKIP_N; s++) {
		total->skips[s].files += g->skips[s].files;
		total->skips[s].bytes += g->skips[s].bytes;
		total->broken_skips[s] += g->broken_skips[s];
	}
}

static bool counts(const struct vu_inode *n)
{
	if (n->flags & VU_INODE_ADOPTED)
		return true;
	return !(n->flags & VU_INODE_OBJECT) && n->fate != VU_UNSEEN &&
	       (n->fate != VU_GONE || n->flags & VU_INODE_UNIFIED) && n->first_name != VU_NONE;
}

void vu_scan_count(const struct vu_session *s, const struct vu_tree *t, const uint8_t *roles,
		   bool dry_run, struct vu_scan_report *r)
{
	count_dirs(t, r);
	for (uint32_t i = 0; i < t->inodes.n; i++) {
		const struct vu_inode *n = vu_tree_inode(t, i);
		enum role planned = roles ? (enum role)roles[i] : STAYS;
		enum role role = dry_run ? planned : role_of(n, planned);

		if (!counts(n))
			continue;
		/* an adopted inode's guest was overwritten by its file system: ask its first name */
		uint16_t guest = vu_tree_dir(t, vu_tree_name(t, n->first_name)->dir)->guest;

		count_inode(s, t, n, role, &r->guests[guest]);
		r->objects_new += role == KEPT;
	}
	for (size_t i = 0; i < r->n_guests; i++) {
		struct vu_scan_guest *g = &r->guests[i];

		/* after linking, a directory's count holds the names of this run already */
		if (!dry_run && !r->disk_only)
			g->unified_before -= VU_MIN(g->unified_before, g->unified_now);
		g->files += g->unified_before;
		add_up(&r->total, g);
	}
	r->names_unified = r->total.unified_now;
	r->saved_bytes = r->total.saved_bytes;
}

void vu_scan_count_idle(const struct vu_scan_guest *counts, struct vu_scan_report *r)
{
	for (size_t i = 0; i < r->n_guests; i++) {
		struct vu_scan_guest *g = &r->guests[i], named = *g;

		*g = counts[i];
		g->name = named.name;
		g->path = named.path;
		add_up(&r->total, g);
	}
}

/* ---- history ---- */

void vu_scan_record(struct vu_session *s, struct vu_run *run, const struct vu_scan_report *r,
		    int code)
{
	_cleanup_free_ struct vu_guest_stat *stats = calloc(r->n_guests + 1, sizeof(*stats));
	size_t n = stats && r->guests ? r->n_guests : 0;

	run->files = r->total.inodes;
	run->names = r->total.files;
	run->read_bytes = r->read_bytes;
	run->hashed_bytes = r->hashed_bytes;
	run->unified = r->names_unified;
	run->broken = r->total.broken;
	run->saved_bytes = r->saved_bytes;
	run->skipped = r->total.private_names;
	for (size_t i = 0; i < n; i++) {
		const struct vu_scan_guest *g = &r->guests[i];
		/* shared extents make no objects */
		uint64_t now = run->dry_run || r->disk_only ? 0 : g->unified_now;

		stats[i] = (struct vu_guest_stat){
			.guest = s->guests.v[i].id,
			.dirs = g->dirs,
			.unified = g->unified_before + now,
			.private = g->files - g->unified_before - now,
			.private_bytes = g->bytes,
			.other = g->skips[VU_SKIP_NOT_REGULAR].files,
			.saved_bytes = g->saved_bytes,
		};
		for (int k = 0; k < VU_SKIP_N; k++) {
			stats[i].skip_files[k] = g->skips[k].files;
			stats[i].skip_bytes[k] = g->skips[k].bytes;
		}
		/* with -n, what would be unified is pending */
		if (run->dry_run)
			stats[i].skip_files[VU_SKIP_NONE] = g->unified_now;
	}
	vu_run_end(s, run, stats, n, code);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/scan-plan.h"
#include "link/quarantine.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "guest/mapped.h"
#include "link/quarantine.h"
#include "match/choose.h"
#include "ops/sound.h"
#include "scan/group.h"

/* Names an object may have: below the 65,000 of ext4 and the 65,535 of btrfs, with room for moments. */
#define MAX_LINKS 64000

/* ---- content ---- */

static int open_object(void *arg, uint32_t inode)
{
	struct vu_scan_plan *s = arg;
	const struct vu_inode *o = vu_tree_inode(s->farm->tree, inode);

	return vu_pool_object_open(s->session->fs[o->fs].pool, vu_tree_key(s->farm->tree, o->key));
}

int vu_scan_read_content(struct vu_scan_plan *s)
{
	const struct vu_config *c = s->session->ops->config;
	struct vu_groups groups = {0};
	struct vu_content_env env = {
		.walk = &s->farm->walk,
		.max_xattr_bytes = c->max_xattr_bytes,
		.open_object = open_object,
		.open_object_arg = s,
	};
	int r = vu_farm_know_objects(s->farm);

	if (!r && s->estimates)
		r = vu_estimate_begin(&s->estimate, s->session, s->farm, &env);
	if (!r && s->estimates && s->believes)
		r = vu_estimate_believe(&s->estimate);
	/* files that differ in nothing but their mtime are read too: to be told as such */
	if (!r)
		r = vu_group_run(&s->farm->walk, s->farm->tree, false, &groups);
	if (!r)
		r = vu_content_run(&env, s->farm->tree, &groups, &s->content);
	vu_groups_done(&groups);
	return r;
}

/* A hint only: where it cannot be had, nothing counts as mapped. */
static struct vu_mapped *count_mapped(const struct vu_session *ss)
{
	_cleanup_free_ struct vu_procs_root *roots = calloc(ss->guests.n + 1, sizeof(*roots));
	struct vu_mapped *m = calloc(ss->n_fs + 1, sizeof(*m));

	if (!roots || !m)
		return m;
	for (size_t i = 0; i < ss->guests.n; i++)
		roots[i] = (struct vu_procs_root){.dev = ss->guests.v[i].dev,
						  .ino = ss->guests.v[i].ino};
	for (size_t i = 0; i < ss->n_fs; i++)
		m[i].dev = ss->fs[i].mount.dev;
	(void)vu_mapped_count(roots, ss->guests.n, m, ss->n_fs);
	return m;
}

/* Asked first when there is an object to be made: only then /proc is read. */
static uint32_t in_use(void *arg, const struct vu_inode *inode)
{
	struct vu_scan_plan *s = arg;
	uint32_t n = 0;

	if (!s->mapped)
		s->mapped = count_mapped(s->session);
	if (!s->mapped || !vu_inomap_get(&s->mapped[inode->fs].count, inode->ino, &n))
		return 0;
	return n;
}

static bool guest_has(void *arg, uint32_t guest, uint64_t ino)
{
	struct vu_scan_plan *s = arg;

	return vu_owners_has(&s->owners, guest, ino);
}

/* Has it the metadata that its key stands for? The linker sees to it that the record holds. */
static bool has_metadata_of(const struct vu_scan_plan *s, const struct vu_inode *o,
			    const struct vu_inode *like)
{
	return o->size == like->size && o->attr == like->attr &&
	       !vu_quarantine_has(s->session->fs[o->fs].pool, vu_tree_key(s->farm->tree, o->key),
				  o->ino) &&
	       (!s->session->ops->config->mtime_exact || o->mtime_ns == like->mtime_ns);
}

/* Each is read, and told of, once, though a plan that is not believed is made anew. */
static int is_sound(void *arg, const struct vu_inode *o, const struct vu_inode *like)
{
	struct vu_scan_plan *s = arg;
	const struct vu_key *key = vu_tree_key(s->farm->tree, o->key);
	uint32_t answer;

	if (!s->hash)
		s->hash = vu_hash_new();
	if (!s->asked)
		s->asked = calloc(s->session->n_fs + 1, sizeof(*s->asked));
	if (!s->hash || !s->asked)
		return -ENOMEM;
	if (vu_inomap_get(&s->asked[o->fs], o->ino, &answer))
		return (int)answer;
	const struct vu_digest *digest = &vu_tree_content(s->farm->tree, like->content)->digest;
	int r = has_metadata_of(s, o, like)
			? vu_sound_object(s->session->fs[o->fs].pool, key, s->hash, digest)
			: 0;

	if (r == -ENOMEM || r == -ECANCELED)
		return r;
	if (r <= 0)
		vu_sound_tell(&s->session->counting, key, r);
	answer = r > 0;
	r = vu_inomap_set(&s->asked[o->fs], o->ino, answer);
	return r ? r : (int)answer;
}

static int make_plan(struct vu_scan_plan *s)
{
	_cleanup_free_ uint8_t *guest_fs = calloc(s->session->guests.n + 1, sizeof(*guest_fs));
	struct vu_choose_env env = {
		.tree = s->farm->tree,
		.guests = &s->session->guests,
		.guest_fs = guest_fs,
		.mtime_exact = s->session->ops->config->mtime_exact,
		.max_links = MAX_LINKS,
		.guest_has = guest_has,
		.in_use = in_use,
		.is_sound = s->session->ops->config->mode == VU_MODE_LINK ? is_sound : NULL,
		.arg = s,
	};

	if (!guest_fs)
		return -ENOMEM;
	for (size_t i = 0; i < s->session->guests.n; i++)
		guest_fs[i] = s->farm->shares[s->session->guest_fs[i]];
	return vu_choose_plan(&env, &s->plan);
}

/*
 * The plan, with all names known of the objects that get further ones. Where all directories were read,
 * and an object has others still, a guest has hidden them (a directory renamed while it was walked, or
 * covered by a mount): nothing joins that one, and its content goes on with the next generation.
 */
int vu_scan_make_plan(struct vu_scan_plan *s, bool full)
{
	int r = vu_owners_know(&s->owners, s->session, s->farm->tree);

	if (!r)
		r = make_plan(s);
	while (!r && s->session->catalog) {
		r = vu_owners_prove(&s->owners, &s->plan);
		if (r != VU_OWNERS_UNKNOWN)
			break;
		if (!full)
			return VU_SCAN_NOT_BELIEVED;
		vu_plan_done(&s->plan);
		r = make_plan(s);
	}
	return r;
}

void vu_scan_plan_forget(struct vu_scan_plan *s)
{
	vu_plan_done(&s->plan);
	vu_owners_done(&s->owners);
	vu_estimate_done(&s->estimate);
}

void vu_scan_plan_done(struct vu_scan_plan *s)
{
	vu_scan_plan_forget(s);
	for (size_t i = 0; s->mapped && i < s->session->n_fs; i++)
		vu_inomap_done(&s->mapped[i].count);
	for (size_t i = 0; s->asked && i < s->session->n_fs; i++)
		vu_inomap_done(&s->asked[i]);
	free(s->mapped);
	free(s->asked);
	vu_hash_free(s->hash);
}

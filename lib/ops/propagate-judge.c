/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/propagate-judge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "guest/owning.h"
#include "scan/exclude.h"

static const struct vu_guest *guest_at(const struct vu_finds *f, size_t i)
{
	return &f->session->guests.v[i];
}

/* What is known of one guest, once it is needed. */
struct judge {
	struct vu_finds *f;
	struct vu_hash *hash;
	struct vu_owning *owning;
	struct vu_package_db *conffiles;
	struct vu_exclude *exclude;
};

static void tell_broken(const struct vu_finds *f, size_t guest, const char *why)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "it follows no template: its package database is broken: %s",
		     why ? why : "?") < 0)
		text = NULL;
	vu_emit(&f->session->counting, &(struct vu_event){
					       .kind = VU_EVENT_WARN,
					       .guest = guest_at(f, guest)->name,
					       .text = text,
				       });
}

static int open_judge(struct judge *j, size_t guest)
{
	const struct vu_session *s = j->f->session;
	const struct vu_config *c = s->ops->config;
	const struct vu_guest *g = guest_at(j->f, guest);
	_cleanup_free_ char *broken = NULL;
	struct vu_exclude_error err;
	const char *why;
	int r = vu_owning_read(s->root_fds[guest], c->max_package_db_bytes, &j->owning, &broken);

	if (r > 0)
		tell_broken(j->f, guest, broken);
	if (r >= 0)
		r = vu_package_read(s->root_fds[guest], c->max_package_db_bytes, &j->conffiles,
				    &why);
	if (r >= 0)
		r = vu_exclude_new(g->rules, c->exclude, &j->exclude, &err);
	return r == VU_EXCLUDE_BAD
		       ? vu_fail(s->ops, VU_OPS_USAGE, "cannot use the rules of the guest", g->name,
				 err.why, "correct them in vunify.conf or by `vunify guests set`")
		       : r;
}

static void close_judge(struct judge *j)
{
	j->owning = vu_owning_free(j->owning);
	j->conffiles = vu_package_free(j->conffiles);
	j->exclude = vu_exclude_free(j->exclude);
}

VU_DEFINE_CLEANUP_DONE(struct judge, close_judge)

static bool is_excluded(const struct judge *j, const char *path)
{
	const char *slash = strrchr(path, '/');

	return vu_exclude_match(j->exclude, path, false, NULL) != VU_EXCLUDE_NO ||
	       vu_exclude_lock_file(slash ? slash + 1 : path) ||
	       vu_package_is_conffile(j->conffiles, path);
}

/* Is the template's file what was noted of it just now, and was it read? */
static bool can_lead(const struct vu_finds *f, const struct vu_change *c)
{
	const struct vu_tree *t = f->farm.tree;
	const struct vu_inode *n = c->inode == VU_NONE ? NULL : vu_tree_inode(t, c->inode);

	return n && c->is_owned && n->content != VU_NONE &&
	       vu_follow_is(&c->file->v[0], &vu_tree_content(t, n->content)->digest,
			    vu_attrs_at(t->attrs, n->attr));
}

/* Has another template of this run, and of the domain, at this path what the guest has? */
static bool is_anothers(const struct vu_finds *f, const struct vu_find *find,
			const struct vu_digest *content)
{
	const struct vu_change *c = &f->changes[find->change];

	for (size_t i = 0; i < f->session->guests.n; i++) {
		if (i == c->template || !f->templates[i].n ||
		    strcmp(guest_at(f, i)->domain, guest_at(f, c->template)->domain) != 0)
			continue;
		const struct vu_template_file *file =
			vu_template_files_find(&f->templates[i], find->path);

		if (file && !memcmp(&file->v[0].content, content, sizeof(*content)))
			return true;
	}
	return false;
}

static enum vu_follow judge_one(struct judge *j, struct vu_find *find)
{
	const struct vu_finds *f = j->f;
	const struct vu_tree *t = f->farm.tree;
	const struct vu_change *c = &f->changes[find->change];
	const struct vu_inode *n = vu_tree_inode(t, find->inode);
	struct vu_digest packages;

	if (n->content == VU_NONE) {
		find->skip = n->skip ? n->skip : VU_SKIP_UNREADABLE;
		return VU_FOLLOW_SKIP;
	}
	const struct vu_digest *content = &vu_tree_content(t, n->content)->digest;
	int owned = j->owning ? vu_owning_ask(j->owning, j->hash, find->path, &packages) : 0;
	enum vu_follow why = vu_follow_decide(
		c->file, &c->packages,
		&(struct vu_follow_side){.content = content,
					 .packages = owned > 0 && c->is_owned ? &packages : NULL,
					 .attr = vu_attrs_at(t->attrs, n->attr)});

	if (why)
		return why;
	if (is_excluded(j, find->path))
		return VU_FOLLOW_EXCLUDED;
	if (is_anothers(f, find, content))
		return VU_FOLLOW_TEMPLATES;
	if (f->session->guest_fs[find->guest] != f->session->guest_fs[c->template]) {
		find->skip = VU_SKIP_CROSS_DEVICE;
		return VU_FOLLOW_SKIP;
	}
	return can_lead(f, c) ? VU_FOLLOW_YES : VU_FOLLOW_NO_OBJECT;
}

/* ---- several templates ---- */

static bool is_one_version(const struct vu_template_version *a, const struct vu_template_version *b)
{
	return vu_follow_is(a, &b->content, &b->attr);
}

/* A path of a guest that v[from .. to-1] are about: one of them counts. */
static void settle_path(struct vu_finds *f, size_t from, size_t to)
{
	size_t best = from;
	bool same = false, apart = false;

	for (size_t i = from; i < to; i++) {
		const struct vu_find *a = &f->v[i], *b = &f->v[best];

		f->v[i].is_doubt = true;
		same = same || a->why == VU_FOLLOW_SAME;
		if (a->why == VU_FOLLOW_YES && b->why == VU_FOLLOW_YES)
			apart = apart || !is_one_version(&f->changes[a->change].file->v[0],
							 &f->changes[b->change].file->v[0]);
		else if (a->why == VU_FOLLOW_YES || (a->why == VU_FOLLOW_SAME && b->why))
			best = i;
	}
	f->v[best].is_doubt = false;
	if (f->v[best].why == VU_FOLLOW_YES && (apart || same))
		f->v[best].why = VU_FOLLOW_TEMPLATES;
}

static void settle_paths(struct vu_finds *f)
{
	for (size_t i = 0, to; i < f->n; i = to) {
		for (to = i + 1; to < f->n && f->v[to].guest == f->v[i].guest &&
				 !strcmp(f->v[to].path, f->v[i].path);
		     to++)
			;
		if (to > i + 1)
			settle_path(f, i, to);
	}
}

int vu_finds_judge(struct vu_finds *f, struct vu_hash *hash)
{
	vu_cleanup(close_judge_p) struct judge j = {.f = f, .hash = hash};
	size_t at = SIZE_MAX;
	int r = 0;

	for (size_t i = 0; !r && i < f->n; i++) {
		if (!f->v[i].is_asked)
			continue;
		if (f->v[i].guest != at) {
			close_judge(&j);
			at = f->v[i].guest;
			r = open_judge(&j, at);
		}
		if (!r)
			f->v[i].why = (uint8_t)judge_one(&j, &f->v[i]);
	}
	if (!r)
		settle_paths(f);
	return r;
}

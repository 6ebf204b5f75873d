/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 1. Each template is noted (ops/template-note.h): what it has now, beside what it had.
 * 2. Finds, judged and grouped (ops/propagate-find.h, -group.h). With dry_run it ends here.
 * 3. What is private becomes an object, by the linker: first the template's files, then those of guests
 *    of which the template's has become one. Each is what its key says, whatever comes next; it was read,
 *    and its lease is held.
 * 4. The guests' names are led over from one object to the other (link/lead.h). Objects without a guest
 *    go.
 *
 * Killed in 3, a file is an object that is shared with nobody: the next run leads it on, or a scan unifies
 * it. Killed in 4, each name is one of the old or of the new object; recovery lets the other names of the inode at hand
 * follow (link/recover-lead.c), and the next run goes on.
 */
#include "ops/ops-propagate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "fs/xattr.h"
#include "link/lead.h"
#include "link/linker.h"
#include "ops/eviction.h"
#include "ops/propagate-group.h"
#include "ops/propagate-report.h"
#include "ops/recovery.h"
#include "ops/refresh.h"
#include "ops/run.h"
#include "ops/scan-count.h"
#include "ops/template-note.h"

struct propagate {
	struct vu_ops *ops;
	const struct vu_propagate_options *o;
	struct vu_session session;
	struct vu_eviction eviction;
	struct vu_run run;
	char **operands; /* owned, the strings borrowed; none: all guests */
	size_t n_operands;
	struct vu_guests known;		     /* owned */
	struct vu_template_files *templates; /* owned; by guest of the session */
	struct vu_finds finds;
	struct vu_follow_groups groups;
	struct vu_pool **pools;	 /* owned, the pools borrowed */
	struct vu_lead *leads;	 /* owned */
	struct vu_sink listener; /* of linker and leader */
	struct vu_linker_stats adopted;
	struct vu_breaker_stats led;
	struct vu_scan_report now; /* what the catalog was told at the end */
};

/* ---- who leads, who follows ---- */

static int no_guest(const struct propagate *p, const char *name, const char *why, const char *todo)
{
	return vu_fail(p->ops, VU_OPS_USAGE, "cannot propagate", name, why, todo);
}

static struct vu_guest *find_known(const struct propagate *p, const char *name)
{
	_cleanup_free_ char *real = realpath(name, NULL);
	struct vu_guest *g = vu_guests_find(&p->known, name);

	return g || !real ? g : vu_guests_find(&p->known, real);
}

static bool leads(const struct vu_guest *template, const char *domain)
{
	return template->template && !strcmp(template->domain, domain);
}

/* A guest that was named: is there a template that it can follow? */
static int check_follower(const struct propagate *p, const char *name, const struct vu_guest *only)
{
	const struct vu_guest *g = find_known(p, name);
	bool led = false;

	if (!g)
		return no_guest(p, name, "it is not registered", "see `vunify guests`");
	if (g->template)
		return no_guest(p, name, "it is a template itself: others follow it",
				"see `vunify template list`");
	for (size_t i = 0; i < p->known.n; i++)
		led = led ||
		      ((!only || only == &p->known.v[i]) && leads(&p->known.v[i], g->domain));
	return led ? 0
		   : no_guest(p, name, "there is no such template in its domain",
			      "see `vunify template list`");
}

/* The session is opened for the guests that were named, and for the templates. */
static int choose_operands(struct propagate *p)
{
	const struct vu_guest *only = p->o->template ? find_known(p, p->o->template) : NULL;
	size_t n_templates = 0;
	int r = 0;

	for (size_t i = 0; i < p->known.n; i++)
		n_templates += p->known.v[i].template;
	if (p->o->template && (!only || !only->template))
		return no_guest(p, p->o->template,
				only ? "it is no template" : "it is not registered",
				"see `vunify template list`");
	if (!n_templates)
		return vu_fail(p->ops, VU_OPS_NOT_SET_UP, "nothing to propagate", NULL,
			       "no guest is a template", "run `vunify template add GUEST` first");
	p->operands = calloc(p->o->n_guests + p->known.n + 1, sizeof(*p->operands));
	if (!p->operands)
		return -ENOMEM;
	for (size_t i = 0; !r && i < p->o->n_guests; i++) {
		r = check_follower(p, p->o->guests[i], only);
		p->operands[p->n_operands++] = p->o->guests[i];
	}
	/* by their paths: a guest may have any name */
	for (size_t i = 0; !r && p->n_operands && i < p->known.n; i++)
		if (p->known.v[i].template && (!only || only == &p->known.v[i]))
			p->operands[p->n_operands++] = p->known.v[i].path;
	return r;
}

VU_DEFINE_CLEANUP_DONE(struct vu_session, vu_session_close)

static int read_operands(struct propagate *p)
{
	vu_cleanup(vu_session_close_p) struct vu_session s;
	int r = vu_session_open_catalog(&s, p->ops, 0);

	if (!r)
		r = vu_session_known_guests(&s, &p->known);
	return r ? r : choose_operands(p);
}

static int open_all(struct propagate *p)
{
	int r;

	if (p->ops->config->mode != VU_MODE_LINK)
		return vu_fail(p->ops, VU_OPS_REFUSED, "cannot propagate", NULL,
			       "mode = reflink makes no objects, which guests could have names of",
			       "use mode = link");
	r = read_operands(p);
	if (!r)
		r = vu_session_open(&p->session, p->ops, VU_SESSION_WRITE, p->operands,
				    p->n_operands);
	if (!r)
		r = vu_session_check_trust(&p->session, p->o->trust_guests);
	if (!r)
		r = vu_session_open_pools(&p->session, !p->o->dry_run);
	if (!r)
		r = vu_eviction_open(&p->eviction, &p->session);
	if (!r)
		r = vu_recovery_before_run(&p->eviction, p->o->dry_run);
	if (!r)
		r = vu_run_begin(&p->session, "propagate", p->o->dry_run, &p->run);
	return r;
}

/* ---- templates ---- */

static bool is_led_by(const struct propagate *p, size_t guest)
{
	const struct vu_guest *g = &p->session.guests.v[guest];
	const struct vu_guest *only = p->o->template ? find_known(p, p->o->template) : NULL;

	return g->template && (!only || only->id == g->id);
}

static int note(struct propagate *p, size_t guest)
{
	bool first = false;
	int r = vu_template_note(&p->session, guest, p->o->dry_run, &p->templates[guest], &first);

	if (!r && first && p->templates[guest].n)
		vu_emit(&p->session.counting,
			&(struct vu_event){
				.kind = VU_EVENT_WARN,
				.guest = p->session.guests.v[guest].name,
				.text = "it was not known what this template had: what changes in it from "
					"now on is propagated"});
	return r;
}

static int note_templates(struct propagate *p)
{
	int r = 0;

	p->templates = calloc(p->session.guests.n + 1, sizeof(*p->templates));
	if (!p->templates)
		return -ENOMEM;
	for (size_t i = 0; !r && i < p->session.guests.n; i++)
		if (is_led_by(p, i))
			r = note(p, i);
	return r;
}

/* ---- what linker and leader tell ---- */

static struct vu_find *find_of(const struct propagate *p, const struct vu_event *e)
{
	for (size_t i = 0; e->guest && e->path && i < p->session.guests.n; i++)
		if (!strcmp(p->session.guests.v[i].name, e->guest))
			return vu_finds_at(&p->finds, i, e->path);
	return NULL;
}

/* What was done is told from the finds. */
static void listen(void *arg, const struct vu_event *e)
{
	struct propagate *p = arg;
	struct vu_find *find;

	switch (e->kind) {
	case VU_EVENT_UNIFY:
		find = p->leads ? find_of(p, e) : NULL;
		if (find)
			find->is_done = true;
		break;
	case VU_EVENT_SKIP:
		find = find_of(p, e);
		if (find && find->why == VU_FOLLOW_YES && !find->is_done) {
			find->why = VU_FOLLOW_SKIP;
			find->skip = (uint8_t)e->skip;
		}
		break;
	default:
		vu_emit(&p->session.counting, e);
	}
}

/* ---- private files become objects ---- */

static struct vu_inode *inode_at(const struct propagate *p, uint32_t i)
{
	return vu_tree_inode(p->finds.farm.tree, i);
}

static struct vu_find *find_in(const struct propagate *p, const struct vu_follow_group *g,
			       uint32_t i)
{
	return &p->finds.v[p->groups.finds[g->first + i]];
}

static void give_up(const struct propagate *p, const struct vu_follow_group *g, enum vu_follow why,
		    enum vu_skip skip)
{
	for (uint32_t i = 0; i < g->n; i++) {
		struct vu_find *find = find_in(p, g, i);

		if (find->why != VU_FOLLOW_YES || find->is_done)
			continue;
		find->why = (uint8_t)why;
		find->skip = (uint8_t)skip;
	}
}

static bool is_on(const struct propagate *p, const struct vu_follow_group *g)
{
	return find_in(p, g, 0)->why == VU_FOLLOW_YES;
}

static int add_to_plan(const struct propagate *p, struct vu_plan *plan, struct vu_hash *hash,
		       uint32_t inode)
{
	const struct vu_tree *t = p->finds.farm.tree;
	const struct vu_inode *n = vu_tree_inode(t, inode);
	struct vu_plan_object *o = &plan->objects[plan->n_objects];

	if (n->flags & VU_INODE_OBJECT)
		return 0;
	*o = (struct vu_plan_object){
		.keeper = inode, .fs = p->session.guest_fs[n->guest], .alone = true};
	plan->n_objects++;
	return vu_key_make(hash, p->session.guests.v[n->guest].domain,
			   &vu_tree_content(t, n->content)->digest, n->size,
			   vu_attrs_at(t->attrs, n->attr), p->ops->config->mtime_exact, n->mtime_ns,
			   &o->key);
}

static int run_linker(struct propagate *p, const struct vu_plan *plan)
{
	const struct vu_config *c = p->ops->config;
	struct vu_linker_env env = {
		.tree = p->finds.farm.tree,
		.guests = &p->session.guests,
		.root_fds = p->session.root_fds,
		.pools = p->pools,
		.jobs = vu_farm_jobs(c),
		.mtime_exact = c->mtime_exact,
		.max_xattr_bytes = c->max_xattr_bytes,
		.sink = &p->listener,
		.watch = &p->eviction.watch,
	};
	struct vu_linker_stats stats = {0};
	int r = plan->n_objects ? vu_linker_run(&env, plan, &stats) : 0;

	p->adopted.objects_new += stats.objects_new;
	if (stats.stopped_at)
		p->adopted.stopped_at = stats.stopped_at;
	return r == -EBUSY ? vu_recovery_awaited(p->ops) : r;
}

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)
VU_DEFINE_CLEANUP_DONE(struct vu_plan, vu_plan_done)

/* leads: those of the templates; else those of guests. Groups of one lead stand together. */
static int make_objects(struct propagate *p, bool leads_only)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *hash = vu_hash_new();
	vu_cleanup(vu_plan_done_p) struct vu_plan plan = {0};
	uint32_t last = VU_NONE;
	int r = hash ? 0 : -ENOMEM;

	plan.objects = calloc(p->groups.n + 1, sizeof(*plan.objects));
	if (!plan.objects)
		return -ENOMEM;
	for (size_t i = 0; !r && i < p->groups.n; i++) {
		const struct vu_follow_group *g = &p->groups.v[i];
		uint32_t inode = leads_only ? g->lead : g->inode;

		if (is_on(p, g) && (!leads_only || inode != last))
			r = add_to_plan(p, &plan, hash, inode);
		last = inode;
	}
	if (!r)
		r = run_linker(p, &plan);
	for (size_t i = 0; i < p->groups.n; i++) {
		const struct vu_follow_group *g = &p->groups.v[i];
		const struct vu_inode *n = inode_at(p, leads_only ? g->lead : g->inode);

		if (!r && is_on(p, g) && !(n->flags & VU_INODE_OBJECT))
			give_up(p, g, leads_only ? VU_FOLLOW_NO_OBJECT : VU_FOLLOW_SKIP, n->skip);
	}
	return r;
}

/* ---- names are led over ---- */

static int make_lead(const struct propagate *p, const struct vu_follow_group *g,
		     struct vu_lead *ret)
{
	const struct vu_tree *t = p->finds.farm.tree;
	const struct vu_inode *from = vu_tree_inode(t, g->inode), *into = vu_tree_inode(t, g->lead);

	*ret = (struct vu_lead){
		.it = {.guest = g->guest,
		       .fs = p->session.guest_fs[g->guest],
		       .key = *vu_tree_key(t, from->key),
		       .ino = from->ino,
		       .paths = calloc(g->n, sizeof(*ret->it.paths)),
		       .n_paths = g->n},
		.into = *vu_tree_key(t, into->key),
	};
	for (uint32_t i = 0; ret->it.paths && i < g->n; i++)
		ret->it.paths[i] = find_in(p, g, i)->path;
	return ret->it.paths ? 0 : -ENOMEM;
}

/* What could not be led over is told with one of its names. */
static void settle_names(const struct propagate *p)
{
	for (size_t i = 0; i < p->groups.n; i++) {
		const struct vu_follow_group *g = &p->groups.v[i];

		for (uint32_t k = 0; k < g->n; k++)
			if (find_in(p, g, k)->why == VU_FOLLOW_SKIP)
				give_up(p, g, VU_FOLLOW_SKIP, find_in(p, g, k)->skip);
	}
}

static int lead_names(struct propagate *p)
{
	struct vu_breaker_env env = {
		.guests = &p->session.guests,
		.root_fds = p->session.root_fds,
		.pools = p->pools,
		.n_pools = p->session.n_fs,
		.max_xattr_bytes = VU_XATTR_ANY,
		.sink = &p->listener,
		.watch = &p->eviction.watch,
	};
	size_t n = 0;
	int r = 0;

	p->leads = calloc(p->groups.n + 1, sizeof(*p->leads));
	if (!p->leads)
		return -ENOMEM;
	for (size_t i = 0; !r && i < p->groups.n; i++)
		if (is_on(p, &p->groups.v[i]))
			r = make_lead(p, &p->groups.v[i], &p->leads[n++]);
	if (p->ops->progress)
		vu_progress_begin(p->ops->progress, VU_PHASE_LINK, n, 0);
	if (!r && n)
		r = vu_lead_run(&env, p->leads, n, &p->led);
	settle_names(p);
	return r == -EBUSY ? vu_recovery_awaited(p->ops) : r;
}

static int carry_out(struct propagate *p)
{
	p->pools = calloc(p->session.n_fs + 1, sizeof(struct vu_pool *));
	if (!p->pools)
		return -ENOMEM;
	for (size_t i = 0; i < p->session.n_fs; i++)
		p->pools[i] = p->session.fs[i].pool;
	p->listener = (struct vu_sink){.fn = listen, .arg = p};
	int r = make_objects(p, true);

	if (!r)
		r = make_objects(p, false);
	if (!r)
		r = lead_names(p);
	/* also after a stop: what was done is to be remembered as it is */
	int e = vu_eviction_run(&p->eviction, false), c = vu_refresh_catalog(&p->session, &p->now);

	return r ? r : e ? e : c;
}

static int propagate(struct propagate *p)
{
	int r = note_templates(p);

	if (!r)
		r = vu_finds_make(&p->finds, &p->session, p->templates);
	if (!r)
		r = vu_follow_groups_make(&p->finds, &p->groups);
	if (r || p->o->dry_run || !p->groups.n)
		return r;
	return carry_out(p);
}

/* ---- what is told ---- */

static int explain(const struct propagate *p, int r)
{
	uint32_t at = p->led.stopped_fs ? p->led.stopped_fs : p->adopted.stopped_at;
	const char *on = at ? p->session.fs[at - 1].mount.point : NULL;

	switch (r) {
	case -ECANCELED:
		return vu_fail(p->ops, VU_OPS_CANCELLED, "stopped", NULL,
			       "everything is consistent, and the next run goes on from here",
			       NULL);
	case -ENOSPC:
	case -EDQUOT:
		return vu_fail(p->ops, VU_OPS_NO_SPACE, "cannot go on", on, strerror(-r),
			       "free some space and run it again; nothing is lost");
	default:
		if (r < 0 && !p->ops->problem->what)
			return vu_fail(p->ops, r, "cannot propagate", on, NULL, NULL);
		return r;
	}
}

static int report(struct propagate *p, struct vu_propagate_report *r)
{
	*r = (struct vu_propagate_report){
		.changes = p->finds.n_changes,
		.objects_new = p->adopted.objects_new,
		.objects_removed = p->led.objects_removed,
		.objects_evicted = p->eviction.stats.evicted,
		.read_bytes = p->finds.read_bytes,
		.frozen = vu_freezer_stats(p->eviction.freezing.freezer),
		.seconds = vu_run_seconds(&p->run),
	};
	return vu_propagate_report_guests(p->ops, p->o->dry_run, &p->finds, &p->session.guests, r);
}

static void close_all(struct propagate *p)
{
	for (size_t i = 0; p->leads && i < p->groups.n; i++)
		free(p->leads[i].it.paths);
	free(p->leads);
	vu_follow_groups_done(&p->groups);
	vu_finds_done(&p->finds);
	for (size_t i = 0; p->templates && i < p->session.guests.n; i++)
		vu_template_files_done(&p->templates[i]);
	free(p->templates);
	free(p->operands);
	free(p->pools);
	vu_scan_report_done(&p->now);
	vu_guests_done(&p->known);
	vu_eviction_close(&p->eviction);
	vu_session_close(&p->session);
}

int vu_ops_propagate(struct vu_ops *ops, const struct vu_propagate_options *o,
		     struct vu_propagate_report *ret_report)
{
	struct propagate p = {.ops = ops, .o = o, .session = {.lock_fd = -EBADF}};
	int r = open_all(&p);

	if (!r)
		r = propagate(&p);
	int c = report(&p, ret_report);

	r = explain(&p, r ? r : c);
	p.now.names_unified = ret_report->total.followed;
	if (p.run.id)
		vu_scan_record(&p.session, &p.run, &p.now, r);
	ret_report->warnings = p.session.warnings;
	ret_report->damages = p.session.damages;
	close_all(&p);
	return r;
}

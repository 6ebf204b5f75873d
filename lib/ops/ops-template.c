/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "db/catalog-guest.h"
#include "ops/session.h"
#include "ops/template-note.h"

VU_DEFINE_CLEANUP_DONE(struct vu_session, vu_session_close)
VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)
VU_DEFINE_CLEANUP_DONE(struct vu_templates, vu_templates_done)

void vu_templates_done(struct vu_templates *t)
{
	for (size_t i = 0; i < t->n; i++)
		vu_guest_done(&t->v[i].guest);
	free(t->v);
	*t = (struct vu_templates){0};
}

static uint64_t count_followers(const struct vu_guests *known, const char *domain)
{
	uint64_t n = 0;

	for (size_t i = 0; i < known->n; i++)
		n += known->v[i].id && !known->v[i].template && !strcmp(known->v[i].domain, domain);
	return n;
}

/* Appends g, which is taken over: its strings move. */
static int add(struct vu_session *s, const struct vu_guests *known, struct vu_guest *g,
	       struct vu_templates *to)
{
	struct vu_template *v = reallocarray(to->v, to->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	to->v = v;
	v += to->n;
	*v = (struct vu_template){.followers = count_followers(known, g->domain)};
	int r = vu_catalog_template_note(s->catalog, g->id, &v->note);

	if (r)
		return vu_session_catalog_failed(s, r);
	v->guest = *g;
	*g = (struct vu_guest){0};
	to->n++;
	return 0;
}

int vu_ops_template_list(struct vu_ops *ops, struct vu_templates *ret)
{
	vu_cleanup(vu_session_close_p) struct vu_session s;
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	vu_cleanup(vu_templates_done_p) struct vu_templates t = {0};
	int r = vu_session_open_catalog(&s, ops, 0);

	if (!r)
		r = vu_session_known_guests(&s, &known);
	/* whoever is taken out of the list has no domain there any more, and is no follower */
	for (size_t i = 0; !r && i < known.n; i++)
		if (known.v[i].template)
			r = add(&s, &known, &known.v[i], &t);
	if (r)
		return r;
	*ret = t;
	t = (struct vu_templates){0};
	return 0;
}

/* The only guest of the session, as it is now. */
static int report(struct vu_session *s, struct vu_templates *ret)
{
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	int r = vu_session_known_guests(s, &known);

	for (size_t i = 0; !r && i < known.n; i++)
		if (known.v[i].id == s->guests.v[0].id)
			return add(s, &known, &known.v[i], ret);
	return r;
}

static int set_template(struct vu_session *s, bool template)
{
	struct vu_guest *g = &s->guests.v[0];

	g->template = template;
	int r = vu_catalog_guest_update(s->catalog, g);

	return r ? vu_session_catalog_failed(s, r) : 0;
}

static int stopped(struct vu_ops *ops, int r)
{
	if (r == -ECANCELED)
		return vu_fail(ops, VU_OPS_CANCELLED, "stopped", NULL,
			       "the guest is a template, but is not noted yet",
			       "run it again; the next scan does it, too");
	if (r < 0 && !ops->problem->what)
		return vu_fail(ops, r, "cannot note the template", NULL, NULL, NULL);
	return r;
}

int vu_ops_template_add(struct vu_ops *ops, const char *guest, struct vu_templates *ret)
{
	vu_cleanup(vu_session_close_p) struct vu_session s = {.lock_fd = -EBADF};
	vu_cleanup(vu_templates_done_p) struct vu_templates t = {0};
	char *operands[] = {(char *)(uintptr_t)guest, NULL};
	int r = vu_session_open(&s, ops, VU_SESSION_WRITE, operands, 1);

	if (!r)
		r = vu_session_find_pools(&s);
	if (!r)
		r = set_template(&s, true);
	if (!r)
		r = vu_template_note(&s, 0, false, NULL, NULL);
	if (!r)
		r = report(&s, &t);
	if (r)
		return stopped(ops, r);
	t.warnings = s.warnings;
	*ret = t;
	t = (struct vu_templates){0};
	return 0;
}

/* Its root need not be there. */
static int find(struct vu_session *s, const char *name, struct vu_guests *known,
		struct vu_guest **ret)
{
	_cleanup_free_ char *real = realpath(name, NULL);
	int r = vu_session_known_guests(s, known);

	if (r)
		return r;
	*ret = vu_guests_find(known, name);
	if (!*ret && real)
		*ret = vu_guests_find(known, real);
	if (!*ret || !(*ret)->template)
		return vu_fail(s->ops, VU_OPS_USAGE, "no such template", name,
			       *ret ? "the guest is none" : "it is not registered",
			       "see `vunify template list`");
	return 0;
}

int vu_ops_template_remove(struct vu_ops *ops, const char *guest, struct vu_templates *ret)
{
	vu_cleanup(vu_session_close_p) struct vu_session s = {.lock_fd = -EBADF};
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	vu_cleanup(vu_templates_done_p) struct vu_templates t = {0};
	struct vu_guest *g;
	int r = vu_session_open_catalog(&s, ops, VU_SESSION_WRITE);

	if (!r)
		r = find(&s, guest, &known, &g);
	if (r)
		return r;
	g->template = false;
	r = vu_catalog_guest_update(s.catalog, g);
	if (!r) /* killed in between: what was noted is there for nobody, and goes with the guest */
		r = vu_catalog_template_forget(s.catalog, g->id);
	if (r)
		return vu_session_catalog_failed(&s, r);
	g->template = true; /* as it was */
	r = add(&s, &known, g, &t);
	if (r)
		return r;
	*ret = t;
	t = (struct vu_templates){0};
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-guests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "db/catalog-guest.h"
#include "db/catalog-run.h"
#include "ops/session.h"
#include "scan/exclude.h"

VU_DEFINE_CLEANUP_DONE(struct vu_session, vu_session_close)

int vu_ops_guests_list(struct vu_ops *ops, struct vu_guests *ret_guests)
{
	vu_cleanup(vu_session_close_p) struct vu_session s;
	int r = vu_session_open_catalog(&s, ops, 0);

	return r ? r : vu_session_known_guests(&s, ret_guests);
}

/* ---- one change ---- */

static int check_rules(const struct vu_ops *ops, char *const *rules)
{
	struct vu_exclude_error err;

	for (char *const *r = rules; r && *r; r++)
		if (vu_exclude_check(*r, &err))
			return vu_fail(ops, VU_OPS_USAGE, "cannot use the rule", *r, err.why,
				       "see exclude and include in vunify.conf(5)");
	return 0;
}

static int set_string(char **to, const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int append_rules(struct vu_guest *g, char *const *rules)
{
	size_t n = 0;

	while (g->rules && g->rules[n])
		n++;
	for (; rules && *rules; rules++, n++) {
		char **v = reallocarray(g->rules, n + 2, sizeof(*v));

		if (!v)
			return -ENOMEM;
		g->rules = v;
		v[n + 1] = NULL;
		v[n] = strdup(*rules);
		if (!v[n])
			return -ENOMEM;
	}
	return 0;
}

static void clear_rules(struct vu_guest *g)
{
	for (char **r = g->rules; r && *r; r++)
		free(*r);
	free(g->rules);
	g->rules = NULL;
}

static int apply(struct vu_guest *g, const struct vu_guest_change *c)
{
	int r = 0;

	if (c->name)
		r = set_string(&g->name, c->name);
	if (!r && c->domain)
		r = set_string(&g->domain, c->domain);
	if (c->clear_rules)
		clear_rules(g);
	if (!r)
		r = append_rules(g, c->rules);
	if (c->set_trust)
		g->trust = c->trust;
	return r;
}

/* Everything that makes no sense is found before anything is changed. */
static int check_change(struct vu_session *s, const struct vu_guests *known, uint32_t me,
			const struct vu_guest_change *c)
{
	if (c->name && !vu_guest_name_ok(c->name))
		return vu_fail(s->ops, VU_OPS_USAGE, "cannot use the name", c->name,
			       "a guest's name is not empty, has no '/', and at most 255 bytes",
			       NULL);
	for (size_t i = 0; c->name && i < known->n; i++)
		if (known->v[i].id != me && !strcmp(known->v[i].name, c->name))
			return vu_fail(s->ops, VU_OPS_USAGE, "cannot use the name", c->name,
				       "another guest has it", "see `vunify guests`");
	return check_rules(s->ops, c->rules);
}

static int save_guest(struct vu_session *s, struct vu_guest *g, struct vu_guest *ret_guest)
{
	int r = g->id ? vu_catalog_guest_update(s->catalog, g)
		      : vu_catalog_guest_add(s->catalog, g);

	if (r)
		return vu_session_catalog_failed(s, r);
	*ret_guest = *g;
	*g = (struct vu_guest){0};
	return 0;
}

VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)
VU_DEFINE_CLEANUP_DONE(struct vu_guest, vu_guest_done)

int vu_ops_guests_add(struct vu_ops *ops, const char *root, const struct vu_guest_change *change,
		      struct vu_guest *ret_guest)
{
	vu_cleanup(vu_session_close_p) struct vu_session s;
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	vu_cleanup(vu_guest_done_p) struct vu_guest g = {0};
	int r = vu_session_open_catalog(&s, ops, VU_SESSION_WRITE);

	if (!r)
		r = vu_session_known_guests(&s, &known);
	if (!r)
		r = check_change(&s, &known, 0, change);
	if (!r)
		r = vu_session_make_guest(&s, &known, root, &g);
	if (!r && g.id)
		r = vu_fail(ops, VU_OPS_USAGE, "cannot add the guest", root,
			    "it is registered already", "see `vunify guests`");
	if (!r)
		r = apply(&g, change);
	return r ? r : save_guest(&s, &g, ret_guest);
}

/* Opens the catalog and takes the guest out of its list. */
static int open_one(struct vu_session *s, struct vu_ops *ops, const char *name,
		    struct vu_guests *known, struct vu_guest *ret)
{
	int r = vu_session_open_catalog(s, ops, VU_SESSION_WRITE);

	if (!r)
		r = vu_session_known_guests(s, known);
	if (r)
		return r;
	_cleanup_free_ char *real = realpath(name, NULL);
	struct vu_guest *g = vu_guests_find(known, name);

	if (!g && real)
		g = vu_guests_find(known, real);
	if (!g)
		return vu_fail(ops, VU_OPS_USAGE, "no such guest", name, "it is not registered",
			       "see `vunify guests`");
	*ret = *g;
	*g = known->v[--known->n];
	return 0;
}

int vu_ops_guests_remove(struct vu_ops *ops, const char *guest, struct vu_guest *ret_guest)
{
	vu_cleanup(vu_session_close_p) struct vu_session s = {.lock_fd = -EBADF};
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	vu_cleanup(vu_guest_done_p) struct vu_guest g = {0};
	int r = open_one(&s, ops, guest, &known, &g);

	if (r)
		return r;
	r = vu_catalog_guest_remove(s.catalog, g.id);
	if (r)
		return vu_session_catalog_failed(&s, r);
	*ret_guest = g;
	g = (struct vu_guest){0};
	return 0;
}

/* What is shared with a domain would stay so when the guest leaves it. */
static int check_domain(struct vu_session *s, const struct vu_guest *g, const char *domain)
{
	struct vu_guest_stat stat;
	int r;

	if (!domain || !strcmp(domain, g->domain))
		return 0;
	r = vu_catalog_guest_stat(s->catalog, g->id, &stat);
	if (r)
		return vu_session_catalog_failed(s, r);
	return stat.unified ? vu_fail(s->ops, VU_OPS_REFUSED, "cannot change the domain of",
				      g->name, "it shares files with the guests of its domain",
				      "`vunify unmerge` it first")
			    : 0;
}

int vu_ops_guests_set(struct vu_ops *ops, const char *guest, const struct vu_guest_change *change,
		      struct vu_guest *ret_guest)
{
	vu_cleanup(vu_session_close_p) struct vu_session s = {.lock_fd = -EBADF};
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	vu_cleanup(vu_guest_done_p) struct vu_guest g = {0};
	int r = open_one(&s, ops, guest, &known, &g);

	if (!r)
		r = check_change(&s, &known, g.id, change);
	if (!r)
		r = check_domain(&s, &g, change->domain);
	if (!r)
		r = apply(&g, change);
	return r ? r : save_guest(&s, &g, ret_guest);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/rebuild.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "db/catalog-rebuild.h"

static int failed(struct vu_session *s, int r)
{
	const char *todo = "see --catalog, and `catalog =` in vunify.conf";
	const char *why = NULL;

	if (r == -EISDIR || r == -EINVAL)
		why = "it is no regular file, so it was none of vunify's";
	if (r == -ENOSPC || r == -EDQUOT) {
		why = "no space is left there";
		todo = "free some space; the old one is as it was";
	}
	return vu_fail(s->ops, r == -ENOSPC || r == -EDQUOT ? VU_OPS_NO_SPACE : r,
		       "cannot rebuild the catalog", s->ops->config->catalog, why, todo);
}

/* The admin knows what was set for a guest; all that is known here is what cannot be proven. */
static int tell_unproven(struct vu_session *s, const struct vu_guest *g)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text,
		     "not kept: what the old catalog says of it is damaged (root %s, domain '%s'); "
		     "`vunify guests add` it with the domain, rules and trust that it had",
		     g->path, g->domain) < 0)
		return -ENOMEM;
	vu_emit(&s->counting,
		&(struct vu_event){.kind = VU_EVENT_WARN, .guest = g->name, .text = text});
	return 0;
}

static int tell(struct vu_session *s, const struct vu_catalog_rebuilt *b, bool dry_run)
{
	_cleanup_free_ char *text = NULL;
	int r = 0;

	for (size_t i = 0; !r && i < b->unproven.n; i++)
		r = tell_unproven(s, &b->unproven.v[i]);
	if (r)
		return r;
	if (b->some_lost)
		vu_emit(&s->counting,
			&(struct vu_event){
				.kind = VU_EVENT_WARN,
				.text = "there may be guests that the old catalog could not tell: see "
					"`vunify guests`, and `vunify guests add` those missing "
					"with the domain, rules and trust that they had",
			});
	if (asprintf(&text,
		     "%s with %zu guests; digests, history and figures come with the next scan%s%s",
		     dry_run ? "would be made anew" : "made anew", b->kept.n,
		     b->aside ? "; the old one is " : "", b->aside ? b->aside : "") < 0) {
		text = NULL;
		return -ENOMEM;
	}
	vu_emit(&s->counting, &(struct vu_event){.kind = VU_EVENT_RECOVER,
						 .path = s->ops->config->catalog,
						 .text = text});
	return 0;
}

int vu_rebuild_catalog(struct vu_session *s, bool dry_run)
{
	vu_cleanup(vu_catalog_rebuilt_done_p) struct vu_catalog_rebuilt b = {0};
	int r = vu_catalog_rebuild(s->ops->config->catalog, dry_run, &b);

	if (r)
		return failed(s, r);
	r = tell(s, &b, dry_run);
	return r ? vu_fail(s->ops, r, "cannot tell what was kept", NULL, NULL, NULL) : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "scan/exclude.h"

#define META_PREFIX "rules-of-guest-"

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

static void add_text(struct vu_hash *h, const char *s)
{
	vu_hash_add(h, s, strlen(s) + 1);
}

static void add_list(struct vu_hash *h, char *const *list)
{
	for (; list && *list; list++)
		add_text(h, *list);
	add_text(h, "");
}

/* One number for each guest: guests may be scanned in other combinations the next time. */
static int digest_of(const struct vu_config *c, const struct vu_guest *g, int64_t *ret)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *h = vu_hash_new();
	uint64_t numbers[] = {
		c->min_size,  c->max_size,  c->mtime_exact,	c->unify_setid,		c->mode,
		c->max_depth, c->max_files, c->max_xattr_bytes, c->max_package_db_bytes};
	uint8_t digest[VU_HASH_BYTES];

	if (!h)
		return -ENOMEM;
	vu_hash_begin(h);
	vu_hash_add(h, numbers, sizeof(numbers));
	add_list(h, c->exclude);
	add_list(h, g->rules);
	add_text(h, g->domain);
	int r = vu_hash_end(h, digest);

	memcpy(ret, digest, sizeof(*ret));
	return r;
}

static void meta_name(const struct vu_guest *g, char *name, size_t size)
{
	snprintf(name, size, META_PREFIX "%u", g->id);
}

bool vu_rules_changed(struct vu_session *s)
{
	char name[64];
	int64_t now, then;

	for (size_t i = 0; i < s->guests.n; i++) {
		meta_name(&s->guests.v[i], name, sizeof(name));
		if (digest_of(s->ops->config, &s->guests.v[i], &now) ||
		    vu_catalog_meta_get(s->catalog, name, &then) || now != then)
			return true;
	}
	return false;
}

int vu_rules_remember(struct vu_session *s)
{
	char name[64];
	int64_t now, then;
	int r = 0;

	for (size_t i = 0; !r && i < s->guests.n; i++) {
		meta_name(&s->guests.v[i], name, sizeof(name));
		r = digest_of(s->ops->config, &s->guests.v[i], &now);
		if (!r)
			r = vu_catalog_meta_get(s->catalog, name, &then);
		if (!r && now != then)
			r = vu_catalog_meta_set(s->catalog, name, now);
	}
	return r;
}

const char *vu_rules_wrong(const char *rule)
{
	struct vu_exclude_error err;

	return vu_exclude_check(rule, &err) ? err.why : NULL;
}

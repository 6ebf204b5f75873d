/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "scan/exclude.h"

#define RULES_PREFIX "rules-of-guest-"
#define COMPANY_PREFIX "company-of-guest-"

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

static int compare_ids(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Of the guests of the run that can share with the i-th: a set, so their order is no matter. */
static int digest_of_company(const struct vu_session *s, size_t i, int64_t *ret)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *h = vu_hash_new();
	_cleanup_free_ uint32_t *ids = calloc(s->guests.n, sizeof(*ids));
	uint8_t digest[VU_HASH_BYTES], fs = vu_session_shares_with(s, s->guest_fs[i]);
	size_t n = 0;

	if (!h || !ids)
		return -ENOMEM;
	for (size_t k = 0; k < s->guests.n; k++)
		if (vu_session_shares_with(s, s->guest_fs[k]) == fs)
			ids[n++] = s->guests.v[k].id;
	qsort(ids, n, sizeof(*ids), compare_ids);
	vu_hash_begin(h);
	vu_hash_add(h, ids, n * sizeof(*ids));
	int r = vu_hash_end(h, digest);

	memcpy(ret, digest, sizeof(*ret));
	return r;
}

static int set(struct vu_session *s, const char *name, int64_t now)
{
	int64_t then;
	int r = vu_catalog_meta_get(s->catalog, name, &then);

	return r || now == then ? r : vu_catalog_meta_set(s->catalog, name, now);
}

bool vu_rules_changed(struct vu_session *s)
{
	char name[64];
	int64_t now, then;

	for (size_t i = 0; i < s->guests.n; i++) {
		snprintf(name, sizeof(name), RULES_PREFIX "%u", s->guests.v[i].id);
		if (digest_of(s->ops->config, &s->guests.v[i], &now) ||
		    vu_catalog_meta_get(s->catalog, name, &then) || now != then)
			return true;
	}
	return false;
}

int vu_rules_remember(struct vu_session *s)
{
	char name[64];
	int64_t now;
	int r = 0;

	for (size_t i = 0; !r && i < s->guests.n; i++) {
		snprintf(name, sizeof(name), RULES_PREFIX "%u", s->guests.v[i].id);
		r = digest_of(s->ops->config, &s->guests.v[i], &now);
		if (!r)
			r = set(s, name, now);
	}
	return r;
}

bool vu_rules_company_changed(struct vu_session *s)
{
	char name[64];
	int64_t now, then;

	for (size_t i = 0; i < s->guests.n; i++) {
		snprintf(name, sizeof(name), COMPANY_PREFIX "%u", s->guests.v[i].id);
		if (digest_of_company(s, i, &now) || vu_catalog_meta_get(s->catalog, name, &then) ||
		    now != then)
			return true;
	}
	return false;
}

int vu_rules_company_remember(struct vu_session *s, bool compared)
{
	char name[64];
	int64_t now;
	int r = 0;

	for (size_t i = 0; !r && i < s->guests.n; i++) {
		snprintf(name, sizeof(name), COMPANY_PREFIX "%u", s->guests.v[i].id);
		r = digest_of_company(s, i, &now);
		if (!r) /* another digest is one of another company */
			r = set(s, name, compared ? now : ~now);
	}
	return r;
}

const char *vu_rules_wrong(const char *rule)
{
	struct vu_exclude_error err;

	return vu_exclude_check(rule, &err) ? err.why : NULL;
}

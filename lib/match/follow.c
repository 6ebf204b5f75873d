/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rule. A template's file changed from A to B while its packages stayed the same; so B is A, post-
 * processed. A guest that has A at that path, with the attributes that the template's A had, of the same
 * packages, may have B in its place: the same was to be done there.
 *
 * A template may have been noted several times between (A, B, C), and a guest may come late, or from
 * an old backup: whatever the template was before, in the same packages, leads to what it is now. It may go
 * back, too (B, A): then a guest that has B follows it back. An upgrade ends all that.
 */
#include "match/follow.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

static const struct {
	const char *name;
	const char *text;
} words[VU_FOLLOW_N] = {
	[VU_FOLLOW_YES] = {"pending", "not reached before the run was stopped"},
	[VU_FOLLOW_SAME] = {"same", "it has the template's content already"},
	[VU_FOLLOW_DIFFERS] = {"differs", "it is neither what the template has nor what it had"},
	[VU_FOLLOW_ATTRIBUTES] = {"attributes", "its mode, owner, extended attributes or flags are "
						"not those that the template's file had"},
	[VU_FOLLOW_VERSION] = {"version", "the guest has not the same version of the packages that "
					  "the path belongs to"},
	[VU_FOLLOW_EXCLUDED] = {"excluded",
				"excluded in the guest, by a rule or as a configuration "
				"file"},
	[VU_FOLLOW_LINKS] = {"links", "its hard links are others than in the template"},
	[VU_FOLLOW_TEMPLATES] = {"templates", "two templates have it in different versions"},
	[VU_FOLLOW_NO_OBJECT] = {"no-object", "the template's file cannot be shared now"},
	[VU_FOLLOW_SKIP] = {"skipped", "see the reasons of vunify scan"},
};

const char *vu_follow_name(enum vu_follow f)
{
	return (unsigned)f < VU_FOLLOW_N ? words[f].name : "unknown";
}

const char *vu_follow_text(enum vu_follow f)
{
	return (unsigned)f < VU_FOLLOW_N ? words[f].text : "unknown";
}

static bool same_digest(const struct vu_digest *a, const struct vu_digest *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static bool same_attr(const struct vu_attr *a, const struct vu_attr *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->flags == b->flags &&
	       same_digest(&a->xattrs, &b->xattrs);
}

bool vu_follow_is(const struct vu_template_version *v, const struct vu_digest *content,
		  const struct vu_attr *attr)
{
	return same_digest(&v->content, content) && same_attr(&v->attr, attr);
}

static bool same_version(const struct vu_template_version *a, const struct vu_template_version *b)
{
	return vu_follow_is(a, &b->content, &b->attr);
}

enum vu_follow vu_follow_decide(const struct vu_template_file *f, const struct vu_digest *packages,
				const struct vu_follow_side *guest)
{
	bool known = false, equal = false;

	if (same_digest(guest->content, &f->v[0].content))
		return VU_FOLLOW_SAME;
	for (unsigned i = 1; i < f->n; i++) {
		if (!same_digest(guest->content, &f->v[i].content))
			continue;
		known = true;
		equal = equal || same_attr(guest->attr, &f->v[i].attr);
	}
	if (!known)
		return VU_FOLLOW_DIFFERS;
	if (!guest->packages || !same_digest(guest->packages, packages))
		return VU_FOLLOW_VERSION;
	return equal ? VU_FOLLOW_YES : VU_FOLLOW_ATTRIBUTES;
}

bool vu_follow_has_changed(const struct vu_template_file *f)
{
	for (unsigned i = 1; i < f->n; i++)
		if (!same_digest(&f->v[i].content, &f->v[0].content))
			return true;
	return false;
}

/* The i-th becomes the first. */
static void move_to_front(struct vu_template_file *f, unsigned i)
{
	struct vu_template_version v = f->v[i];

	memmove(&f->v[1], &f->v[0], i * sizeof(*f->v));
	f->v[0] = v;
}

int vu_follow_note(struct vu_template_file *f, const struct vu_template_version *v)
{
	unsigned i = 0;

	if (f->n && !same_digest(&f->v[0].packages, &v->packages))
		f->n = 0;
	while (i < f->n && !same_version(&f->v[i], v))
		i++;
	if (f->n && !i)
		return 0;
	if (i == f->n) {
		int r = vu_template_file_push(f, v);

		if (r)
			return r;
	}
	move_to_front(f, i);
	f->n = VU_MIN(f->n, (unsigned)VU_TEMPLATE_VERSIONS);
	return 1;
}

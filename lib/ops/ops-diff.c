/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "db/catalog-run.h"
#include "ops/apart.h"
#include "ops/digest-now.h"
#include "ops/session.h"
#include "scan/sides.h"

struct comparing {
	struct vu_session s;
	const struct vu_diff_options *o;
	struct vu_diff_report *report;
	struct vu_digest_now digests;
	struct vu_apart *apart; /* owned */
};

static void tell(struct comparing *c, unsigned side, const char *path, int err, const char *text)
{
	vu_emit(&c->s.counting, &(struct vu_event){.kind = VU_EVENT_WARN,
						   .guest = c->s.guests.v[side].name,
						   .path = path,
						   .err = text ? 0 : err,
						   .text = text});
}

static void on_trouble(void *arg, unsigned side, const char *path, int err, const char *text)
{
	struct comparing *c = arg;

	if (err == -EXDEV)
		c->report->guests[side].other_fs++;
	else
		tell(c, side, path, err, text);
}

/* Are two files of one size equal? Returns 1, 0; VU_DIFF_UNKNOWN after a warning; or a negative errno. */
static int is_equal(struct comparing *c, const struct vu_sides_file *f)
{
	struct vu_digest digest[2];

	if (!f->st[0].version.size)
		return 1;
	for (unsigned i = 0; i < 2; i++) {
		int r = vu_digest_now(&c->digests, i, f->dir[i], f->name, &f->st[i], &digest[i]);

		if (r == -ENOMEM || r == -ECANCELED)
			return r;
		if (r) {
			tell(c, i, f->path, r,
			     r == VU_DIGEST_NOW_CHANGED ? "it changed while it was looked at"
			     : r == VU_DIGEST_NOW_HOLES ? "it has too many holes to be read"
							: NULL);
			return VU_DIFF_UNKNOWN;
		}
	}
	return !memcmp(&digest[0], &digest[1], sizeof(digest[0]));
}

static int judge(struct comparing *c, const struct vu_sides_file *f, struct vu_diff_file *ret)
{
	const struct vu_version *a = &f->st[0].version, *b = &f->st[1].version;

	ret->kind = VU_DIFF_DIFFERENT;
	if (f->kind[0] == VU_SIDE_NONE || f->kind[1] == VU_SIDE_NONE) {
		ret->kind = f->kind[0] == VU_SIDE_NONE ? VU_DIFF_B : VU_DIFF_A;
		return 0;
	}
	if (f->kind[0] != f->kind[1] || a->size != b->size)
		return 0;
	if (a->dev == b->dev && a->ino == b->ino) {
		ret->kind = VU_DIFF_SHARED;
		return 0;
	}
	int r = is_equal(c, f);

	if (r < 0 || r == VU_DIFF_UNKNOWN)
		ret->kind = VU_DIFF_UNKNOWN;
	if (r != 1)
		return r < 0 ? r : 0;
	ret->kind = VU_DIFF_EQUAL;
	r = vu_apart_why(c->apart, f, &ret->skip);
	if (r && r != -ENOMEM) /* it is gone again, say: why does not matter */
		ret->skip = VU_SKIP_CHANGED;
	return r == -ENOMEM ? r : 0;
}

static int on_file(void *arg, const struct vu_sides_file *f)
{
	struct comparing *c = arg;
	struct vu_diff_file d = {
		.path = f->path,
		.size = f->st[f->kind[0] == VU_SIDE_FILE ? 0 : 1].version.size,
	};
	int r = judge(c, f, &d);

	if (r)
		return r;
	c->report->kinds[d.kind].files++;
	c->report->kinds[d.kind].bytes += d.size;
	if (d.kind == VU_DIFF_EQUAL)
		c->report->skips[d.skip]++;
	if (c->s.ops->progress)
		vu_progress_add(c->s.ops->progress, 1, 0);
	if (c->o->file)
		c->o->file(c->o->arg, &d);
	return 0;
}

/* Which guests they are, and how old what the catalog knows of them is. */
static int tell_guests(struct comparing *c)
{
	int r = 0;

	for (unsigned i = 0; !r && i < 2; i++) {
		const struct vu_guest *g = &c->s.guests.v[i];

		c->report->guests[i].name = strdup(g->name);
		c->report->guests[i].path = strdup(g->path);
		if (!c->report->guests[i].name || !c->report->guests[i].path)
			return -ENOMEM;
		if (c->s.catalog && g->id)
			r = vu_catalog_looked_at(c->s.catalog, g->id,
						 &c->report->guests[i].looked_ns);
		if (r)
			r = vu_session_catalog_lost(&c->s, r);
	}
	return r;
}

static int compare(struct comparing *c)
{
	const struct vu_sides sides = {
		.root = {c->s.root_fds[0], c->s.root_fds[1]},
		.max_depth = c->s.ops->config->max_depth,
		.file = on_file,
		.trouble = on_trouble,
		.arg = c,
	};
	int r = vu_digest_now_init(&c->digests, &c->s);

	c->digests.read_all = c->o->read_all;
	if (!r)
		r = vu_apart_new(&c->s, &c->digests, &c->apart);
	if (!r && c->s.ops->progress)
		vu_progress_begin(c->s.ops->progress, VU_PHASE_WALK, 0, 0);
	if (!r)
		r = vu_sides_walk(&sides);
	c->report->recorded = c->digests.recorded;
	c->report->read = c->digests.read;
	c->report->read_bytes = c->digests.read_bytes;
	vu_apart_free(c->apart);
	vu_digest_now_done(&c->digests);
	return r;
}

int vu_ops_diff(struct vu_ops *ops, const struct vu_diff_options *o, struct vu_diff_report *ret)
{
	struct comparing c = {.o = o, .report = ret};
	char *operands[] = {(char *)(uintptr_t)o->guests[0], (char *)(uintptr_t)o->guests[1], NULL};
	int64_t began = vu_clock_ns();

	*ret = (struct vu_diff_report){0};
	int r = vu_session_open(&c.s, ops, VU_SESSION_NO_CATALOG, operands, 2);

	if (!r && c.s.guests.n != 2)
		r = vu_fail(ops, VU_OPS_USAGE, "cannot compare", o->guests[1],
			    "it is the same guest twice", "name two guests");
	if (!r)
		r = vu_session_find_pools(&c.s);
	if (!r)
		r = tell_guests(&c);
	if (!r)
		r = compare(&c);
	if (r == -ECANCELED)
		r = vu_fail(ops, VU_OPS_CANCELLED, "stopped", NULL, NULL, NULL);
	ret->warnings = c.s.warnings;
	ret->seconds = (double)(vu_clock_ns() - began) / 1e9;
	vu_session_close(&c.s);
	return r < 0 && !ops->problem->what ? vu_fail(ops, r, "cannot compare", NULL, NULL, NULL)
					    : r;
}

void vu_diff_done(struct vu_diff_report *r)
{
	for (unsigned i = 0; i < 2; i++) {
		free(r->guests[i].name);
		free(r->guests[i].path);
	}
	*r = (struct vu_diff_report){0};
}

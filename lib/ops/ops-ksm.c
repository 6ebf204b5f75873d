/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-ksm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "mem/census.h"
#include "mem/inject-call.h"
#include "ops/farm.h"
#include "ops/ksm-guests.h"

#define PASSES 5 /* over processes that were started meanwhile */

/* Linux 6.4; Debian 12's headers have them not. */
#define SET_MEMORY_MERGE 67

static int no_ksm(struct vu_ops *ops, int r)
{
	if (r == VU_KSM_NONE)
		return vu_fail(ops, VU_OPS_REFUSED, "cannot merge pages", "/sys/kernel/mm/ksm",
			       "this kernel has no KSM", "use one with CONFIG_KSM");
	return vu_fail(ops, r, "cannot read", "/sys/kernel/mm/ksm", NULL, NULL);
}

/* ---- status ---- */

/* The row of a process, or SIZE_MAX: of a guest that was not asked for. */
static size_t row_of(const struct vu_ksm_guests *k, const struct vu_ksm_member *m)
{
	if (m->guest == VU_KSM_NO_GUEST)
		return k->of.guests.n;
	return vu_ksm_guests_has(k, m->guest) ? m->guest : SIZE_MAX;
}

static void count_member(struct vu_ksm_row *row, const struct vu_ksm_member *m)
{
	row->processes++;
	row->unknown += !m->ksm.known;
	if (!vu_ksm_is_in(&m->ksm))
		return;
	row->opted_in++;
	row->rmap_items += m->ksm.rmap_items;
	row->kernel_profit_bytes += m->ksm.profit_bytes;
}

static unsigned count_domains(const struct vu_ksm_guests *k)
{
	unsigned n = 0;

	for (size_t i = 0; i < k->n; i++) {
		const struct vu_ksm_member *m = &k->v[i];
		bool is_new = vu_ksm_is_in(&m->ksm);

		for (size_t j = 0; is_new && j < i; j++) {
			const struct vu_ksm_member *o = &k->v[j];

			if (!vu_ksm_is_in(&o->ksm))
				continue;
			if (m->guest == VU_KSM_NO_GUEST || o->guest == VU_KSM_NO_GUEST)
				is_new = m->guest != o->guest;
			else
				is_new = strcmp(k->all.guests.v[m->guest].domain,
						k->all.guests.v[o->guest].domain) != 0;
		}
		n += is_new;
	}
	return n;
}

/* What is saved, in frames: not by the kernel's counters. */
static int count_frames(struct vu_ops *ops, const struct vu_ksm_guests *k, struct vu_ksm_status *s)
{
	_cleanup_free_ struct vu_census_subject *subject = calloc(k->n + 1, sizeof(*subject));
	struct vu_census_options o = {
		.subject = subject,
		.n_owners = s->n,
		.jobs = vu_farm_jobs(ops->config),
		.frames_only = true,
		.progress = ops->progress,
	};
	struct vu_census c;

	if (!subject)
		return -ENOMEM;
	for (size_t i = 0; i < k->n; i++) {
		const struct vu_ksm_member *m = &k->v[i];
		size_t row = row_of(k, m);

		if (row != SIZE_MAX && vu_ksm_is_in(&m->ksm))
			subject[o.n++] = (struct vu_census_subject){
				m->pid, vu_census_started(m->pid), (uint16_t)row, 0};
	}
	int r = vu_census_take(&o, &c);

	if (r == VU_CENSUS_HIDDEN || r == -ETIMEDOUT)
		return 0; /* frames_known stays false */
	if (r)
		return r == -ECANCELED ? VU_OPS_CANCELLED
				       : vu_fail(ops, r, "cannot count frames", NULL, NULL, NULL);
	s->frames_known = true;
	s->places = c.total.merged;
	s->total.freed = c.total.merged_maps - c.total.merged;
	for (size_t i = 0; i < s->n; i++) {
		struct vu_ksm_row *row = &s->row[i];

		row->frames = c.owner[i].frames;
		row->merged = c.owner[i].merged_maps;
		row->zero_maps = c.owner[i].zero_maps;
		if (row->merged)
			row->freed = (uint64_t)((double)s->total.freed * (double)row->merged /
							(double)c.total.merged_maps +
						0.5);
	}
	vu_census_done(&c);
	return 0;
}

static int name_rows(const struct vu_ksm_guests *k, struct vu_ksm_status *s)
{
	s->row = calloc(k->of.guests.n + 1, sizeof(*s->row));
	if (!s->row)
		return -ENOMEM;
	s->n = k->of.guests.n + 1;
	for (size_t i = 0; i < k->of.guests.n; i++) {
		s->row[i].name = strdup(k->of.guests.v[i].name);
		s->row[i].domain = strdup(k->of.guests.v[i].domain);
		if (!s->row[i].name || !s->row[i].domain)
			return -ENOMEM;
	}
	return 0;
}

static void sum_up(struct vu_ksm_status *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct vu_ksm_row *row = &s->row[i];

		s->total.processes += row->processes;
		s->total.opted_in += row->opted_in;
		s->total.frames += row->frames;
		s->total.merged += row->merged;
		s->total.zero_maps += row->zero_maps;
		s->total.rmap_items += row->rmap_items;
		s->total.kernel_profit_bytes += row->kernel_profit_bytes;
		s->total.unknown += row->unknown;
	}
}

static int fill(struct vu_ops *ops, const struct vu_ksm_guests *k, struct vu_ksm_status *s)
{
	int r = name_rows(k, s);

	for (size_t i = 0; !r && i < k->n; i++) {
		size_t row = row_of(k, &k->v[i]);

		if (row != SIZE_MAX)
			count_member(&s->row[row], &k->v[i]);
	}
	if (!r)
		r = count_frames(ops, k, s);
	if (r)
		return r;
	if (!s->row[s->n - 1].opted_in) /* the rest of the host */
		s->n--;
	sum_up(s);
	s->n_domains = count_domains(k);
	return 0;
}

int vu_ops_ksm_status(struct vu_ops *ops, char *const *guests, size_t n, struct vu_ksm_status *ret)
{
	struct vu_ksm_status s = {.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE)};
	struct vu_ksm_guests k;
	int r = vu_ksm_read(&s.kernel);

	if (r)
		return no_ksm(ops, r);
	r = vu_ksm_guests_open(&k, ops, guests, n);
	if (!r)
		r = fill(ops, &k, &s);
	vu_ksm_guests_close(&k);
	if (r)
		vu_ksm_status_done(&s);
	else
		*ret = s;
	return r;
}

void vu_ksm_status_done(struct vu_ksm_status *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->row[i].name);
		free(s->row[i].domain);
	}
	free(s->row);
	*s = (struct vu_ksm_status){0};
}

/* ---- attach and detach ---- */

struct changing {
	struct vu_ops *ops;
	const struct vu_ksm_change_options *o;
	struct vu_ksm_guests k;
	struct vu_ksm_change *ret;
	char **guests; /* owned; borrowed strings: operands that are no numbers */
	size_t n_guests;
	pid_t *pids; /* owned */
	bool *found; /* owned; of pids */
	size_t n_pids;
};

static bool is_number(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

static int sort_operands(struct changing *c)
{
	c->guests = calloc(c->o->n + 1, sizeof(*c->guests));
	c->pids = calloc(c->o->n + 1, sizeof(*c->pids));
	c->found = calloc(c->o->n + 1, sizeof(*c->found));
	if (!c->guests || !c->pids || !c->found)
		return -ENOMEM;
	for (size_t i = 0; i < c->o->n; i++) {
		char *s = c->o->operands[i];
		unsigned long pid = is_number(s) ? strtoul(s, NULL, 10) : 0;

		if (!is_number(s))
			c->guests[c->n_guests++] = s;
		else if (pid && pid <= INT_MAX)
			c->pids[c->n_pids++] = (pid_t)pid;
		else
			return vu_fail(c->ops, VU_OPS_USAGE, "there is no such process", s, NULL,
				       NULL);
	}
	return 0;
}

/* The index in pids, or SIZE_MAX. */
static size_t find_pid(const struct changing *c, pid_t pid)
{
	for (size_t i = 0; i < c->n_pids; i++)
		if (c->pids[i] == pid)
			return i;
	return SIZE_MAX;
}

static bool is_meant(const struct changing *c, const struct vu_ksm_member *m)
{
	return find_pid(c, m->pid) != SIZE_MAX ||
	       (c->n_guests && m->guest != VU_KSM_NO_GUEST && vu_ksm_guests_has(&c->k, m->guest));
}

/* May all that are meant be opted in, together and beside those that are? */
static int check_domains(struct changing *c)
{
	const struct vu_guest *all = c->k.all.guests.v;
	size_t first = VU_KSM_NO_GUEST;
	int r = 0;

	for (size_t i = 0; !r && i < c->k.n; i++) {
		const struct vu_ksm_member *m = &c->k.v[i];

		if (!is_meant(c, m) || m->guest == VU_KSM_NO_GUEST)
			continue;
		if (first == VU_KSM_NO_GUEST)
			first = m->guest;
		if (strcmp(all[first].domain, all[m->guest].domain) != 0)
			return vu_fail(
				c->ops, VU_OPS_REFUSED, "refused for the guest", all[m->guest].path,
				"it is of another domain than others that were named, and KSM "
				"merges across all of them",
				"name guests of one domain, or use --across-domains");
		r = vu_ksm_guests_may(&c->k, m->guest);
	}
	return r;
}

static int add_row(struct changing *c, const struct vu_ksm_member *m, enum vu_ksm_fate fate,
		   const char *why)
{
	struct vu_ksm_change *to = c->ret;
	const char *guest = m->guest == VU_KSM_NO_GUEST ? NULL : c->k.all.guests.v[m->guest].name;
	struct vu_ksm_process_row *v = reallocarray(to->row, to->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	to->row = v;
	v[to->n] = (struct vu_ksm_process_row){
		.pid = m->pid,
		.program = strdup(m->name),
		.guest = guest ? strdup(guest) : NULL,
		.fate = fate,
		.why = why,
	};
	to->n++;
	to->changed += fate == VU_KSM_CHANGED;
	to->already += fate == VU_KSM_ALREADY;
	to->left += fate == VU_KSM_LEFT;
	return v[to->n - 1].program && (!guest || v[to->n - 1].guest) ? 0 : -ENOMEM;
}

static bool has_row(const struct changing *c, pid_t pid)
{
	for (size_t i = 0; i < c->ret->n; i++)
		if (c->ret->row[i].pid == pid)
			return true;
	return false;
}

/* Processes that are ending are nobody's business. */
static int change_one(struct changing *c, const struct vu_ksm_member *m)
{
	bool on = c->o->on;
	long got = 0;
	int r;

	if (m->ksm.known && (on ? m->ksm.merge_any : !vu_ksm_is_in(&m->ksm)))
		return add_row(c, m, VU_KSM_ALREADY, NULL);
	if (c->o->dry_run)
		return add_row(c, m, VU_KSM_CHANGED, NULL);
	r = vu_inject_prctl(m->pid, c->o->suspend_seccomp ? VU_INJECT_SUSPEND_SECCOMP : 0,
			    SET_MEMORY_MERGE, on, &got);
	if (r < 0)
		return vu_fail(c->ops, r, "cannot change a process", m->name, NULL, NULL);
	if (r == VU_INJECT_GONE)
		return 0;
	if (r)
		return add_row(c, m, VU_KSM_LEFT, vu_inject_why(r));
	if (got == -EINVAL)
		return vu_fail(
			c->ops, VU_OPS_REFUSED, "cannot opt in processes that run", NULL,
			"this kernel has no call for it",
			"use Linux 6.4 or later with CONFIG_KSM, or start them by `vunify ksm "
			"run`");
	return got ? add_row(c, m, VU_KSM_LEFT, strerrordesc_np((int)-got))
		   : add_row(c, m, VU_KSM_CHANGED, NULL);
}

/* A process that is started meanwhile has it of its parent, or is found by the next pass. */
static int change_all(struct changing *c)
{
	size_t before;
	int r = 0;

	for (int pass = 0; !r && pass < PASSES; pass++) {
		before = c->ret->n;
		for (size_t i = 0; !r && i < c->k.n; i++) {
			const struct vu_ksm_member *m = &c->k.v[i];
			size_t pid = find_pid(c, m->pid);

			if (vu_stop_requested())
				return VU_OPS_CANCELLED;
			if (pid != SIZE_MAX)
				c->found[pid] = true;
			if (is_meant(c, m) && !has_row(c, m->pid))
				r = change_one(c, m);
		}
		if (c->ret->n == before || c->o->dry_run || !c->n_guests)
			break;
		if (!r)
			r = vu_ksm_guests_look(&c->k);
	}
	for (size_t i = 0; !r && i < c->n_pids; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", (int)c->pids[i]);
		if (!c->found[i])
			r = vu_fail(c->ops, VU_OPS_USAGE, "there is no such process", text, NULL,
				    NULL);
	}
	return r;
}

int vu_ops_ksm_change(struct vu_ops *ops, const struct vu_ksm_change_options *o,
		      struct vu_ksm_change *ret)
{
	struct vu_ksm_change change = {0};
	struct changing c = {.ops = ops, .o = o, .ret = &change};
	struct vu_ksm ksm = {0};
	int r = vu_ksm_read(&ksm);

	if (r)
		return no_ksm(ops, r);
	change.run = ksm.run;
	r = sort_operands(&c);
	if (!r)
		r = vu_ksm_guests_open(&c.k, ops, c.guests, c.n_guests);
	if (!r && o->on && !o->across_domains)
		r = check_domains(&c);
	if (!r)
		r = change_all(&c);
	if (c.k.ops)
		vu_ksm_guests_close(&c.k);
	free(c.guests);
	free(c.pids);
	free(c.found);
	if (r)
		vu_ksm_change_done(&change);
	else
		*ret = change;
	return r;
}

void vu_ksm_change_done(struct vu_ksm_change *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->row[i].program);
		free(c->row[i].guest);
	}
	free(c->row);
	*c = (struct vu_ksm_change){0};
}

int vu_ops_ksm_may(struct vu_ops *ops, char *guest)
{
	struct vu_ksm_guests k;
	int r = vu_ksm_guests_open(&k, ops, &guest, 1);

	if (!r)
		r = vu_ksm_guests_may(&k, 0);
	vu_ksm_guests_close(&k);
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/doctor-int.h"

void vu_doctor_find(struct vu_doctor *d, enum vu_finding_level level, const char *check,
		    const char *on, const char *todo, const char *format, ...)
{
	struct vu_finding f = {.level = level, .check = check};
	struct vu_finding *v = reallocarray(d->f->v, d->f->n + 1, sizeof(*v));
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&f.says, format, ap) < 0)
		f.says = NULL;
	va_end(ap);
	f.on = on ? strdup(on) : NULL;
	f.todo = todo ? strdup(todo) : NULL;
	if (v)
		d->f->v = v;
	if (!v || !f.says || (on && !f.on) || (todo && !f.todo)) {
		free(f.says);
		free(f.on);
		free(f.todo);
		d->no_memory = true;
		return;
	}
	d->f->v[d->f->n++] = f;
	d->f->n_warn += level == VU_FINDING_WARN;
	d->f->n_fail += level == VU_FINDING_FAIL;
}

void vu_doctor_find_problem(struct vu_doctor *d, enum vu_finding_level level, const char *check,
			    const char *on, int r)
{
	struct vu_problem *p = d->ops->problem;

	vu_doctor_find(d, level, check, on, p->todo, "%s",
		       p->why	 ? p->why
		       : p->what ? p->what
				 : strerror(r < 0 ? -r : EINVAL));
	vu_problem_done(p);
}

static void check_all(struct vu_doctor *d)
{
	const struct vu_session *s = &d->session;

	vu_doctor_catalog(d);
	vu_doctor_freezer(d);
	for (size_t i = 0; i < s->n_fs; i++) {
		size_t g = 0;

		while (g < s->guests.n && s->guest_fs[g] != i)
			g++;
		if (g < s->guests.n)
			vu_doctor_fs(d, i, s->root_fds[g]);
	}
	vu_doctor_objects(d);
	for (size_t i = 0; i < s->guests.n; i++)
		vu_doctor_guest(d, i);
}

/* What else is wrong, as roots that are gone, comes as a warning. */
static void on_event(void *arg, const struct vu_event *e)
{
	if (e->kind == VU_EVENT_WARN || e->kind == VU_EVENT_DAMAGE)
		vu_doctor_find(arg, e->kind == VU_EVENT_WARN ? VU_FINDING_WARN : VU_FINDING_FAIL,
			       "guests", e->guest, NULL, "%s", e->text ? e->text : "");
}

int vu_ops_doctor(struct vu_ops *ops, char *const *guests, size_t n, struct vu_findings *ret)
{
	struct vu_doctor d = {.f = ret, .session = {.lock_fd = -EBADF}};
	struct vu_sink sink = {on_event, &d};
	struct vu_ops own = *ops;

	*ret = (struct vu_findings){0};
	own.sink = &sink;
	d.ops = &own;
	vu_doctor_host(&d);
	int r = vu_session_open(&d.session, &own, 0, guests, n);

	if (!r)
		r = vu_session_find_pools(&d.session);
	if (!r)
		check_all(&d);
	else if (!n || (r > 0 && r != VU_OPS_USAGE))
		vu_doctor_find_problem(&d,
				       r == VU_OPS_NOT_SET_UP ? VU_FINDING_WARN : VU_FINDING_FAIL,
				       "catalog", ops->config->catalog, r);
	vu_session_close(&d.session);
	/* it is the guest that was named */
	if (n && (r < 0 || r == VU_OPS_USAGE))
		return r;
	return d.no_memory ? -ENOMEM : 0;
}

void vu_findings_done(struct vu_findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].on);
		free(f->v[i].says);
		free(f->v[i].todo);
	}
	free(f->v);
	*f = (struct vu_findings){0};
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-serve.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/stop.h"
#include "ops/handed-guest.h"

#define LOOK_AGAIN_MS 2000 /* for a guest that may have been registered meanwhile */

enum answer_e {
	BEGUN = 1,
	OVER = 2,
};

struct serving {
	struct vu_ops *ops;
	const struct vu_serve_options *o;
	struct vu_notify *notify[VU_KEPT_SLOTS]; /* owned; while there is no supervisor */
	struct vu_supervised guest;
	int64_t look_at; /* ms: not before */
	bool told;	 /* why it is not served */
};

static void stop_receiving(struct serving *s)
{
	for (size_t i = 0; i < VU_KEPT_SLOTS; i++)
		s->notify[i] = vu_notify_free(s->notify[i]);
}

static int start_receiving(struct serving *s)
{
	int r = 0;

	for (size_t i = 0; !r && i < VU_KEPT_SLOTS; i++)
		if (!s->notify[i])
			r = vu_notify_new(s->o->listener, &s->o->kept->slots[i], &s->notify[i]);
	return r;
}

/* Nothing is done for it, but what another process has done already. */
static void let_go_on(struct vu_notify *n, uint64_t id)
{
	if (vu_notify_is_done(n, id))
		(void)vu_notify_done(n, id);
	else
		(void)vu_notify_continue(n, id);
}

/* Once; what was wrong the first time. */
static void tell(struct serving *s, const char *why, const char *todo)
{
	_cleanup_free_ char *text = NULL;
	const struct vu_kept *k = s->o->kept;

	if (s->told)
		return;
	s->told = true;
	if (asprintf(
		    &text,
		    "container '%s': its calls are not looked at, and cannot change unified files: %s%s%s",
		    k->id, why, todo ? "; " : "", todo ? todo : "") < 0)
		return;
	vu_emit(s->ops->sink, &(struct vu_event){.kind = VU_EVENT_WARN,
						 .guest = *k->guest ? k->guest : NULL,
						 .text = text});
}

static void tell_problem(struct serving *s, int r)
{
	const struct vu_problem *p = s->ops->problem;
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s%s%s", p->what ? p->what : "", p->what ? ": " : "",
		     p->why ? p->why : strerror(r < 0 ? -r : EINVAL)) < 0)
		return;
	tell(s, text, p->todo);
	vu_problem_done(s->ops->problem);
}

static int find_guest(struct serving *s, pid_t caller)
{
	_cleanup_free_ char *root = NULL;
	struct vu_kept *k = s->o->kept;

	if (*k->guest)
		return 0;
	int r = vu_handed_guest(s->ops, k, caller, &root);

	if (r == VU_HANDOFF_NO_GUEST && !caller)
		return VU_HANDOFF_NOT_YET; /* its first call may tell more */
	if (r == VU_HANDOFF_NO_GUEST)
		tell(s, "it is no registered guest", "register its root with `vunify guests add`");
	else if (r < 0)
		tell_problem(s, r);
	if (!r && strlen(root) < sizeof(k->guest))
		strcpy(k->guest, root);
	return r ? r : *k->guest ? 0 : -ENAMETOOLONG;
}

/*
 * Begins to serve, if it can be told which guest it is, and that one can be served. caller: whose call waits (left
 * where the supervisor finds it), or 0. Returns BEGUN, 0: not now; or -ECANCELED.
 */
static int begin(struct serving *s, pid_t caller)
{
	struct vu_supervised_report report;
	int r = 0;

	if (vu_clock_ms() < s->look_at)
		return 0;
	r = find_guest(s, caller);
	if (r == VU_HANDOFF_NOT_YET)
		return 0;
	s->look_at = vu_clock_ms() + LOOK_AGAIN_MS;
	if (r)
		return 0;
	r = vu_supervised_open(&s->guest, s->ops, s->o->kept->guest, "vunify cowd");
	if (!r && !vu_supervised_pool(&s->guest))
		tell(s, "nothing can be unified where it is", NULL);
	if (!r && vu_supervised_pool(&s->guest)) {
		stop_receiving(s);
		r = vu_supervised_start(&s->guest, s->o->listener, NULL, s->o->kept->slots);
		if (!r)
			return BEGUN;
	}
	if (r)
		tell_problem(s, r);
	vu_supervised_close(&s->guest, &report);
	return vu_stop_requested() ? -ECANCELED : 0;
}

/* Returns 0 when there is a call, OVER, -ECANCELED, or another negative errno. */
static int wait_for_call(const struct serving *s, int timeout_ms)
{
	struct pollfd p = {.fd = s->o->listener, .events = POLLIN};

	while (!vu_stop_requested()) {
		int n = poll(&p, 1, timeout_ms);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && p.revents & POLLHUP)
			return OVER;
		if (n > 0)
			return 0;
	}
	return -ECANCELED;
}

/* Until it can be served, or is over. Returns BEGUN, OVER or a negative errno. */
static int pass(struct serving *s)
{
	const struct seccomp_notif *req;
	int r = start_receiving(s);

	for (size_t i = 0; !r && i < VU_KEPT_SLOTS; i++)
		if ((req = vu_notify_left(s->notify[i])))
			let_go_on(s->notify[i], req->id);
	while (!r) {
		r = wait_for_call(s, 1000);
		if (r || vu_notify_receive(s->notify[0], &req))
			continue;
		uint64_t id = req->id;

		r = begin(s, (pid_t)req->pid);
		if (r == BEGUN)
			return BEGUN;
		if (!s->notify[0])
			r = start_receiving(s);
		if (s->notify[0])
			let_go_on(s->notify[0], id);
	}
	return r;
}

/* The supervisor's threads answer. */
static int supervise(struct serving *s)
{
	struct pollfd p = {.fd = s->o->listener};

	while (!vu_stop_requested()) {
		if (poll(&p, 1, 1000) < 0 && errno != EINTR)
			return -errno;
		if (p.revents & POLLHUP)
			return OVER;
		vu_supervised_look(&s->guest);
	}
	return -ECANCELED;
}

int vu_ops_serve(struct vu_ops *ops, const struct vu_serve_options *o,
		 struct vu_supervised_report *ret)
{
	struct serving s = {.ops = ops, .o = o, .guest = VU_SUPERVISED_NONE};
	int r = begin(&s, 0);

	if (!r)
		r = pass(&s);
	if (r == BEGUN)
		r = supervise(&s);
	vu_supervised_close(&s.guest, ret);
	stop_receiving(&s);
	if (r == OVER)
		return 0;
	if (r == -ECANCELED)
		return VU_OPS_CANCELLED;
	return vu_fail(ops, r, "cannot answer calls", o->kept->id, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-answer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/inomap.h"
#include "base/stop.h"
#include "link/dirs.h"
#include "link/interrupt.h"
#include "lsm/asks.h"
#include "ops/answer-msg.h"

#define TRIES 20 /* of an object that another process works on, each some milliseconds later */
#define BUDGET_NS 20000000000LL /* longer nobody waits: well below lease-break-time */
#define CHANGED_MAX 8	 /* times that one thread's file may be another when it is looked for */
#define UNSURE_MAX 65536 /* inodes whose names have changed */

struct answering {
	struct vu_ops *ops;
	const struct vu_answer_options *o;
	struct vu_supervised guest;
	struct vu_live_worker *worker; /* owned */
	struct vu_inomap unsure;       /* inodes whose names may not be those that are known */
	bool all_unsure;
	/* whose file was another the last time, and how often in a row */
	int32_t changed_tid;
	uint64_t changed_ino;
	unsigned n_changed;
};

static void note_unsure(struct answering *a, uint64_t ino)
{
	if (!ino || a->unsure.n >= UNSURE_MAX || vu_inomap_set(&a->unsure, ino, 0))
		a->all_unsure = true;
}

/* The guest's names as they are by now, where there may be others than are known. */
static int refresh_names(struct answering *a, uint64_t ino)
{
	if (!a->all_unsure && !vu_inomap_get(&a->unsure, ino, NULL))
		return 0;
	/* what is told while it is walked stands: it is read afterwards */
	vu_inomap_done(&a->unsure);
	a->all_unsure = false;
	int r = vu_supervised_find_names(&a->guest);

	a->all_unsure = r != 0;
	return r;
}

/* What the path leads to, if that is an object: returns 1 with its key, 0, or a negative errno. */
static int find(struct answering *a, const char *path, struct vu_stat *ret_st, struct vu_key *ret)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir_path = strndup(path, slash ? (size_t)(slash - path) : 0);

	if (!dir_path)
		return -ENOMEM;
	_cleanup_fd_ int dir = vu_dirs_open_path(a->guest.session.root_fds[0], dir_path,
						 O_PATH | O_DIRECTORY | O_NOFOLLOW);
	int r = dir < 0 ? dir : vu_stat_at(dir, slash ? slash + 1 : path, ret_st);

	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0;
	return r ? r : vu_live_find(a->guest.live, ret_st, ret);
}

static int break_names(struct answering *a, const char *path, uint64_t ino,
		       const struct vu_key *key)
{
	const char **names = NULL;
	uint32_t n = 0;
	int r = refresh_names(a, ino);

	if (!r)
		r = vu_names_list(a->guest.names, ino, path, &names, &n);
	if (r)
		return r;
	const struct vu_live_name name = {.ino = ino, .key = *key, .paths = names, .n_paths = n};

	r = vu_live_break(a->worker, &name);
	for (int i = 0; r == VU_LIVE_BUSY && i < TRIES && !vu_stop_requested(); i++) {
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		r = vu_live_break(a->worker, &name);
	}
	if (!r)
		vu_names_forget(a->guest.names, ino);
	vu_names_list_free(names, n);
	return r;
}

/* Is there room, and has the guest's turn come? */
static int spend(struct answering *a, uint64_t bytes)
{
	int r = vu_budget_room(vu_pool_fd(vu_supervised_pool(&a->guest)), bytes);
	int64_t ns =
		r ? 0 : vu_budget_take_within(&a->guest.budget, bytes, vu_clock_ns(), BUDGET_NS);

	if (ns < 0)
		return -EDQUOT;
	while (ns > 0 && !vu_stop_requested()) {
		int64_t slice = VU_MIN(ns, 100000000);

		nanosleep(&(struct timespec){.tv_nsec = (long)slice}, NULL);
		ns -= slice;
	}
	return r;
}

/* Returns 0: it is to look again; or a negative errno that its call is to fail with. */
static int make_copy(struct answering *a, const struct vu_answer_msg *m, const char *path)
{
	struct vu_stat st;
	struct vu_key key;
	int r = find(a, path, &st, &key);

	if (r < 0)
		return r;
	/* it has been replaced or moved meanwhile: who looks again finds what is there by now */
	if (!r || st.version.ino != m->ino)
		return VU_LIVE_CHANGED;
	r = spend(a, st.version.size);
	if (!r)
		r = break_names(a, path, m->ino, &key);
	return r == VU_LIVE_BUSY ? -EPERM : r;
}

/* One that is another each time that it is looked for would be looked for for ever. */
static int limit_changes(struct answering *a, const struct vu_answer_msg *m)
{
	if (a->changed_tid != m->tid || a->changed_ino != m->ino) {
		a->changed_tid = m->tid;
		a->changed_ino = m->ino;
		a->n_changed = 0;
	}
	return ++a->n_changed < CHANGED_MAX ? 0 : -EPERM;
}

static int answer(struct answering *a, const struct vu_answer_msg *m)
{
	_cleanup_free_ char *path = strndup(m->path, m->length);
	int r = path ? make_copy(a, m, path) : -ENOMEM;

	if (r == VU_LIVE_CHANGED)
		r = limit_changes(a, m);
	if (r < 0)
		(void)vu_ask_refuse(a->o->refusals, (uint32_t)m->tid, m->ino, r);
	vu_interrupt_thread(m->tgid, m->tid);
	return send(a->o->socket, m, offsetof(struct vu_answer_msg, path), MSG_NOSIGNAL) < 0
		       ? -errno
		       : 0;
}

/* Returns 1 with a message, 0: the keeper has closed its end, or a negative errno. */
static int receive(const struct answering *a, struct vu_answer_msg *ret)
{
	struct pollfd p = {.fd = a->o->socket, .events = POLLIN};
	int n = poll(&p, 1, 1000);

	if (n <= 0)
		return n < 0 && errno != EINTR ? -errno : -EAGAIN;
	ssize_t size = recv(a->o->socket, ret, sizeof(*ret), MSG_DONTWAIT);

	if (size <= 0)
		return size < 0 ? -errno : 0;
	return (size_t)size >= offsetof(struct vu_answer_msg, path) &&
			       ret->length == (size_t)size - offsetof(struct vu_answer_msg, path)
		       ? 1
		       : -EPROTO;
}

/* Returns 1: more may come, 0: the keeper has closed its end, or a negative errno. */
static int take_one(struct answering *a)
{
	struct vu_answer_msg m;
	int r = receive(a, &m);

	if (r == -EAGAIN) {
		vu_supervised_look(&a->guest);
		return 1;
	}
	if (r <= 0)
		return r;
	if (m.kind == VU_ANSWER_NAMES)
		note_unsure(a, m.ino);
	else if (m.kind == VU_ANSWER_OPEN)
		r = answer(a, &m);
	return r == -EPIPE ? 0 : r < 0 ? r : 1;
}

static int open_guest(struct answering *a)
{
	int r = vu_supervised_open(&a->guest, a->ops, a->o->guest, "vunify cowd --lsm");

	if (r)
		return r;
	if (!vu_supervised_pool(&a->guest))
		return vu_fail(a->ops, VU_OPS_REFUSED, "cannot make copies", a->o->guest,
			       "there is no pool where it is", NULL);
	r = vu_supervised_live(&a->guest);
	if (!r)
		r = vu_live_worker_new(a->guest.live, &a->worker);
	return r;
}

int vu_ops_answer(struct vu_ops *ops, const struct vu_answer_options *o,
		  struct vu_supervised_report *ret)
{
	struct answering a = {.ops = ops, .o = o, .guest = VU_SUPERVISED_NONE};
	int r = open_guest(&a), more = !r;

	while (more > 0 && !vu_stop_requested())
		more = take_one(&a);
	r = r ? r : VU_MIN(more, 0);
	vu_live_worker_free(a.worker);
	vu_inomap_done(&a.unsure);
	vu_supervised_close(&a.guest, ret);
	if (r < 0 && !ops->problem->what)
		return vu_fail(ops, r, "cannot make copies", o->guest, NULL, NULL);
	return r;
}

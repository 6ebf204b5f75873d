/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One notified call: what the answer is, and what has to be done before. Part of the supervisor
 * (cow/supervisor.h); nobody else calls it. A server belongs to its thread, which enters the guest's root for the
 * time that a path is resolved, and holds the buffers for that.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cow/call.h"
#include "cow/notify.h"
#include "cow/supervisor.h"

struct vu_server;

/*
 * For the calling thread. numbers, env and notify (borrowed) outlive it; stats are advanced atomically. Returns 0 or
 * a negative errno.
 */
int vu_server_new(const struct vu_supervisor_env *env, const struct vu_call_numbers *numbers,
		  struct vu_notify *notify, struct vu_supervisor_stats *stats,
		  struct vu_server **ret);

/* By the same thread. Accepts NULL, returns NULL. */
struct vu_server *vu_server_free(struct vu_server *v);

/*
 * Looks whether there is anything to do for a notification, and if not, answers it. Returns whether it did. Waits for
 * no file system but the pool's, and for nobody else.
 */
bool vu_server_glance(struct vu_server *v, const struct seccomp_notif *req);

/*
 * Does what there is to do for the one that was looked at, and answers it. Returns 0; a negative errno when the thread
 * cannot go on, because it is in the guest's root and does not get out.
 */
int vu_server_answer(struct vu_server *v);

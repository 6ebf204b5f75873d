/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose call is it, and would the kernel let him? So that nobody makes copies of files that he may not change.
 * An estimate, which says yes where it does not know: the kernel decides afterwards, and all that a wrong yes
 * costs is a copy. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cow/call.h"
#include "fs/stat.h"

#define VU_CALLER_GROUPS 64 /* of more, it is said that he is in all */

struct vu_caller {
	uint32_t fsuid, fsgid;
	uint32_t groups[VU_CALLER_GROUPS];
	unsigned n_groups;
	uint64_t
		caps; /* effective; over what is told by his user namespace, which is not looked at */
	bool any_group;
};

/* proc: the host's /proc. Returns 0; -ESRCH when the thread has ended; or another negative errno. */
int vu_caller_read(int proc, pid_t tid, struct vu_caller *ret);

/*
 * Is he root, with all that makes the kernel let him change names anywhere, in the user namespace of this
 * process, and under no security module's profile? Then what he asks for may be done for him. proc: the host's
 * /proc. False where it cannot be told.
 */
bool vu_caller_is_root(const struct vu_caller *c, int proc, pid_t tid);

/* May he use the blocks that ext4 keeps for root? */
bool vu_caller_may_use_reserve(const struct vu_caller *c, int proc, pid_t tid);

/*
 * May he do this to the file that st describes, which is in the directory that dir describes (for names that go
 * away)?
 */
bool vu_caller_may(const struct vu_caller *c, enum vu_call_op op, const struct vu_stat *st,
		   const struct vu_stat *dir);

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
	uint32_t uid, gid; /* real */
	uint32_t groups[VU_CALLER_GROUPS];
	unsigned n_groups;
	uint64_t
		caps; /* effective; over what is told by his user namespace, which is not looked at */
	bool any_group;
	int no_new_privs; /* 1, 0; or -1: not to be seen */
};

/* proc: the host's /proc. Returns 0; -ESRCH when the thread has ended; or another negative errno. */
int vu_caller_read(int proc, pid_t tid, struct vu_caller *ret);

/* What is the same for all callers. */
struct vu_caller_ours {
	uint64_t dev, ino;	 /* of this process's user namespace */
	bool nobody_is_confined; /* there is no security module with profiles of processes */
};

/* proc: the host's /proc. Returns 0 or a negative errno. */
int vu_caller_ours_read(int proc, struct vu_caller_ours *ret);

/*
 * Has he all that makes the kernel let him change names anywhere, whoever he is (CAP_DAC_OVERRIDE, CAP_FOWNER), in
 * the user namespace of this process, and under no security module's profile? Then what he asks for may be done for
 * him. False where it cannot be told. Looks at the thread with this number now: whether it is the caller still is to
 * be asked afterwards.
 */
bool vu_caller_is_root(const struct vu_caller_ours *ours, int proc, pid_t tid);

/* May he use the blocks that ext4 keeps for root? */
bool vu_caller_may_use_reserve(const struct vu_caller *c, const struct vu_caller_ours *ours,
			       int proc, pid_t tid);

/*
 * May he do this to the file that st describes, which is in the directory that dir describes (for names that go
 * away)?
 */
bool vu_caller_may(const struct vu_caller *c, enum vu_call_op op, const struct vu_stat *st,
		   const struct vu_stat *dir);

/*
 * What access(2) says of the file that st describes, if it is on a mount that may be written to: mode is R_OK, W_OK,
 * X_OK. Returns 0, -EACCES, or 1 where that cannot be told: because of an ACL, or of another user than the one
 * who acts.
 */
int vu_caller_access(const struct vu_caller *c, uint32_t mode, bool real, const struct vu_stat *st,
		     bool has_acl);

/* May he search this directory, on his way to such a file? The same. */
int vu_caller_search(const struct vu_caller *c, bool real, const struct vu_stat *dir, bool has_acl);

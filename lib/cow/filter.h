/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seccomp filter of a supervised guest: the rules of cow/ruleset.h as a BPF program, made by libseccomp,
 * and its installation with a listener, from which the supervisor hears of the calls. Made once, by the
 * supervisor; installed by the process that is to become the guest, which passes the listener on.
 *
 * For x86_64 (with i386) and aarch64 (with arm): what comes by any other architecture, x32 among them, is
 * answered with ENOSYS.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "cow/ruleset.h"

struct vu_filter {
	size_t n;
	struct sock_filter insn[];
};

/*
 * Makes the filter. arch: AUDIT_ARCH_X86_64 or _AARCH64, 0 for this machine's. flags: enum vu_filter_flag.
 * Returns 0, -ENOMEM, -EOPNOTSUPP where there is no such filter (another machine, a kernel without
 * notifications: before 5.0, or libseccomp refused), or another negative errno.
 */
int vu_filter_new(uint32_t arch, unsigned flags, struct vu_filter **ret);
struct vu_filter *vu_filter_free(struct vu_filter *f);
VU_DEFINE_CLEANUP(struct vu_filter *, vu_filter_free)

/*
 * Puts the calling thread, and whoever it makes or executes from then on, under the filter: for ever. Without
 * no_new_privs, so that set-id programs stay what they are: needs CAP_SYS_ADMIN in the thread's user
 * namespace. A notified call whose answer is awaited can only be interrupted by a signal that kills, where the
 * kernel knows that (5.19). Nothing but system calls: may be called between fork and exec.
 *
 * Returns the listener's descriptor (O_CLOEXEC, owned by the caller), with ret_killable (or NULL): does the kernel know
 * that? -EBUSY when the thread is under a filter with a listener already, of which there can be one; -EACCES without
 * CAP_SYS_ADMIN; or another negative errno. f is only read.
 */
int vu_filter_install(struct vu_filter *f, bool *ret_killable);

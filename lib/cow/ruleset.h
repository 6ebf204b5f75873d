/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which system calls of a guest a supervisor hears of, and which are refused: the rules, whoever applies
 * them. Made from the table of cow/shape.h for vunify's own filter (cow/filter.h) and for the profiles of
 * container runtimes (cow/profile.h). A call that no rule is about goes on without any cost to speak of:
 * reads, stats, executions, opens for reading.
 *
 * The rules are no wall. The immutable flag is: what passes a filter meets it, and fails. Any thread.
 *
 * So leaving a call out is always safe, but the guest would notice where it meets a shared file: EPERM. Left out is
 * what cannot, by what a filter sees, which is numbers, no path and no file:
 *
 *   reading         opens without a flag that writes or cuts; and so executions, stats, reads
 *   exclusive       open with O_CREAT and O_EXCL: no file is there. mkdir, mknod, symlink fail where one is (EEXIST)
 *   writing by descriptor    write, ftruncate, fallocate and all that needs one which was opened for writing: that
 *                   open has given the path a private copy
 *
 * And not what looks as if it could be:
 *
 *   rmdir, and unlinkat with AT_REMOVEDIR: of a file the kernel says ENOTDIR, of an immutable one EPERM. dpkg tries
 *                   rmdir first for each name that it removes, and gives up with any other error.
 *   fchmod and its like: a number does not say whether the file behind it was opened for writing.
 */
#pragma once

#include <stdint.h>

enum vu_filter_flag {
	/*
	 * Also what changes metadata by descriptor: fchmod, fchown, fsetxattr, fremovexattr, and utimensat
	 * without a path. Without it these fail with EPERM on a shared file. It costs: tar x of 20,000 files
	 * took 2.1 times as long with it, and 1.05 to 1.3 times without.
	 */
	VU_FILTER_DESCRIPTORS = 1 << 0,
	/*
	 * Also landlock_restrict_self: who has limited himself is refused by the kernel what a supervisor must then not do
	 * for him. Of use where it carries out calls (may_act of cow/supervisor.h).
	 */
	VU_FILTER_LANDLOCK = 1 << 1,
};

/* The same on all architectures (Linux 5.13). */
#define VU_RULE_LANDLOCK_NR 446

enum vu_rule_test {
	VU_RULE_ANY,	  /* whatever the arguments are */
	VU_RULE_MASKED,	  /* the argument and mask is value */
	VU_RULE_NOT_NULL, /* the argument is not 0 */
};

/* The call matches if the test holds. Rules of one call are alternatives. */
struct vu_rule {
	const char *name; /* of the call, as libseccomp has it */
	int number;	  /* of the call, where a libseccomp may not know the name; else 0 */
	int error;	  /* refused with this errno; 0: notified */
	enum vu_rule_test test;
	unsigned arg;	      /* what is tested, from 0 */
	uint32_t mask, value; /* of its lower half: the kernel takes the argument as an int */
};

/*
 * Tells all rules, those of one call one after the other. Stops at the first that on_rule returns other than
 * 0 for, and returns that, else 0. flags: enum vu_filter_flag.
 */
int vu_ruleset_each(unsigned flags, int (*on_rule)(void *arg, const struct vu_rule *r), void *arg);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls of each architecture, by numbers from the kernel's tables and arguments from the man pages, against
 * what is made of them, as text: the operation, and of each path "DIRFD:ADDRESS", how it is resolved
 * (self, empty: the descriptor, always or if the string is empty; follow) and what is needed of the file.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/audit.h>

#include "base/cleanup.h"
#include "cow/call.h"

#define X64 AUDIT_ARCH_X86_64
#define X86 AUDIT_ARCH_I386
#define A64 AUDIT_ARCH_AARCH64
#define ARM AUDIT_ARCH_ARM

#define CWD (-100) /* AT_FDCWD */
/* Strings of the process: two that need 64 bits, and two that do not. */
#define P UINT64_C(0x7f0000001000)
#define Q UINT64_C(0x7f0000002000)
#define p 0x1000
#define q 0x2000
/* A register whose upper half is not zero, which nobody may look at. */
#define DIRTY(v) (UINT64_C(0xdeadbeef00000000) | (uint32_t)(v))

#define RDONLY 0
#define WRONLY 1
#define RDWR 2
#define CREAT 0100
#define EXCL 0200
#define TRUNC 01000
#define APPEND 02000
#define PATH_ONLY 010000000
#define TMPFILE_X86 020200000
#define DIRECTORY_X86 0200000
#define DIRECTORY_ARM 040000
#define NOFOLLOW_X86 0400000
#define NOFOLLOW_ARM 0100000

#define NOFOLLOW 0x100
#define REMOVEDIR 0x200
#define FOLLOW 0x400
#define EMPTY 0x1000

struct row {
	uint32_t arch;
	int nr;
	uint64_t args[6];
	const char *want;
};

static const struct row rows[] = {
	/* open(path, flags, mode) */
	{X64, 2, {P, WRONLY}, "open -100:7f0000001000 follow all"},
	{X64, 2, {P, RDWR | APPEND}, "open -100:7f0000001000 follow all"},
	{X64, 2, {P, 3}, "open -100:7f0000001000 follow all"},
	{X64, 2, {P, DIRTY(RDWR)}, "open -100:7f0000001000 follow all"},
	{X64, 2, {P, DIRTY(RDONLY)}, "none"},
	{X64, 2, {P, RDONLY | CREAT, 0644}, "none"},
	{X64, 2, {P, RDONLY | TRUNC}, "open -100:7f0000001000 follow metadata"},
	{X64, 2, {P, WRONLY | CREAT | TRUNC, 0644}, "open -100:7f0000001000 follow metadata"},
	{X64, 2, {P, RDWR | CREAT, 0644}, "open -100:7f0000001000 follow all"},
	{X64, 2, {P, RDWR | CREAT | EXCL, 0644}, "none"},
	{X64, 2, {P, RDWR | EXCL}, "open -100:7f0000001000 follow all"},
	{X64, 2, {P, RDWR | NOFOLLOW_X86}, "open -100:7f0000001000 all"},
	{X64, 2, {P, RDWR | NOFOLLOW_ARM}, "open -100:7f0000001000 follow all"},
	{X64, 2, {P, RDWR | PATH_ONLY}, "none"},
	{X64, 2, {P, RDWR | TMPFILE_X86, 0600}, "none"},
	{X64, 2, {P, RDWR | DIRECTORY_X86}, "none"},
	{X64, 2, {0, RDWR}, "malformed"},
	{X86, 5, {p, WRONLY}, "open -100:1000 follow all"},
	{X86, 5, {DIRTY(p), DIRTY(RDWR | TRUNC)}, "open -100:1000 follow metadata"},
	{X86, 5, {p, RDONLY}, "none"},
	{ARM, 5, {p, RDWR | NOFOLLOW_ARM}, "open -100:1000 all"},
	{ARM, 5, {p, RDWR | DIRECTORY_ARM}, "none"},
	/* creat(path, mode) */
	{X64, 85, {P, 0644}, "open -100:7f0000001000 follow metadata"},
	{X86, 8, {p, 0644}, "open -100:1000 follow metadata"},
	{ARM, 8, {p, 0644}, "open -100:1000 follow metadata"},
	/* openat(dirfd, path, flags, mode) */
	{X64, 257, {DIRTY(CWD), P, WRONLY}, "open -100:7f0000001000 follow all"},
	{X64, 257, {7, P, RDWR | NOFOLLOW_X86}, "open 7:7f0000001000 all"},
	{X64, 257, {7, P, RDONLY}, "none"},
	{X64, 257, {7, P, RDWR | CREAT | EXCL, 0600}, "none"},
	{X86, 295, {DIRTY(7), p, RDWR}, "open 7:1000 follow all"},
	{A64, 56, {7, P, RDWR | NOFOLLOW_ARM}, "open 7:7f0000001000 all"},
	{A64, 56, {7, P, RDWR | NOFOLLOW_X86}, "open 7:7f0000001000 follow all"},
	{A64, 56, {7, P, RDWR | DIRECTORY_ARM}, "none"},
	{ARM, 322, {7, p, TRUNC}, "open 7:1000 follow metadata"},
	/* openat2(dirfd, path, how, size) */
	{X64, 437, {7, P, Q, 24}, "open 7:7f0000001000 follow all how 7f0000002000+24"},
	{X64, 437, {7, P, Q, 64}, "open 7:7f0000001000 follow all how 7f0000002000+24"},
	{X64, 437, {7, P, Q, 23}, "malformed"},
	{X64, 437, {7, P, Q, UINT64_C(0x100000018)}, "malformed"},
	{X64, 437, {7, P, 0, 24}, "malformed"},
	{X64, 437, {7, 0, Q, 24}, "malformed"},
	{X86, 437, {7, p, q, DIRTY(24)}, "open 7:1000 follow all how 2000+24"},
	{A64, 437, {7, P, Q, 24}, "open 7:7f0000001000 follow all how 7f0000002000+24"},
	{ARM, 437, {7, p, q, 24}, "open 7:1000 follow all how 2000+24"},
	/* truncate(path, length) */
	{X64, 76, {P, 0}, "truncate -100:7f0000001000 follow metadata"},
	{X64, 76, {P, UINT64_C(1) << 32}, "truncate -100:7f0000001000 follow all"},
	{X86, 92, {p, DIRTY(0)}, "truncate -100:1000 follow metadata"},
	{X86, 92, {p, 1}, "truncate -100:1000 follow all"},
	{A64, 45, {P, 0}, "truncate -100:7f0000001000 follow metadata"},
	{ARM, 92, {p, 5}, "truncate -100:1000 follow all"},
	/* truncate64: i386 (path, low, high), arm (path, -, low, high) */
	{X86, 193, {p, 0, 0, 9}, "truncate -100:1000 follow metadata"},
	{X86, 193, {p, DIRTY(0), DIRTY(0)}, "truncate -100:1000 follow metadata"},
	{X86, 193, {p, 0, 1}, "truncate -100:1000 follow all"},
	{X86, 193, {p, 1, 0}, "truncate -100:1000 follow all"},
	{ARM, 193, {p, 9, 0, 0}, "truncate -100:1000 follow metadata"},
	{ARM, 193, {p, 0, 0, 1}, "truncate -100:1000 follow all"},
	{ARM, 193, {p, 0, 1, 0}, "truncate -100:1000 follow all"},
	/* unlink(path), unlinkat(dirfd, path, flags) */
	{X64, 87, {P}, "unlink -100:7f0000001000 gone"},
	{X64, 87, {0}, "malformed"},
	{X86, 10, {p}, "unlink -100:1000 gone"},
	{ARM, 10, {p}, "unlink -100:1000 gone"},
	{X64, 263, {7, P, 0}, "unlink 7:7f0000001000 gone"},
	{X64, 263, {7, P, DIRTY(0)}, "unlink 7:7f0000001000 gone"},
	{X64, 263, {7, P, DIRTY(REMOVEDIR)}, "rmdir 7:7f0000001000 gone"},
	{X64, 84, {P}, "rmdir -100:7f0000001000 gone"},
	{X86, 40, {p}, "rmdir -100:1000 gone"},
	{ARM, 40, {p}, "rmdir -100:1000 gone"},
	{X64, 263, {7, P, REMOVEDIR | 1}, "malformed"},
	{X86, 301, {7, p}, "unlink 7:1000 gone"},
	{A64, 35, {7, P}, "unlink 7:7f0000001000 gone"},
	{ARM, 328, {7, p}, "unlink 7:1000 gone"},
	/* rename(old, new), renameat(olddirfd, old, newdirfd, new), renameat2(..., flags) */
	{X64, 82, {P, Q}, "rename -100:7f0000001000 all -100:7f0000002000 gone"},
	{X64, 82, {P, 0}, "malformed"},
	{X86, 38, {p, q}, "rename -100:1000 all -100:2000 gone"},
	{ARM, 38, {p, q}, "rename -100:1000 all -100:2000 gone"},
	{X64, 264, {7, P, 8, Q, 2}, "rename 7:7f0000001000 all 8:7f0000002000 gone"},
	{X86, 302, {7, p, 8, q}, "rename 7:1000 all 8:2000 gone"},
	{A64, 38, {7, P, 8, Q}, "rename 7:7f0000001000 all 8:7f0000002000 gone"},
	{ARM, 329, {7, p, 8, q}, "rename 7:1000 all 8:2000 gone"},
	{X64, 316, {7, P, 8, Q, 0}, "rename 7:7f0000001000 all 8:7f0000002000 gone"},
	{X64, 316, {7, P, 8, Q, 1}, "rename 7:7f0000001000 all 8:7f0000002000 nothing"},
	{X64, 316, {7, P, 8, Q, DIRTY(2)}, "exchange 7:7f0000001000 all 8:7f0000002000 all"},
	{X64, 316, {7, P, 8, Q, 4}, "rename 7:7f0000001000 all 8:7f0000002000 all"},
	{X64, 316, {7, P, 8, Q, 5}, "rename 7:7f0000001000 all 8:7f0000002000 nothing"},
	{X64, 316, {7, P, 8, Q, 3}, "malformed"},
	{X64, 316, {7, P, 8, Q, 6}, "malformed"},
	{X64, 316, {7, P, 8, Q, 8}, "malformed"},
	{X86, 353, {7, p, 8, q, 2}, "exchange 7:1000 all 8:2000 all"},
	{A64, 276, {7, P, 8, Q, 1}, "rename 7:7f0000001000 all 8:7f0000002000 nothing"},
	{ARM, 382, {7, p, 8, q}, "rename 7:1000 all 8:2000 gone"},
	/* link(old, new), linkat(olddirfd, old, newdirfd, new, flags) */
	{X64, 86, {P, Q}, "link -100:7f0000001000 all -100:7f0000002000 nothing"},
	{X86, 9, {p, q}, "link -100:1000 all -100:2000 nothing"},
	{ARM, 9, {p, q}, "link -100:1000 all -100:2000 nothing"},
	{X64, 265, {7, P, 8, Q}, "link 7:7f0000001000 all 8:7f0000002000 nothing"},
	{X64,
	 265,
	 {7, P, 8, Q, DIRTY(FOLLOW)},
	 "link 7:7f0000001000 follow all 8:7f0000002000 nothing"},
	{X64, 265, {7, P, 8, Q, EMPTY}, "link 7:7f0000001000 empty all 8:7f0000002000 nothing"},
	{X64, 265, {7, 0, 8, Q, EMPTY}, "malformed"},
	{X64, 265, {7, P, 8, Q, NOFOLLOW}, "malformed"},
	{X86, 303, {7, p, 8, q}, "link 7:1000 all 8:2000 nothing"},
	{A64, 37, {7, P, 8, Q}, "link 7:7f0000001000 all 8:7f0000002000 nothing"},
	{ARM, 330, {7, p, 8, q}, "link 7:1000 all 8:2000 nothing"},
	/* access(path, mode), faccessat(dirfd, path, mode), faccessat2(..., flags); modes: 4 read, 2 write, 1 search */
	{X64, 21, {P, 2}, "access -100:7f0000001000 follow all"},
	{X64, 21, {P, DIRTY(7)}, "access -100:7f0000001000 follow all"},
	{X64, 21, {P, 5}, "none"},
	{X64, 21, {P, DIRTY(0)}, "none"},
	{X64, 21, {P, 10}, "malformed"},
	{X64, 21, {0, 2}, "malformed"},
	{X86, 33, {p, 6}, "access -100:1000 follow all"},
	{ARM, 33, {p, 6}, "access -100:1000 follow all"},
	{X64, 269, {7, P, 2, NOFOLLOW}, "access 7:7f0000001000 follow all"},
	{X86, 307, {7, p, 2}, "access 7:1000 follow all"},
	{A64, 48, {7, P, 2}, "access 7:7f0000001000 follow all"},
	{ARM, 334, {7, p, 2}, "access 7:1000 follow all"},
	{X64, 439, {7, P, 2, NOFOLLOW | 0x200}, "access 7:7f0000001000 all"},
	{X64, 439, {7, P, 2, EMPTY}, "access 7:7f0000001000 empty follow all"},
	{X64, 439, {7, P, 4, NOFOLLOW}, "none"},
	{X64, 439, {7, P, 2, 1}, "malformed"},
	{X86, 439, {7, p, 2, 0}, "access 7:1000 follow all"},
	{A64, 439, {7, P, 2, 0}, "access 7:7f0000001000 follow all"},
	{ARM, 439, {7, p, 2, 0}, "access 7:1000 follow all"},
	/* chmod(path, mode), fchmod(fd, mode), fchmodat(dirfd, path, mode), fchmodat2(..., flags) */
	{X64, 90, {P, 0600}, "chmod -100:7f0000001000 follow all"},
	{X86, 15, {p, 0600}, "chmod -100:1000 follow all"},
	{ARM, 15, {p, 0600}, "chmod -100:1000 follow all"},
	{X64, 91, {DIRTY(7), 0600}, "chmod 7:0 self all"},
	{X86, 94, {7, 0600}, "chmod 7:0 self all"},
	{A64, 52, {7, 0600}, "chmod 7:0 self all"},
	{ARM, 94, {7, 0600}, "chmod 7:0 self all"},
	{X64, 268, {7, P, 0600, NOFOLLOW}, "chmod 7:7f0000001000 follow all"},
	{X86, 306, {7, p, 0600}, "chmod 7:1000 follow all"},
	{A64, 53, {7, P, 0600}, "chmod 7:7f0000001000 follow all"},
	{ARM, 333, {7, p, 0600}, "chmod 7:1000 follow all"},
	{X64, 452, {7, P, 0600, 0}, "chmod 7:7f0000001000 follow all"},
	{X64, 452, {7, P, 0600, NOFOLLOW}, "chmod 7:7f0000001000 all"},
	{X64, 452, {7, P, 0600, EMPTY}, "chmod 7:7f0000001000 empty follow all"},
	{X64, 452, {7, P, 0600, FOLLOW}, "malformed"},
	{X64, 452, {7, 0, 0600, EMPTY}, "malformed"},
	{X86, 452, {7, p, 0600, NOFOLLOW}, "chmod 7:1000 all"},
	{A64, 452, {7, P, 0600, NOFOLLOW}, "chmod 7:7f0000001000 all"},
	{ARM, 452, {7, p, 0600, NOFOLLOW}, "chmod 7:1000 all"},
	/* chown(path, ...), lchown, fchown(fd, ...), with 16 and 32 bits; fchownat(dirfd, path, u, g, flags) */
	{X64, 92, {P, 1, 1}, "chown -100:7f0000001000 follow all"},
	{X86, 182, {p, 1, 1}, "chown -100:1000 follow all"},
	{X86, 212, {p, 1, 1}, "chown -100:1000 follow all"},
	{ARM, 182, {p, 1, 1}, "chown -100:1000 follow all"},
	{ARM, 212, {p, 1, 1}, "chown -100:1000 follow all"},
	{X64, 94, {P, 1, 1}, "chown -100:7f0000001000 all"},
	{X86, 16, {p, 1, 1}, "chown -100:1000 all"},
	{X86, 198, {p, 1, 1}, "chown -100:1000 all"},
	{ARM, 16, {p, 1, 1}, "chown -100:1000 all"},
	{ARM, 198, {p, 1, 1}, "chown -100:1000 all"},
	{X64, 93, {7, 1, 1}, "chown 7:0 self all"},
	{X86, 95, {7, 1, 1}, "chown 7:0 self all"},
	{X86, 207, {7, 1, 1}, "chown 7:0 self all"},
	{A64, 55, {7, 1, 1}, "chown 7:0 self all"},
	{ARM, 95, {7, 1, 1}, "chown 7:0 self all"},
	{ARM, 207, {7, 1, 1}, "chown 7:0 self all"},
	{X64, 260, {7, P, 1, 1, 0}, "chown 7:7f0000001000 follow all"},
	{X64, 260, {7, P, 1, 1, DIRTY(NOFOLLOW)}, "chown 7:7f0000001000 all"},
	{X64, 260, {7, P, 1, 1, EMPTY | NOFOLLOW}, "chown 7:7f0000001000 empty all"},
	{X64, 260, {7, P, 1, 1, REMOVEDIR}, "malformed"},
	{X86, 298, {7, p, 1, 1, NOFOLLOW}, "chown 7:1000 all"},
	{A64, 54, {7, P, 1, 1, NOFOLLOW}, "chown 7:7f0000001000 all"},
	{ARM, 325, {7, p, 1, 1, NOFOLLOW}, "chown 7:1000 all"},
	/* utime(path, times), utimes, futimesat(dirfd, path, times), utimensat(dirfd, path, times, flags) */
	{X64, 132, {P, 0}, "utimes -100:7f0000001000 follow all"},
	{X64, 132, {0, 0}, "malformed"},
	{X86, 30, {p, 0}, "utimes -100:1000 follow all"},
	{X64, 235, {P, 0}, "utimes -100:7f0000001000 follow all"},
	{X86, 271, {p, 0}, "utimes -100:1000 follow all"},
	{ARM, 269, {p, 0}, "utimes -100:1000 follow all"},
	{X64, 261, {7, P, 0}, "utimes 7:7f0000001000 follow all"},
	{X64, 261, {7, 0, 0}, "utimes 7:0 self follow all"},
	{X64, 261, {DIRTY(CWD), 0, 0}, "malformed"},
	{X86, 299, {7, p, 0}, "utimes 7:1000 follow all"},
	{ARM, 326, {7, p, 0}, "utimes 7:1000 follow all"},
	{X64, 280, {7, P, 0, 0}, "utimes 7:7f0000001000 follow all"},
	{X64, 280, {7, P, 0, NOFOLLOW}, "utimes 7:7f0000001000 all"},
	{X64, 280, {7, P, 0, EMPTY}, "utimes 7:7f0000001000 empty follow all"},
	{X64, 280, {7, 0, 0, DIRTY(0)}, "utimes 7:0 self follow all"},
	{X64, 280, {7, 0, 0, NOFOLLOW}, "malformed"},
	{X64, 280, {7, 0, 0, EMPTY}, "malformed"},
	{X64, 280, {DIRTY(CWD), 0, 0, 0}, "malformed"},
	{X86, 320, {7, DIRTY(0), 0, 0}, "utimes 7:0 self follow all"},
	{X86, 320, {7, p, 0, 0}, "utimes 7:1000 follow all"},
	{X86, 412, {7, p, 0, NOFOLLOW}, "utimes 7:1000 all"},
	{A64, 88, {7, P, 0, NOFOLLOW}, "utimes 7:7f0000001000 all"},
	{ARM, 348, {7, p, 0, 0}, "utimes 7:1000 follow all"},
	{ARM, 412, {7, 0, 0, 0}, "utimes 7:0 self follow all"},
	/* setxattr(path, ...), lsetxattr, fsetxattr(fd, ...), setxattrat(dirfd, path, flags, ...) */
	{X64, 188, {P, Q}, "setxattr -100:7f0000001000 follow all"},
	{X86, 226, {p, q}, "setxattr -100:1000 follow all"},
	{A64, 5, {P, Q}, "setxattr -100:7f0000001000 follow all"},
	{ARM, 226, {p, q}, "setxattr -100:1000 follow all"},
	{X64, 189, {P, Q}, "setxattr -100:7f0000001000 all"},
	{X86, 227, {p, q}, "setxattr -100:1000 all"},
	{A64, 6, {P, Q}, "setxattr -100:7f0000001000 all"},
	{ARM, 227, {p, q}, "setxattr -100:1000 all"},
	{X64, 190, {7, Q}, "setxattr 7:0 self all"},
	{X86, 228, {7, q}, "setxattr 7:0 self all"},
	{A64, 7, {7, Q}, "setxattr 7:0 self all"},
	{ARM, 228, {7, q}, "setxattr 7:0 self all"},
	{X64, 463, {7, P, 0, Q}, "setxattr 7:7f0000001000 follow all"},
	{X64, 463, {7, P, NOFOLLOW, Q}, "setxattr 7:7f0000001000 all"},
	{X64, 463, {7, P, EMPTY, Q}, "setxattr 7:7f0000001000 empty follow all"},
	{X64, 463, {7, 0, EMPTY, Q}, "setxattr 7:0 self empty follow all"},
	{X64, 463, {7, 0, 0, Q}, "malformed"},
	{X64, 463, {7, P, REMOVEDIR, Q}, "malformed"},
	{X86, 463, {7, p, 0, q}, "setxattr 7:1000 follow all"},
	{A64, 463, {7, P, 0, Q}, "setxattr 7:7f0000001000 follow all"},
	{ARM, 463, {7, p, 0, q}, "setxattr 7:1000 follow all"},
	/* removexattr(path, name), lremovexattr, fremovexattr(fd, name), removexattrat(dirfd, path, flags, name) */
	{X64, 197, {P, Q}, "removexattr -100:7f0000001000 follow all"},
	{X86, 235, {p, q}, "removexattr -100:1000 follow all"},
	{A64, 14, {P, Q}, "removexattr -100:7f0000001000 follow all"},
	{ARM, 235, {p, q}, "removexattr -100:1000 follow all"},
	{X64, 198, {P, Q}, "removexattr -100:7f0000001000 all"},
	{X86, 236, {p, q}, "removexattr -100:1000 all"},
	{A64, 15, {P, Q}, "removexattr -100:7f0000001000 all"},
	{ARM, 236, {p, q}, "removexattr -100:1000 all"},
	{X64, 199, {7, Q}, "removexattr 7:0 self all"},
	{X86, 237, {7, q}, "removexattr 7:0 self all"},
	{A64, 16, {7, Q}, "removexattr 7:0 self all"},
	{ARM, 237, {7, q}, "removexattr 7:0 self all"},
	{X64, 466, {7, P, NOFOLLOW, Q}, "removexattr 7:7f0000001000 all"},
	{X64, 466, {7, 0, EMPTY | NOFOLLOW, Q}, "removexattr 7:0 self empty all"},
	{X86, 466, {7, p, 0, q}, "removexattr 7:1000 follow all"},
	{A64, 466, {7, P, 0, Q}, "removexattr 7:7f0000001000 follow all"},
	{ARM, 466, {7, p, 0, q}, "removexattr 7:1000 follow all"},
	/* file_setattr(dirfd, path, attr, size, flags) */
	{X64, 469, {7, P, Q, 24, 0}, "setattr 7:7f0000001000 follow all"},
	{X64, 469, {7, P, Q, 24, NOFOLLOW}, "setattr 7:7f0000001000 all"},
	{X64, 469, {7, 0, Q, 24, EMPTY}, "setattr 7:0 self empty follow all"},
	{X64, 469, {7, P, Q, 24, 1}, "malformed"},
	{X86, 469, {7, p, q, 24, 0}, "setattr 7:1000 follow all"},
	{A64, 469, {7, P, Q, 24, 0}, "setattr 7:7f0000001000 follow all"},
	{ARM, 469, {7, p, q, 24, 0}, "setattr 7:1000 follow all"},
};

static const char *const ops[] = {
	[VU_CALL_OPEN] = "open",
	[VU_CALL_TRUNCATE] = "truncate",
	[VU_CALL_UNLINK] = "unlink",
	[VU_CALL_RMDIR] = "rmdir",
	[VU_CALL_RENAME] = "rename",
	[VU_CALL_EXCHANGE] = "exchange",
	[VU_CALL_LINK] = "link",
	[VU_CALL_ACCESS] = "access",
	[VU_CALL_CHMOD] = "chmod",
	[VU_CALL_CHOWN] = "chown",
	[VU_CALL_UTIMES] = "utimes",
	[VU_CALL_SETXATTR] = "setxattr",
	[VU_CALL_REMOVEXATTR] = "removexattr",
	[VU_CALL_SETATTR] = "setattr",
};

static const char *const needs[] = {
	[VU_NEED_NOTHING] = "nothing",
	[VU_NEED_GONE] = "gone",
	[VU_NEED_METADATA] = "metadata",
	[VU_NEED_ALL] = "all",
};

static void describe(int r, const struct vu_call *c, char *out, size_t size)
{
	int n;

	if (r) {
		snprintf(out, size, "%s",
			 r == VU_CALL_NONE	  ? "none"
			 : r == VU_CALL_MALFORMED ? "malformed"
						  : "?");
		return;
	}
	n = snprintf(out, size, "%s", ops[c->op]);
	for (unsigned i = 0; i < c->n_paths; i++) {
		const struct vu_call_path *w = &c->path[i];

		n += snprintf(out + n, size - (size_t)n, " %d:%jx%s%s%s %s", w->dirfd,
			      (uintmax_t)w->address, w->self ? " self" : "",
			      w->empty_self ? " empty" : "", w->follow ? " follow" : "",
			      needs[w->need]);
	}
	if (c->how_address)
		snprintf(out + n, size - (size_t)n, " how %jx+%u", (uintmax_t)c->how_address,
			 c->how_size);
}

static struct vu_call_numbers *numbers;

static int set_up(void **state)
{
	(void)state;
	numbers = vu_call_numbers_new();
	return !numbers;
}

static int tear_down(void **state)
{
	(void)state;
	numbers = vu_call_numbers_free(numbers);
	return 0;
}

static struct seccomp_data data_of(const struct row *r)
{
	struct seccomp_data d = {.nr = r->nr, .arch = r->arch};

	memcpy(d.args, r->args, sizeof(d.args));
	return d;
}

static void test_rows(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++) {
		struct seccomp_data d = data_of(&rows[i]);
		struct vu_call c;
		char got[200];

		describe(vu_call_decode(numbers, &d, &c), &c, got, sizeof(got));
		if (!strcmp(got, rows[i].want))
			continue;
		print_error("row %zu, arch %x, call %d: is '%s', not '%s'\n", i, rows[i].arch,
			    rows[i].nr, got, rows[i].want);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static bool in_rows(uint32_t arch, int nr)
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++)
		if (rows[i].arch == arch && rows[i].nr == nr)
			return true;
	return false;
}

/* No number but those above is ours: the table has nothing that no row is about. */
static void test_others(void **state)
{
	static const uint32_t archs[] = {X64, X86, A64, ARM, AUDIT_ARCH_S390X, 0, UINT32_MAX};
	struct vu_call c;

	(void)state;
	for (size_t a = 0; a < VU_ARRAY_SIZE(archs); a++) {
		for (int nr = -2000; nr < 2000; nr++) {
			struct seccomp_data d = {nr, archs[a], 0, {P, P, 1, 1, 0, 0}};

			if (!in_rows(archs[a], nr))
				assert_int_equal(vu_call_decode(numbers, &d, &c), VU_CALL_NONE);
		}
	}
	/* x32: the same architecture, with a bit in the number */
	struct seccomp_data x32 = {0x40000002, X64, 0, {P, WRONLY}};

	assert_int_equal(vu_call_decode(numbers, &x32, &c), VU_CALL_NONE);
}

static int complete(uint32_t arch, uint64_t flags, uint64_t mode, uint64_t resolve,
		    struct vu_call *ret)
{
	struct seccomp_data d = {437, arch, 0, {7, p, q, 24}};
	struct open_how how = {flags, mode, resolve};

	assert_int_equal(vu_call_decode(numbers, &d, ret), 0);
	return vu_call_complete(ret, &how);
}

static void test_openat2(void **state)
{
	static const struct {
		uint32_t arch;
		uint64_t flags, mode, resolve;
		const char *want;
	} hows[] = {
		{X64, RDONLY, 0, 0, "none"},
		{X64, RDWR, 0, 0, "open 7:1000 follow all"},
		{X64, RDWR | NOFOLLOW_X86, 0, 0, "open 7:1000 all"},
		{A64, RDWR | NOFOLLOW_ARM, 0, 0, "open 7:1000 all"},
		{X64, WRONLY | CREAT | TRUNC, 0644, 0, "open 7:1000 follow metadata"},
		{X64, WRONLY | CREAT | EXCL, 0644, 0, "none"},
		{X64, RDWR | TMPFILE_X86, 0600, 0, "none"},
		{X64, RDWR, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS, "open 7:1000 follow all"},
		{X64, RDWR, 0, RESOLVE_CACHED, "open 7:1000 follow all"},
		/* what open ignores is an error here */
		{X64, RDWR | UINT64_C(1) << 32, 0, 0, "malformed"},
		{X64, RDWR | 020, 0, 0, "malformed"},
		{X64, RDWR | 040000000, 0, 0, "malformed"},
		{X64, RDWR, 0644, 0, "malformed"},
		{X64, RDWR | CREAT, 010644, 0, "malformed"},
		{X64, RDWR, 0, UINT64_C(1) << 40, "malformed"},
		{X64, RDWR, 0, RESOLVE_IN_ROOT | RESOLVE_BENEATH, "malformed"},
		{X64, WRONLY | TRUNC, 0, RESOLVE_CACHED, "malformed"},
	};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(hows); i++) {
		struct vu_call c;
		char got[200];
		int r = complete(hows[i].arch, hows[i].flags, hows[i].mode, hows[i].resolve, &c);

		describe(r, &c, got, sizeof(got));
		assert_string_equal(got, hows[i].want);
		if (!r)
			assert_true(c.open_flags == hows[i].flags && c.mode == hows[i].mode &&
				    c.resolve == hows[i].resolve);
	}
}

/* Flags and mode, of which the kernel takes no more than the permission bits. */
static void test_open_values(void **state)
{
	struct seccomp_data d = {2, X64, 0, {P, RDWR | CREAT | APPEND, 0177644}};
	struct seccomp_data creat = {85, X64, 0, {P, DIRTY(0640)}};
	struct vu_call c;

	(void)state;
	assert_int_equal(vu_call_decode(numbers, &d, &c), 0);
	assert_int_equal(c.open_flags, RDWR | CREAT | APPEND);
	assert_int_equal(c.mode, 07644);
	assert_int_equal(c.arch, X64);
	assert_int_equal(vu_call_decode(numbers, &creat, &c), 0);
	assert_int_equal(c.open_flags, WRONLY | CREAT | TRUNC);
	assert_int_equal(c.mode, 0640);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_openat2),
		cmocka_unit_test(test_open_values),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

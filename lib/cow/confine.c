/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capabilities: what is not in the bounding set cannot be had again, by no set-id program and no file
 * capability (capabilities(7)). A new user namespace gives all of them, over that namespace: of what is wanted
 * in the initial one (LINUX_IMMUTABLE, MKNOD, RAWIO, handles of files beyond a mount of its own) none.
 *
 * The kernel may know capabilities that this was built without: they are found by asking it.
 */
#include "cow/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif

#define BIT(cap) (UINT64_C(1) << (cap))

#define GUESTS                                                                                     \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) |              \
	 BIT(CAP_KILL) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETPCAP) | BIT(CAP_SETFCAP) | \
	 BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) | BIT(CAP_AUDIT_WRITE))

/* Takes all from the bounding set that is not kept. */
static int bound(uint64_t keep)
{
	for (unsigned long cap = 0; cap < 64; cap++) {
		int there = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (there < 0)
			return errno == EINVAL ? 0 : -errno; /* that was the last one */
		if (there && !(keep & BIT(cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return -errno;
	}
	return 0;
}

static int keep_only(uint64_t keep)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	int r;

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -errno;
	r = bound(keep);
	if (!r && syscall(SYS_capget, &h, d))
		r = -errno;
	if (r)
		return r;
	for (size_t i = 0; i < VU_ARRAY_SIZE(d); i++) {
		uint32_t half = (uint32_t)(keep >> (32 * i));

		d[i].permitted &= half;
		d[i].effective &= half;
		d[i].inheritable &= half;
	}
	return syscall(SYS_capset, &h, d) ? -errno : 0;
}

int vu_confine_guest(void)
{
	return keep_only(GUESTS);
}

int vu_confine_immutable(void)
{
	return keep_only(~BIT(CAP_LINUX_IMMUTABLE));
}

int vu_confine_first(void)
{
	return keep_only(BIT(CAP_KILL));
}

/* ---- the terminal ---- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define ARCH_32 AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define ARCH_32 AUDIT_ARCH_ARM
#endif
#define IOCTL_32 54 /* of i386 and of arm */
#define X32_BIT 0x40000000

#ifdef ARCH
int vu_confine_terminal(void)
{
	const uint32_t arch = offsetof(struct seccomp_data, arch);
	const uint32_t nr = offsetof(struct seccomp_data, nr);
	const uint32_t request = offsetof(struct seccomp_data, args[1]); /* its lower half */
	struct sock_filter insn[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH_32, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IOCTL_32, 4, 7),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, 8),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, nr),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, X32_BIT, 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, request),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};
	struct sock_fprog prog = {VU_ARRAY_SIZE(insn), insn};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) ? -errno : 0;
}
#else
int vu_confine_terminal(void)
{
	return -EOPNOTSUPP;
}
#endif

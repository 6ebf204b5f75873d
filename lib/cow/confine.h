/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a command in a guest may not do though it is root there, and in the host's own user namespace:
 * capabilities that are taken from it for good, and keys that it may not press. Each concerns the calling
 * thread and what it makes and executes from then on. System calls only: may be called between fork and exec.
 */
#pragma once

/*
 * A guest's command keeps the capabilities that package managers and what they start need: CHOWN, DAC_OVERRIDE,
 * FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, SETFCAP, NET_BIND_SERVICE, SYS_CHROOT, AUDIT_WRITE. All others
 * leave all of its sets. Those that somebody may miss, and why they are not there:
 *
 *   LINUX_IMMUTABLE   shared files are shared because nobody in a guest has it
 *   SYS_ADMIN         mounts: /proc/sys would be writable again, and with it core_pattern; dpkg needs none
 *   DAC_READ_SEARCH   any file of the host by its handle; to read all files of the guest DAC_OVERRIDE does
 *   SYS_PTRACE        the first process, which has the supervisor's memory; tracing one's own goes without
 *   MKNOD             disks by device nodes that stay in the guest's tree; FIFOs and whiteouts go without
 *   NET_ADMIN, NET_RAW   the network is the host's
 *   SYS_RAWIO, SYS_MODULE, SYS_BOOT, SYS_TIME, SYSLOG, MAC_*, BPF, PERFMON...   the machine is the host's
 *   SYS_NICE, SYS_RESOURCE, LEASE, IPC_LOCK   it cannot starve the others, nor hold leases on shared files
 *
 * A program with a file capability that is missing here cannot be executed (EPERM): ping, where it is made so.
 * Returns 0 or a negative errno.
 */
int vu_confine_guest(void);

/*
 * Only loses LINUX_IMMUTABLE: that is all for a launcher, and with it for its guests; whoever else is made loses
 * it first of all. Returns 0 or a negative errno.
 */
int vu_confine_immutable(void);

/* The first process signals others, and does nothing else: it keeps KILL. Returns 0 or a negative errno. */
int vu_confine_first(void);

/*
 * Nothing can be typed into a terminal by ioctl(2) any more (TIOCSTI, TIOCLINUX: EPERM): the admin's shell would
 * execute it, once the command has ended. A seccomp filter; needs CAP_SYS_ADMIN, so comes before vu_confine_guest.
 * Calls of another architecture than this machine's and its 32-bit companion, x32 among them, are answered with
 * ENOSYS. Returns 0; -EOPNOTSUPP on another machine than x86_64 and aarch64; or another negative errno.
 */
int vu_confine_terminal(void);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mounts of a command in a guest, in a mount namespace of its own: nothing of it is ever seen by the host,
 * and all of it is gone with the last process in it. Called by the first process (cow/guest-init.h) alone.
 *
 *   /       the guest's tree, with what the host has mounted below it; what is mounted there later does not
 *           appear. Without devices (nodev): a guest's tree may hold nodes of disks.
 *   /proc   of the PID namespace. What of it is the machine's is read-only: sys, sysrq-trigger, irq, bus, fs,
 *           acpi, scsi, dynamic_debug. To user 0 it would be writable without any capability, and core_pattern
 *           starts programs on the host.
 *   /sys    read-only, with nothing mounted in it: no control groups, no debugfs
 *   /dev    a tmpfs with null, zero, full, random, urandom, tty; links fd, stdin, stdout, stderr, ptmx; pts, which
 *           holds pseudo terminals of its own; shm. The terminal that standard input is, is /dev/console (as
 *           otherwise it would have no name in the guest); without one there is none.
 *   /run    a tmpfs with an empty /run/lock, whatever the guest has there: process numbers and sockets left by
 *           another run of the guest mean nothing in this PID namespace, and no package manager takes the guest
 *           for a system that systemd runs (/run/systemd/system). What is made there is not kept, as in
 *           systemd-nspawn and unlike in a chroot.
 *
 * The tree is hostile. A place where something is to be mounted has to be a directory: if it is missing, a
 * symlink or a file, it is left out, as nothing is ever made in the tree. A running guest that moves such a
 * directory away, moves the mount with it; if it removes it, the mount is gone: it harms itself.
 *
 * Linux 5.12 (mount_setattr(2)).
 */
#pragma once

#include <stddef.h>

#define VU_GUEST_PLACES 4

/* A place that nothing is mounted at. */
struct vu_left_out {
	char place[8]; /* "/proc" */
	int error;     /* negative errno; -ENOENT: it is not there, -ENOTDIR: it is no directory */
};

/* Written by the first process, read by its caller; plain memory that both have. */
struct vu_guest_mounted {
	const char *doing; /* static; what has failed, as in "cannot mount /proc" */
	size_t n_left_out;
	struct vu_left_out left_out[VU_GUEST_PLACES];
};

/*
 * Unshares the mounts of the calling process (which has one thread, and is in the PID namespace that /proc is
 * to show) and makes root (borrowed; an open directory, O_PATH is enough) its "/" and working directory. What
 * else it has open stays open. Its umask is 0 afterwards. Returns 0, or a negative errno with ret->doing: then
 * the process is of no use any more.
 */
int vu_guest_mounts_enter(int root, struct vu_guest_mounted *ret);

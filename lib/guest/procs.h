/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who runs in a guest, and could one of them lift the immutable flag from a file that others share?
 * Reads /proc once for all guests; touches no process. To be called in the host's own PID and user
 * namespace, where vunify runs anyway: processes of other PID namespaces cannot be seen, and it is the
 * initial user namespace in which the kernel wants CAP_LINUX_IMMUTABLE (with ours standing for it).
 *
 * A process belongs to the innermost given root that is its root directory or stands above it as the
 * process itself sees its mounts; so a guest hides nothing by a further chroot. Each thread is looked
 * at: root directory and capabilities are a thread's own. What a host process does that merely works
 * in a guest's tree is the host admin's affair, and not counted; nor is a thread in a guest's root whose
 * process's first thread has the root directory of the caller.
 *
 * Where "/" itself is given as a root, the guest is the host: it counts all processes that no other
 * root has, kernel threads included, and they hold the capability. The gate is not for it: one who is
 * root on the host needs no hole. So the caller leaves "/" out of the judgement.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VU_PROCS_NAME_MAX 64

struct vu_procs_root {
	uint64_t dev; /* as makedev() makes it */
	uint64_t ino;
};

struct vu_procs_found {
	uint32_t n_processes;
	pid_t capable_pid; /* the first with the capability in the initial user namespace; 0: none */
	char capable_name[VU_PROCS_NAME_MAX]; /* its name; chosen by the guest, any bytes */
};

/*
 * Looks at all processes. ret_found has n elements, in the order of roots. "With the capability" is:
 * permitted, effective, or in the bounding set, from which a program run by the guest's root gets it.
 * A process that cannot be read while it lives counts as having it. Processes that end meanwhile are
 * no error. Returns 0, -ENOMEM, or what opening /proc gave (-ENOENT, -EMFILE, ...).
 */
int vu_procs_scan(const struct vu_procs_root *roots, size_t n, struct vu_procs_found *ret_found);

/*
 * Calls fn once for each process that belongs to one of the roots, with that root's index, its number,
 * and the process' directory in /proc, or rather that of a thread that lives (borrowed; O_PATH), until
 * fn returns non-zero, which is returned; else as vu_procs_scan.
 */
int vu_procs_each(const struct vu_procs_root *roots, size_t n,
		  int (*fn)(void *arg, size_t root, pid_t pid, int task_fd), void *arg);

/* The same for one process, if it belongs to one of the roots. */
int vu_procs_one(const struct vu_procs_root *roots, size_t n, pid_t pid,
		 int (*fn)(void *arg, size_t root, pid_t pid, int task_fd), void *arg);

/* The same once for each thread: root directory, mounts and capabilities are a thread's own. */
int vu_procs_each_task(const struct vu_procs_root *roots, size_t n,
		       int (*fn)(void *arg, size_t root, pid_t pid, int task_fd), void *arg);

/* ---- of one thread, by its directory in /proc ---- */

/* A buffer that grows; zeroed at first, its s to be freed in the end. */
struct vu_procs_text {
	char *s;
	size_t cap; /* bytes */
};

/* Reads its status file to the end. Returns 0 or a negative errno (-ESRCH, -ENOENT: it has ended). */
int vu_procs_status(int task_fd, struct vu_procs_text *text);

/* By that text: does it hold the capability, or could a program that it runs? */
bool vu_procs_can_have(const char *status, unsigned cap);

/* Its name, as it chose it; empty if it cannot be read. */
void vu_procs_name(int task_fd, char name[VU_PROCS_NAME_MAX]);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For vm-attack: ways into the kernel besides the native system calls: io_uring, and the gate of 32-bit programs
 * (int $0x80), with their own numbers, requests and sizes. Each tries to change the file, and returns 1 when it has,
 * 0 when it was refused, VM_NONE where the kernel has no such gate. One thread.
 */
#pragma once

#define VM_NONE 2

/* Before the others: makes the ring, and finds out whether there is the other gate. */
void vm_gates_open(void);

int vm_ring_open(const char *path);
/* By a descriptor for reading, as nobody can have another one of a marked file: no file is changed so. */
int vm_ring_truncate(const char *path);
int vm_ring_fallocate(const char *path);

int vm_open_32(const char *path);
int vm_truncate_32(const char *path);
int vm_chmod_32(const char *path);
int vm_fchmod_32(const char *path);
int vm_chown_32(const char *path);
int vm_utime_32(const char *path);
int vm_fsetxattr_32(const char *path);
/* FS_IOC32_SETFLAGS, FS_IOC32_SETVERSION */
int vm_flags_32(const char *path);
int vm_version_32(const char *path);

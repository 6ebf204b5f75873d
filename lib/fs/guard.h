/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The marks of the guard: which inodes the BPF LSM programs of lib/lsm keep from being changed, in place of the
 * immutable flag. Marks are in a map of the kernel that is pinned below /sys/fs/bpf, so they outlive every process;
 * they do not outlive a reboot. An inode is known by what its file system keeps of it on the disk, so that a mark
 * holds also after the inode went out of memory, or the file system was mounted anew. Needs no libbpf: whoever works
 * with objects has to ask. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct stat;
struct vu_stat;

#define VU_GUARD_DIR "/sys/fs/bpf/vunify" /* root's alone */
#define VU_GUARD_MARKS VU_GUARD_DIR "/marks"
#define VU_GUARD_KEEPERS VU_GUARD_DIR "/keepers"

/* Shared with the programs in the kernel (lib/lsm/programs.bpf.c). */
struct vu_guard_mark {
	uint8_t fs[16]; /* UUID of the file system */
	uint64_t ino;
	uint32_t generation; /* a new one for each file that gets the number: FS_IOC_GETVERSION */
	uint32_t zero;
};

/* The pool for which a mark was set; the same as long as the pool is there. */
struct vu_guard_pool {
	uint64_t fs_id;	  /* f_fsid: another one for each subvolume */
	uint64_t ino;	  /* of the pool's directory */
	uint64_t retired; /* 0, but in the map: see vu_guard_retire */
};

/* Of a pool's open directory. Returns 0 or a negative errno. */
int vu_guard_pool_of(int fd, struct vu_guard_pool *ret);

/* The mark that the inode of an open file would have. Returns 0, or a negative errno (-EOPNOTSUPP). */
int vu_guard_mark_of(int fd, struct vu_guard_mark *ret);

/* Is VU_GUARD_DIR, which is what st says, root's alone? Else nothing in it is believed. */
bool vu_guard_dir_is_safe(const struct stat *st);

/* Opens the map of marks. Returns the fd, -ENOENT where there is no guard, or a negative errno. */
int vu_guard_open(void);

/* Is there a guard? */
bool vu_guard_is_there(void);

/* Is the mark in the map? Returns 1, 0 or a negative errno. */
int vu_guard_has(int map, const struct vu_guard_mark *mark);

/* Sets and drops a mark. Return 0, also when that was so before; or a negative errno (-E2BIG: full). */
int vu_guard_add(int map, const struct vu_guard_mark *mark, const struct vu_guard_pool *pool);
int vu_guard_drop(int map, const struct vu_guard_mark *mark);

/* The mark behind prev (NULL: the first), in no order. Returns 0, -ENOENT behind the last, or errno. */
int vu_guard_next(int map, const struct vu_guard_mark *prev, struct vu_guard_mark *ret);

/* Drops all marks that were set for a pool. Returns 0 or a negative errno. */
int vu_guard_forget(int map, const struct vu_guard_pool *pool);

/* Is the inode of an open file marked? False where that cannot be told. Cheap where there is no guard. */
bool vu_guard_holds(int fd);

/* Is the inode of an open file, which is what st says, kept from being changed: by its flag, or by a mark? */
bool vu_guard_or_flag_holds(int fd, const struct vu_stat *st);

/* Sees to it that it is: a mark is enough, else its flag is set. Returns 0 or a negative errno. */
int vu_guard_or_flag(int fd);

/*
 * vu_lease_take (fs/lease.h) of an object. Under the guard, an open for writing counts as a writer for the
 * instant until it is refused: there it is tried for some milliseconds.
 */
int vu_guard_lease(int fd);

/* The inode of an open file is an object no more, but a guest's own: its mark is dropped, if it had one. */
void vu_guard_release(int fd);

/*
 * The inode of an open file is about to lose its last name: its mark is to go with it, as soon as nobody has it open
 * any more.
 */
void vu_guard_retire(int fd);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process of a guest sees: its memory, and where a path leads that it gives to a system call. Paths are
 * resolved by the kernel, with the process's own root directory, working directory and descriptors, in its
 * mount namespace: where that is to be had no other way, the calling thread enters its root for the time.
 * Nothing that is found is trusted: who uses it compares inodes. Does not change anything.
 *
 * One for each thread, which has root and working directory of its own from then on (unshare(CLONE_FS)): while it
 * is inside of a guest's root no path of the host's leads anywhere, /proc of the host neither. So between
 * vu_view_resolve and vu_view_leave nothing else is to be called.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cow/call.h"
#include "fs/stat.h"

struct vu_view;

/*
 * For the calling thread, which is in the host's root. dev: of the file system that nobody in the guest can hold up.
 * root: the inode of the guest's root, if that is on it (cow/start.h); or 0. Returns 0 or a negative errno.
 */
int vu_view_new(uint64_t dev, uint64_t root, struct vu_view **ret);

/* By the same thread. Accepts NULL, returns NULL. */
struct vu_view *vu_view_free(struct vu_view *v);

/*
 * From here to vu_view_end all is about one call of a thread, which waits for the answer: where its paths begin is
 * looked up but once.
 */
void vu_view_begin(struct vu_view *v);
void vu_view_end(struct vu_view *v);

/*
 * Reads the string at this address of a thread's memory; buf has PATH_MAX bytes. Returns its length; -EFAULT
 * when it cannot be read; -ENAMETOOLONG; or another negative errno.
 */
ssize_t vu_view_read_path(pid_t tid, uint64_t address, char *buf);

/* Two of them by one system call, if they are short. Returns whether it has; else they are to be read one by one. */
bool vu_view_read_two(pid_t tid, const uint64_t address[2], char *const buf[2]);

/* Reads size bytes. Returns 0, -EFAULT, or another negative errno. */
int vu_view_read(pid_t tid, uint64_t address, void *buf, size_t size);

enum vu_view_how {
	VU_VIEW_WHOLLY,
	VU_VIEW_QUICKLY, /* -EAGAIN where that takes entering a root, or a file system that may have to be waited for */
};

/*
 * Opens (O_PATH) what a path of the call leads to for a thread; text: the path that was read, or NULL where it
 * means the descriptor (p->self). Returns the fd (owned by the caller), with ret_st; or what the kernel says
 * (-ENOENT, ...). The thread may be in the guest's root afterwards, whatever is returned; but not where it looked
 * only quickly.
 */
int vu_view_resolve(struct vu_view *v, pid_t tid, const struct vu_call_path *p, const char *text,
		    enum vu_view_how how, struct vu_stat *ret_st);

/*
 * What is there, by the least that there is to do, and as quickly as with VU_VIEW_QUICKLY. Returns 0, -EAGAIN where
 * that does not tell, or what the kernel says.
 */
int vu_view_look(struct vu_view *v, pid_t tid, const struct vu_call_path *p, const char *text,
		 struct vu_stat *ret);

/*
 * The descriptor by which the path that was resolved last ended: of the process itself (p->self), or of the process
 * whose directory fd in a /proc had the link that was the last part. -1: by none.
 */
int vu_view_descriptor(const struct vu_view *v);

/*
 * The last part of a path, which has to be a plain name (base has NAME_MAX + 1 bytes). Returns how much of the text is
 * its directory: 0 where it begins; or -EINVAL.
 */
ssize_t vu_view_split(const char *text, char *base);

/*
 * Opens (O_PATH) the directory of a path, which need not lead to anything yet, with the last part of it (base
 * has NAME_MAX + 1 bytes). Returns as vu_view_resolve; -EINVAL where the last part is no plain name.
 */
int vu_view_resolve_dir(struct vu_view *v, pid_t tid, const struct vu_call_path *p,
			const char *text, enum vu_view_how how, char *base, struct vu_stat *ret_st);

/*
 * After vu_view_resolve, for the same thread: the directory in which the file that was opened (fd) has the name
 * by which it was reached. Returns an O_PATH fd, with that name (base has NAME_MAX + 1 bytes); -ENOENT when it
 * has lost it; or another negative errno. The thread is in the guest's root afterwards.
 */
int vu_view_parent(struct vu_view *v, int fd, char *base);

/* Back to the host's root. Returns 0; a negative errno means that the thread is of no use any more. */
int vu_view_leave(struct vu_view *v);

/*
 * The same directory by another mount of its file system, which any open file of that mount (mount_fd) stands
 * for. Returns a directory fd, or a negative errno.
 */
int vu_view_on_mount(int dir, int mount_fd);

/*
 * The path of an open directory as this thread sees it now. buf has PATH_MAX bytes. Returns its length or a
 * negative errno.
 */
ssize_t vu_view_path(struct vu_view *v, int fd, char *buf);

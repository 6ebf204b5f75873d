/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard, in the kernel: what would change a marked inode's content or metadata fails with EPERM, whoever asks for
 * it and by whichever name or descriptor; its names may come and go. That is what the immutable flag refuses, without
 * link, unlink and rename (as IUNLINK of Linux-VServer did).
 *
 * One program per hook; which of them a kernel has is found out by the loader (lsm.c). What leads where, as of
 * Linux 6.1 to 6.18:
 *
 *   file_open           every open for writing: open, creat, exec's and swapon's own, open_by_handle_at, io_uring,
 *                       nfsd, the upper half of overlayfs. It comes before break_lease() and behind i_writecount++, so
 *                       who sets a mark and then gets a read lease knows that no writer is left.
 *   path_truncate       truncate, and open with O_TRUNC up to 6.1; file_truncate: the latter from 6.2 on
 *   inode_setattr       chmod, chown, utimes, truncate; also of the kernel itself
 *   inode_setxattr, inode_removexattr; ACLs are attributes up to 6.1, inode_set_acl and inode_remove_acl from 6.2 on
 *   file_ioctl          of the requests that change an inode through a descriptor for reading: flags, project,
 *                       generation (by which an inode is known here), fs-verity. file_ioctl_compat: the same of 32-bit
 *                       programs, where that has a hook of its own.
 *   inode_file_setattr  flags and project by file_setattr(2) (6.17)
 *
 *   inode_free_security an inode without names is freed: its mark goes with it. Not before: a guest that has it open
 *                       still must not change what another one reads.
 *
 * All else that writes needs a descriptor that was opened for writing. Flags may be changed by a keeper: the thread
 * that sets the immutable flag before it drops a mark. Nothing else has an exception, not even for root.
 */
#include "lsm/kernel-types.h"

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "fs/guard.h"

#define EPERM 1
#define FMODE_WRITE 2U
#define MARKS_MAX 262144 /* its table takes 4 MiB; an entry is made when it is needed */

/* A request without the size of what it points to: that differs for 32-bit programs. */
#define REQUEST_MASK (~(0x3fffU << 16))
#define REQUEST(direction, type, number) ((direction) << 30 | (type) << 8 | (number))
#define WRITE 1U
#define READ 2U

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MARKS_MAX);
	__type(key, struct vu_guard_mark);
	__type(value, struct vu_guard_pool);
} marks SEC(".maps");

/* Goes with the thread, so that nobody else comes by it when its number is used again. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} keepers SEC(".maps");

char licence[] SEC("license") = "GPL";

static __always_inline void mark_of(struct inode *inode, struct vu_guard_mark *ret)
{
	ret->zero = 0;
	ret->ino = inode->i_ino;
	ret->generation = inode->i_generation;
	bpf_core_read(&ret->fs, sizeof(ret->fs), &inode->i_sb->s_uuid);
}

static __always_inline int is_marked(struct inode *inode)
{
	struct vu_guard_mark mark;

	if (!inode)
		return 0;
	mark_of(inode, &mark);
	return bpf_map_lookup_elem(&marks, &mark) != NULL;
}

static __always_inline int is_keeper(void)
{
	return bpf_task_storage_get(&keepers, bpf_get_current_task_btf(), NULL, 0) != NULL;
}

static __always_inline int refuse(struct inode *inode, int ret)
{
	return ret ? ret : is_marked(inode) ? -EPERM : 0;
}

SEC("lsm/file_open")
int BPF_PROG(on_open, struct file *file, int ret)
{
	return file->f_mode & FMODE_WRITE ? refuse(file->f_inode, ret) : ret;
}

SEC("lsm/path_truncate")
int BPF_PROG(on_path_truncate, const struct path *path, int ret)
{
	return refuse(path->dentry->d_inode, ret);
}

SEC("lsm/file_truncate")
int BPF_PROG(on_file_truncate, struct file *file, int ret)
{
	return refuse(file->f_inode, ret);
}

/* Up to 6.1 without an idmapping. */
SEC("lsm/inode_setattr")
int BPF_PROG(on_setattr_2, struct dentry *dentry, void *attr, int ret)
{
	return refuse(dentry->d_inode, ret);
}

SEC("lsm/inode_setattr")
int BPF_PROG(on_setattr_3, void *idmap, struct dentry *dentry, void *attr, int ret)
{
	return refuse(dentry->d_inode, ret);
}

SEC("lsm/inode_setxattr")
int BPF_PROG(on_setxattr, void *idmap, struct dentry *dentry)
{
	return refuse(dentry->d_inode, 0);
}

SEC("lsm/inode_removexattr")
int BPF_PROG(on_removexattr, void *idmap, struct dentry *dentry)
{
	return refuse(dentry->d_inode, 0);
}

SEC("lsm/inode_set_acl")
int BPF_PROG(on_set_acl, void *idmap, struct dentry *dentry)
{
	return refuse(dentry->d_inode, 0);
}

SEC("lsm/inode_remove_acl")
int BPF_PROG(on_remove_acl, void *idmap, struct dentry *dentry)
{
	return refuse(dentry->d_inode, 0);
}

SEC("lsm/inode_file_setattr")
int BPF_PROG(on_file_setattr, struct dentry *dentry)
{
	return is_keeper() ? 0 : refuse(dentry->d_inode, 0);
}

static __always_inline int refuse_ioctl(struct file *file, unsigned int request, int ret)
{
	switch (request & REQUEST_MASK) {
	case REQUEST(WRITE, 'f', 2):   /* FS_IOC_SETFLAGS */
	case REQUEST(WRITE, 'X', 32):  /* FS_IOC_FSSETXATTR */
	case REQUEST(WRITE, 'v', 2):   /* FS_IOC_SETVERSION */
	case REQUEST(WRITE, 'f', 4):   /* EXT4_IOC_SETVERSION */
	case REQUEST(WRITE, 'f', 133): /* FS_IOC_ENABLE_VERITY */
		return is_keeper() ? ret : refuse(file->f_inode, ret);
	}
	return ret;
}

/* An inode goes out of memory: with the last name gone, so does its mark. */
SEC("lsm/inode_free_security")
int BPF_PROG(on_free, struct inode *inode)
{
	const struct vu_guard_pool *pool;
	struct vu_guard_mark mark;

	if (inode->i_nlink)
		return 0;
	mark_of(inode, &mark);
	pool = bpf_map_lookup_elem(&marks, &mark);
	/* a file of a snapshot has the same mark, and dies as it likes */
	if (pool && pool->retired)
		bpf_map_delete_elem(&marks, &mark);
	return 0;
}

SEC("lsm/file_ioctl")
int BPF_PROG(on_ioctl, struct file *file, unsigned int request, unsigned long arg, int ret)
{
	return refuse_ioctl(file, request, ret);
}

SEC("lsm/file_ioctl_compat")
int BPF_PROG(on_ioctl_compat, struct file *file, unsigned int request, unsigned long arg, int ret)
{
	return refuse_ioctl(file, request, ret);
}

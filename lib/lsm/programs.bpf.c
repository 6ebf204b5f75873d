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
 *
 * With copy-on-write (Linux 6.9 and later) who opens a marked inode for writing may wait instead: where the
 * keeper holds a lease on it ("held"), file_open says so to the keeper ("asks"), and lets it go on into
 * break_lease(). There it waits, until the keeper has given the path a private copy and interrupts it: then the
 * system call begins anew, and finds the copy. Nobody comes out of break_lease() with a marked inode, as long
 * as there is a lease; and if there is none, because the keeper has died, file_post_open refuses:
 *
 *   file_post_open      behind the open, but before O_TRUNC cuts (do_open() in fs/namei.c, 6.9 to 6.18). -ESTALE has
 *                       the kernel look the path up once more, where a copy may be by then; the second time, -EPERM.
 *
 * It is called by open, openat, openat2, creat and open_by_handle_at alone. What opens a file otherwise (overlayfs,
 * nfsd, fanotify, ...) is refused in file_open, as without copy-on-write: only who calls it from vfs_open() from
 * path_openat() goes on (is_by_path). So do threads that nobody can interrupt.
 *
 *   inode_link, inode_rename   tell the keeper that a file's names are not what they were; they refuse nothing.
 */
#include "lsm/kernel-types.h"

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "lsm/ask.h"

#define EPERM 1
#define ESTALE 116
#define MAX_ERRNO 4095
#define PF_IO_WORKER 0x10U
#define PF_KTHREAD 0x200000U
#define DEPTH_MAX 128
#define FRAMES 24
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

/* Inodes on which the keeper holds a lease. Not pinned: it goes with the programs of this keeper. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MARKS_MAX);
	__type(key, struct vu_guard_mark);
	__type(value, __u32);
} held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} asks SEC(".maps");

/* The keeper's answers where there is no copy. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct vu_ask_refusal);
	__type(value, __s32);
} refusals SEC(".maps");

/* The inode at which file_post_open had the lookup repeated last. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} repeated SEC(".maps");

/* Changes of names that the keeper was not told of: there was no room. */
__u64 names_missed;

const volatile bool may_ask;
const volatile struct vu_ask_range functions[VU_ASK_FUNCTIONS];

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

/* ---- copy-on-write ---- */

static __always_inline bool is_in(__u64 address, enum vu_ask_function f)
{
	return address >= functions[f].begin && address < functions[f].end;
}

/* Called by vfs_open() from path_openat(), and by nothing in between? */
static __always_inline bool is_by_path(void *ctx)
{
	__u64 at[FRAMES] = {0};
	int found = 0;

	if (bpf_get_stack(ctx, at, sizeof(at), 0) < 0)
		return false;
	for (int i = 0; i < FRAMES; i++) {
		if (found == 0)
			found = is_in(at[i], VU_ASK_DO_DENTRY_OPEN);
		else if (found == 1 && is_in(at[i], VU_ASK_VFS_OPEN))
			found = 2;
		else if (found == 2 && is_in(at[i], VU_ASK_DO_OPEN))
			found = 3; /* a function of its own, or a part of the next */
		else
			return found >= 2 && is_in(at[i], VU_ASK_PATH_OPENAT);
	}
	return false;
}

/* Names from the file up to the root of its file system. */
static __always_inline bool write_path(struct vu_ask *a, struct dentry *dentry)
{
	__u32 at = 0;

	for (int i = 0; i < DEPTH_MAX; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

		if (parent == dentry) {
			a->length = at;
			return at > 0;
		}
		if (at > VU_ASK_PATH - VU_ASK_NAME)
			return false;
		long n = bpf_probe_read_kernel_str(a->path + at, VU_ASK_NAME,
						   BPF_CORE_READ(dentry, d_name.name));

		if (n <= 0 || n > VU_ASK_NAME)
			return false;
		at += (__u32)n;
		dentry = parent;
	}
	return false;
}

static __always_inline int send_ask(struct file *file, const struct vu_guard_mark *mark)
{
	struct vu_ask *a = bpf_ringbuf_reserve(&asks, sizeof(*a), 0);
	__u64 id = bpf_get_current_pid_tgid();

	if (!a)
		return -EPERM;
	a->mark = *mark;
	a->kind = VU_ASK_OPEN;
	a->tgid = id >> 32;
	a->tid = (__u32)id;
	if (!write_path(a, file->f_path.dentry)) {
		bpf_ringbuf_discard(a, 0);
		return -EPERM;
	}
	bpf_ringbuf_submit(a, 0);
	return 0;
}

/* An open for writing of a marked inode: 0 where it may wait. */
static __always_inline int ask(void *ctx, struct file *file, const struct vu_guard_mark *mark)
{
	struct vu_ask_refusal who = {.ino = mark->ino, .tid = (__u32)bpf_get_current_pid_tgid()};
	const __s32 *refusal = bpf_map_lookup_elem(&refusals, &who);

	if (refusal) {
		int err = *refusal;

		bpf_map_delete_elem(&refusals, &who);
		return err < 0 && err >= -MAX_ERRNO ? err : -EPERM;
	}
	if (bpf_get_current_task_btf()->flags & (PF_KTHREAD | PF_IO_WORKER))
		return -EPERM;
	if (!bpf_map_lookup_elem(&held, mark) || !is_by_path(ctx))
		return -EPERM;
	return send_ask(file, mark);
}

SEC("lsm/file_open")
int BPF_PROG(on_open, struct file *file, int ret)
{
	struct vu_guard_mark mark;
	__u64 *last;

	if (ret || !(file->f_mode & FMODE_WRITE))
		return ret;
	mark_of(file->f_inode, &mark);
	if (bpf_map_lookup_elem(&marks, &mark))
		return may_ask ? ask(ctx, file, &mark) : -EPERM;
	if (may_ask) {
		last = bpf_task_storage_get(&repeated, bpf_get_current_task_btf(), NULL, 0);
		if (last)
			*last = 0;
	}
	return 0;
}

SEC("lsm/file_post_open")
int BPF_PROG(on_post_open, struct file *file, int mask, int ret)
{
	__u64 none = 0, *last;

	if (ret || !(file->f_mode & FMODE_WRITE) || !is_marked(file->f_inode))
		return ret;
	last = bpf_task_storage_get(&repeated, bpf_get_current_task_btf(), &none,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!last)
		return -EPERM;
	bool again = *last == file->f_inode->i_ino;

	*last = again ? 0 : file->f_inode->i_ino;
	return again ? -EPERM : -ESTALE;
}

static __always_inline void tell_names(struct inode *inode)
{
	struct vu_guard_mark mark;
	struct vu_ask *a;

	if (!may_ask || !inode)
		return;
	mark_of(inode, &mark);
	if (!bpf_map_lookup_elem(&held, &mark))
		return;
	a = bpf_ringbuf_reserve(&asks, __builtin_offsetof(struct vu_ask, path), 0);
	if (!a) {
		__sync_fetch_and_add(&names_missed, 1);
		return;
	}
	a->mark = mark;
	a->kind = VU_ASK_NAMES;
	a->length = 0;
	bpf_ringbuf_submit(a, 0);
}

SEC("lsm/inode_link")
int BPF_PROG(on_link, struct dentry *old, struct inode *dir, struct dentry *new, int ret)
{
	tell_names(old->d_inode);
	return ret;
}

SEC("lsm/inode_rename")
int BPF_PROG(on_rename, struct inode *old_dir, struct dentry *old, struct inode *new_dir,
	     struct dentry *new, int ret)
{
	tell_names(old->d_inode);
	return ret;
}

/* ---- what is refused in any case ---- */

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

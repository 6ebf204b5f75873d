/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the kernel's types that programs.bpf.c reads, instead of all of them (vmlinux.h: 3 MB). Where
 * the members really lie is put in when the programs are loaded (CO-RE), so what is left out does not matter.
 * Only for clang with -target bpf; to be included before libbpf's headers, which want these names.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
	BPF_F_NO_PREALLOC = 1U
};

enum {
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1U
};

#ifdef __bpf__
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

typedef struct {
	__u8 b[16];
} uuid_t;

struct super_block {
	uuid_t s_uuid;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	__u32 i_generation;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct path {
	struct dentry *dentry;
};

struct file {
	unsigned int f_mode;
	struct inode *f_inode;
	struct path f_path;
};

struct task_struct {
	unsigned int flags;
};

#ifdef __bpf__
#pragma clang attribute pop
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mappings of a process whose file is not at its place any more: its name was removed, or another file was
 * put there. Opens only regular files of the file systems that are asked for, and those with O_PATH; what a guest
 * serves by itself (FUSE) is left alone. May wait, as mem/maps.h says. One thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/stat.h"

struct vu_replaced_fs {
	uint64_t dev;	    /* st_dev */
	uint64_t super_dev; /* the superblock's, which maps shows; on btrfs it is another */
};

struct vu_replaced {
	int fd; /* O_PATH; borrowed */
	struct vu_stat st;
	const char *path; /* as the kernel names it to us, see vu_map.path; borrowed */
};

enum vu_replaced_e {
	/* the kernel does not let us see what is mapped: CAP_SYS_ADMIN (or CAP_CHECKPOINT_RESTORE) is missing */
	VU_REPLACED_HIDDEN = 1,
};

/*
 * Calls fn for each such file that the process has mapped (task_fd: of a thread of it), once for mappings that
 * follow each other. max_bytes: of maps. Ends when fn returns a negative errno, which is returned; else 0, also
 * when the process has ended or cannot be looked at; VU_REPLACED_HIDDEN; or -ENOMEM, -EMFILE, -ENFILE.
 */
int vu_replaced_each(int task_fd, const struct vu_replaced_fs *fs, size_t n_fs, uint64_t max_bytes,
		     int (*fn)(void *arg, const struct vu_replaced *r), void *arg);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading without spoiling the page cache: what was not resident before is not afterwards. With
 * RWF_DONTCACHE (Linux 6.14; ext4 and XFS) the kernel sees to it; elsewhere cachestat(2) (6.5) or
 * mincore(2) is asked first, and what was cold is dropped afterwards. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vu_quiet_reader {
	int fd;		/* borrowed */
	bool dontcache; /* RWF_DONTCACHE works here */
	bool was_cold;	/* nothing of it was resident (only known without dontcache) */
};

/* Begins reading fd. size in bytes as statx gave it. */
void vu_quiet_begin(struct vu_quiet_reader *q, int fd, uint64_t size, bool try_dontcache);

/*
 * Reads up to len bytes at offset, going on after short reads until len or the end of the file.
 * Returns the bytes read or a negative errno.
 */
ssize_t vu_quiet_read(struct vu_quiet_reader *q, void *buf, size_t len, uint64_t offset);

/* Drops what this reading brought in, where the kernel did not. */
void vu_quiet_end(struct vu_quiet_reader *q);

/*
 * How many pages of the file are in the page cache, without bringing any there: by cachestat(2) (Linux 6.5), else by
 * mincore(2), which costs twice as much. fd: open for reading; its owner or root, or the kernel lies. by_mincore: do
 * not ask cachestat, which says 0 on an overlay. Returns 0 or a negative errno.
 */
int vu_pagecache_resident(int fd, uint64_t size, bool by_mincore, uint64_t *ret_pages);

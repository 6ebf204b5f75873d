/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A zram device by its number, as /sys/block/zramN tells of it, and one that is made for a time. Reads; the only thing
 * that it changes is that one device. Threads: one.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#define VU_ZRAM_ALGORITHM_MAX 32

struct vu_zram {
	unsigned number;
	uint64_t size;	     /* bytes, as a device */
	uint64_t stored;     /* bytes, before compression; pages of one word are in it */
	uint64_t compressed; /* bytes, after it */
	uint64_t used;	     /* bytes of memory, with what its allocator needs */
	uint64_t same_pages; /* pages of one word, which take no memory */
	uint64_t huge_pages; /* pages that do not compress, and are kept as they are */
	char algorithm[VU_ZRAM_ALGORITHM_MAX];
};

enum vu_zram_e {
	VU_ZRAM_OTHER = 1,  /* no zram device */
	VU_ZRAM_UNSET,	    /* one that has no size: nothing is there */
	VU_ZRAM_NO_CONTROL, /* the kernel makes no further zram devices */
	VU_ZRAM_NO_NODE,    /* one was made, but /dev has it not */
};

/* fd: a block device. Returns 0, VU_ZRAM_OTHER, VU_ZRAM_UNSET, or a negative errno. */
int vu_zram_of(int fd, struct vu_zram *ret);

/* Again: of z->number. */
int vu_zram_stat(struct vu_zram *z);

/*
 * A device that is removed by vu_zram_remove, and also when this process is killed: a process of its own sees to
 * that.
 */
struct vu_zram_made {
	struct vu_zram z;
	int fd;	    /* owned; O_DIRECT, for reading and writing */
	int keep;   /* owned; its end is the sign to remove it */
	int answer; /* owned */
	pid_t remover;
};

/*
 * Makes one of that size and algorithm, which takes so much memory at most. Returns 0, VU_ZRAM_NO_CONTROL,
 * VU_ZRAM_NO_NODE or a negative errno. vu_zram_remove in any case, which returns 0 or why it is there still.
 */
int vu_zram_make(uint64_t size, const char *algorithm, uint64_t max_memory,
		 struct vu_zram_made *ret);
int vu_zram_remove(struct vu_zram_made *m);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's same-page merging (KSM), as it tells of itself: the host's settings and counters in
 * /sys/kernel/mm/ksm, and what /proc/PID/ksm_stat says of a process. Reads only. The counters are the kernel's view,
 * and not what is gained: pages of zeros that come about when a huge page is split are in none of them, and pages
 * that several processes have since a fork count once for each. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum vu_ksm_e {
	VU_KSM_NONE = 1, /* this kernel has no KSM */
};

struct vu_ksm {
	uint64_t run;		   /* 0 stopped, 1 merging, 2 unmerging */
	uint64_t pages_to_scan;	   /* at a time, */
	uint64_t sleep_ms;	   /* with so long in between */
	uint64_t max_page_sharing; /* pages that are merged to one at most */
	bool use_zero_pages;	   /* pages of zeros become the kernel's one */
	uint64_t full_scans;
	uint64_t pages_shared;	/* places */
	uint64_t pages_sharing; /* pages that are gone for them */
	uint64_t zero_pages;	/* pages that are gone for the page of zeros */
	int64_t profit_bytes;	/* by the kernel's own reckoning; 0 where it has none */
};

/* Returns 0, VU_KSM_NONE, or a negative errno. What a kernel does not have is 0. */
int vu_ksm_read(struct vu_ksm *ret);

struct vu_ksm_process {
	bool known;		/* the kernel says anything (ksm_stat, Linux 6.1) */
	bool merge_any;		/* all its memory is opted in (PR_SET_MEMORY_MERGE) */
	bool mergeable;		/* some of it is (the same, or by madvise(2)) */
	uint64_t merging_pages; /* its pages at a place of KSM */
	uint64_t zero_pages;	/* its pages that became the page of zeros */
	uint64_t
		rmap_items; /* its pages that are scanned, each of which costs the kernel 64 bytes */
	int64_t profit_bytes;
};

/* proc_fd: its directory in /proc. Returns 0 or a negative errno (-ENOENT, -ESRCH: it has ended). */
int vu_ksm_process_read(int proc_fd, struct vu_ksm_process *ret);

/* By the text of ksm_stat; older kernels have fewer lines. */
void vu_ksm_process_parse(const char *text, struct vu_ksm_process *ret);

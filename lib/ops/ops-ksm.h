/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The use-cases behind `vunify ksm`: who is opted in to the kernel's same-page merging (KSM), what it brings and costs,
 * and opting processes that run in and out. Changes no guest's files and none of the host's settings.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mem/ksm.h"
#include "ops/context.h"

/* ---- status ---- */

struct vu_ksm_row {
	char *name;   /* owned; NULL: processes of no guest; of the total too */
	char *domain; /* owned; NULL the same */
	uint64_t processes;
	uint64_t opted_in; /* of these */
	uint64_t frames;   /* anonymous memory of those that are opted in, each frame once */
	uint64_t merged;   /* their pages that are at a place of KSM, with others */
	uint64_t
		zero_maps; /* their pages that are the kernel's page of zeros: never written, or merged with it */
	uint64_t freed;		     /* frames that merging saves; of a guest its fair part */
	uint64_t rmap_items;	     /* their pages that are scanned */
	int64_t kernel_profit_bytes; /* by the kernel's own reckoning */
	uint64_t unknown;	     /* processes of which the kernel does not say it */
};

struct vu_ksm_status {
	struct vu_ksm kernel;
	uint64_t page_bytes;
	struct vu_ksm_row
		*row; /* owned; the guests, then one of no guest, if any of these is opted in */
	size_t n;
	struct vu_ksm_row total;
	uint64_t places;    /* frames that hold total.merged */
	unsigned n_domains; /* that have processes which are opted in; the host's count as one */
	bool frames_known;  /* else frames, merged, zero_maps, freed are 0 */
};

/* Bytes that the kernel needs for a page that it scans. */
#define VU_KSM_ITEM_BYTES 64

/* Of all registered guests, or of these. Returns 0 or like all operations; then ret is to be given to _done. */
int vu_ops_ksm_status(struct vu_ops *ops, char *const *guests, size_t n, struct vu_ksm_status *ret);
void vu_ksm_status_done(struct vu_ksm_status *s);

/* ---- attach and detach ---- */

struct vu_ksm_change_options {
	char *const *
		operands; /* borrowed; guests' names or roots, and numbers of processes; at least one */
	size_t n;
	bool on;
	bool dry_run;
	bool across_domains;  /* guests of more than one domain may be opted in */
	bool suspend_seccomp; /* also processes under a filter */
};

enum vu_ksm_fate {
	VU_KSM_CHANGED, /* with dry_run: would be */
	VU_KSM_ALREADY, /* it was so before */
	VU_KSM_LEFT,	/* why says why */
};

struct vu_ksm_process_row {
	pid_t pid;
	char *program; /* owned; the process chose it */
	char *guest;   /* owned; or NULL */
	enum vu_ksm_fate fate;
	const char *why; /* static text, or NULL */
};

struct vu_ksm_change {
	struct vu_ksm_process_row *row; /* owned */
	size_t n;
	uint64_t changed, already, left;
	uint64_t run; /* the host's setting: KSM merges only with 1 */
};

/*
 * Returns 0; VU_OPS_REFUSED where guests of two domains would be opted in, or the kernel cannot do it; or like all
 * operations. ret is written with 0 and to be given to _done.
 */
int vu_ops_ksm_change(struct vu_ops *ops, const struct vu_ksm_change_options *o,
		      struct vu_ksm_change *ret);
void vu_ksm_change_done(struct vu_ksm_change *c);

/* May a guest be opted in beside those that are? 0, VU_OPS_REFUSED with the problem filled, or like all. */
int vu_ops_ksm_may(struct vu_ops *ops, char *guest);

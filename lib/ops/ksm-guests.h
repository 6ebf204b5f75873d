/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All guests of the host with their processes, and which of these are opted in to KSM: what `vunify ksm` decides by.
 * KSM merges across whatever is opted in, so it is not enough to look at the guests that were asked for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest/procs.h"
#include "mem/ksm.h"
#include "ops/session.h"

#define VU_KSM_NO_GUEST SIZE_MAX

struct vu_ksm_member {
	pid_t pid;
	size_t guest; /* index; VU_KSM_NO_GUEST: a process of none */
	char name[VU_PROCS_NAME_MAX];
	struct vu_ksm_process ksm;
};

struct vu_ksm_guests {
	struct vu_ops *ops;	     /* borrowed */
	struct vu_session of;	     /* those that were named */
	struct vu_session all;	     /* these and all that are registered */
	struct vu_procs_root *roots; /* owned; of all's guests, and behind them "/" */
	struct vu_ksm_member *v;     /* owned */
	size_t n, cap;
};

/*
 * Opens it for guests (names or roots; n 0: all registered ones, which may be none), and looks at all
 * processes. Returns like vu_session_open; k is to be closed in any case.
 */
int vu_ksm_guests_open(struct vu_ksm_guests *k, struct vu_ops *ops, char *const *guests, size_t n);
void vu_ksm_guests_close(struct vu_ksm_guests *k);

/* Looks at all processes anew. Returns 0 or a negative errno. */
int vu_ksm_guests_look(struct vu_ksm_guests *k);

/* Is any of its memory to be merged? What the kernel does not say counts as no. */
bool vu_ksm_is_in(const struct vu_ksm_process *p);

/* Was the guest named (or, where none was, is it registered)? */
bool vu_ksm_guests_has(const struct vu_ksm_guests *k, size_t guest);

/*
 * May a guest be opted in, beside those whose processes are so now? 0, or VU_OPS_REFUSED with the problem filled:
 * guests of another domain are.
 */
int vu_ksm_guests_may(const struct vu_ksm_guests *k, size_t guest);

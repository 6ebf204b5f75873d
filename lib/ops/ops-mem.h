/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which memory guests have, which of it they share, and who is charged for it. Looks, changes nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/cgroup.h"
#include "mem/pages.h"
#include "ops/context.h"

struct vu_mem_guest {
	char *name; /* owned */
	char *path; /* owned */
	bool known; /* else pages has but the processes: one could not be read, or frames are hidden */
	struct vu_pages_guest pages;
	struct vu_charge charge;
};

struct vu_mem {
	struct vu_mem_guest *guests; /* owned */
	size_t n_guests;
	size_t n_unknown;	     /* of them */
	bool hidden;		     /* the kernel shows us no frames: of none it is known */
	struct vu_pages_total total; /* of all registered guests, whichever were asked for */
	size_t page_bytes;
};

/*
 * Of the guests (names or roots; n 0: all that are registered; a root that is not registered is taken too). What
 * one shares it shares with any registered one. Returns 0 or like vu_ops_status. vu_mem_done in any
 * case. Makes a child.
 */
int vu_ops_mem(struct vu_ops *ops, char *const *guests, size_t n, struct vu_mem *ret);

void vu_mem_done(struct vu_mem *m);

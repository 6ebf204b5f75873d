/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which services still have files in memory that are not at their place any more, because they were unified (the
 * content is the same, and a restart gives memory back) or upgraded (it is another one). Looks, changes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/holders.h"
#include "ops/context.h"

struct vu_stale_count {
	uint64_t files;
	uint64_t
		bytes; /* of the page cache that only such mappings keep: of files that have no name any more */
};

struct vu_stale_service {
	const char *guest; /* borrowed from vu_stale.names */
	char *name;	   /* owned; of a unit, or of a program: any bytes */
	bool is_unit;
	bool of_guest; /* the unit is one of the guest's own systemd; else of the host's */
	uint32_t processes;
	struct vu_stale_count kind[VU_HOLDERS_KINDS];
	uint64_t held_bytes;
	uint64_t freed_bytes; /* of these, what nobody else holds: freed when it alone restarts */
};

struct vu_stale_file {
	const char *guest;	   /* borrowed from vu_stale.names */
	enum vu_holders_kind kind; /* never MOVED or IN_PLACE */
	uint64_t held_bytes;
	char *mapped; /* owned; what the kernel calls it */
	char *path;   /* owned; in the guest, or NULL: it has no name there that is known */
};

struct vu_stale {
	char **names;  /* owned; the guests, NULL-terminated */
	bool *unknown; /* owned; one for each: a process of it could not be read */
	struct vu_stale_service *services; /* owned; those that free most first */
	size_t n_services;
	struct vu_stale_file *files; /* owned */
	size_t n_files;
	bool hidden; /* the kernel did not show us what is mapped: nothing is known */
	struct vu_stale_count kind[VU_HOLDERS_KINDS]; /* each inode once */
	uint64_t held_bytes;			      /* the same */
	bool truncated;				      /* a guest has more than is looked at */
};

/*
 * Of the guests (names or roots; n 0: all that are registered). Whoever else holds the same files is looked at too,
 * for what is freed. Returns 0 or like vu_ops_status; vu_stale_done in any case. Makes a child.
 */
int vu_ops_stale(struct vu_ops *ops, char *const *guests, size_t n, struct vu_stale *ret);

void vu_stale_done(struct vu_stale *s);

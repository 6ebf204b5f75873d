/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest: a root tree with a name, known by (file system, inode) of its root. A plain value with
 * owned strings; and a list of them, which is what scans and the catalog pass around.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VU_GUEST_NAME_MAX 255

struct vu_guest {
	uint32_t id;   /* the catalog's number, 0 while it has none */
	char *name;    /* owned; unique; no '/', not empty, not "." or ".." */
	char *path;    /* owned; absolute, as last seen */
	char *domain;  /* owned; "" is the default domain */
	char *fs_id;   /* owned; stable identity of the file system (see fs/mount.h) */
	uint64_t dev;  /* st_dev of the root in this run */
	uint64_t ino;  /* inode of the root */
	char **rules;  /* owned, NULL-terminated or NULL: "exclude PATTERN" / "include PATTERN" */
	bool trust;    /* one admin owns it and all others of its domain */
	bool template; /* its versions are preferred, and other guests of its domain follow it */
};

struct vu_guests {
	struct vu_guest *v; /* owned */
	size_t n;
};

/* Frees what g owns and zeroes it. */
void vu_guest_done(struct vu_guest *g);

/* Frees all. Accepts a zeroed struct. */
void vu_guests_done(struct vu_guests *gs);

/* Returns 0, or -ENOMEM with nothing in ret. */
int vu_guest_copy(const struct vu_guest *g, struct vu_guest *ret);
int vu_guests_copy(const struct vu_guests *gs, struct vu_guests *ret);

/* Appends g, taking over what it owns (g is zeroed). Returns 0 or -ENOMEM (g unchanged). */
int vu_guests_add_consume(struct vu_guests *gs, struct vu_guest *g);

/* Finds by name, or by path, or NULL. */
struct vu_guest *vu_guests_find(const struct vu_guests *gs, const char *name_or_path);

/* Is this a name that a guest may have? */
bool vu_guest_name_ok(const char *name);

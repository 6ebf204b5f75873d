/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of a guest's dpkg database, as text: read through no link, from nothing but regular files
 * of the root's own mount, up to a limit. Knows no format; for guest/package and guest/owning alone.
 * Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VU_DPKG_DIR "var/lib/dpkg"

/* Why something of the database could not be opened or read: a text that lives for ever. */
const char *vu_dpkg_why(int err);

/*
 * Reads name in dirfd; one that grows meanwhile up to the size that it had. Returns 0 and the text
 * (malloc'ed, without a NUL behind it; NULL: the file is not there); 1 with ret_why, as vu_dpkg_why;
 * or a negative errno (-ENOMEM, -EMFILE, -ENFILE). *max is lessened by what was read.
 */
int vu_dpkg_read(int dirfd, const char *name, uint64_t *max, char **ret_text, size_t *ret_n,
		 const char **ret_why);

/* Is it a path seen from the root: no empty component, no "." and no "..", no NUL, not too long? */
bool vu_dpkg_path_ok(const char *s, size_t n);

/* /bin, /sbin, /lib, /lib32, ...: links into /usr on merged systems. s is relative to the root. */
bool vu_dpkg_maybe_merged(const char *s, size_t n);

/* Does the name of a file of the info directory end so? ("bash.list", ".list") */
bool vu_dpkg_has_suffix(const char *name, const char *suffix);

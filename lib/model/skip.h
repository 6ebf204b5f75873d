/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a file was not unified. Every reason is counted and can be asked for (`vunify why`). The
 * numbers are stored in the catalog: append only. The texts are what users and scripts see.
 */
#pragma once

#include <stdbool.h>

enum vu_skip {
	VU_SKIP_NONE = 0,
	VU_SKIP_UNIQUE,	     /* nobody else has this size, or this content */
	VU_SKIP_NOT_REGULAR, /* directory, symlink, device, FIFO, socket */
	VU_SKIP_EMPTY,
	VU_SKIP_TOO_SMALL,	/* below min_size */
	VU_SKIP_TOO_LARGE,	/* above max_size */
	VU_SKIP_OPEN_FOR_WRITE, /* or mapped shared-writable: the lease was refused */
	VU_SKIP_SETID,		/* set-user-ID, set-group-ID or sticky */
	VU_SKIP_CAPABILITY,	/* has security.capability */
	VU_SKIP_LINKS_OUTSIDE,	/* has names outside of the guest, or in excluded places */
	VU_SKIP_IMMUTABLE,	/* immutable by the admin's own hand */
	VU_SKIP_APPEND_ONLY,	/* append-only by the admin's own hand */
	VU_SKIP_EXCLUDED,	/* by a rule */
	VU_SKIP_LOCK_FILE,	/* name looks like a lock's */
	VU_SKIP_CONFFILE,	/* a package's configuration file */
	VU_SKIP_OTHER_FS,	/* on another file system or mount than the root */
	VU_SKIP_MODE_DIFFERS,	/* same content, other mode */
	VU_SKIP_OWNER_DIFFERS,	/* same content, other uid or gid */
	VU_SKIP_XATTR_DIFFERS,	/* same content, other extended attributes */
	VU_SKIP_FLAGS_DIFFER,	/* same content, other inode flags */
	VU_SKIP_MTIME_DIFFERS,	/* same content, other mtime, and mtime = exact */
	VU_SKIP_OTHER_DOMAIN,	/* same content only in guests of another domain */
	VU_SKIP_SAME_GUEST,	/* same content only in this guest */
	VU_SKIP_CHANGED,	/* changed while it was looked at, or before it could be linked */
	VU_SKIP_LINK_LIMIT,	/* EMLINK, and no further generation possible */
	VU_SKIP_CROSS_DEVICE,	/* EXDEV: other mount, subvolume or project quota */
	VU_SKIP_UNREADABLE,	/* an errno came from open, read, ... */
	VU_SKIP_VERITY,		/* fs-verity or encrypted: content is not ours to share */
	VU_SKIP_LIMIT,		/* beyond a limit of the configuration (depth, xattr bytes, ...) */
	VU_SKIP_REFLINKED,	/* shares its extents with others already (mode = reflink) */
	VU_SKIP_NAMES,		/* has several names in a guest, while links are broken there */
	VU_SKIP_N
};

/* The reason as users see it, e.g. "open-for-write". Never NULL. */
const char *vu_skip_name(enum vu_skip s);

/* One short sentence for people. Never NULL. */
const char *vu_skip_text(enum vu_skip s);

/* A reason that only held at that moment: asked again in each run. So is VU_SKIP_NONE. */
bool vu_skip_is_momentary(enum vu_skip s);

/* A reason that lies in the other files there are: asked again when any of them is new or changed. */
bool vu_skip_is_relative(enum vu_skip s);

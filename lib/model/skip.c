/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/skip.h"

static const struct {
	const char *name;
	const char *text;
} skips[VU_SKIP_N] = {
	[VU_SKIP_NONE] = {"pending", "not reached before the run was stopped"},
	[VU_SKIP_UNIQUE] = {"unique",
			    "no other guest has its size, mode and owner, or its content"},
	[VU_SKIP_NOT_REGULAR] = {"not-regular", "only regular files are unified"},
	[VU_SKIP_EMPTY] = {"empty", "empty files occupy nothing"},
	[VU_SKIP_TOO_SMALL] = {"too-small", "smaller than min_size"},
	[VU_SKIP_TOO_LARGE] = {"too-large", "larger than max_size"},
	[VU_SKIP_OPEN_FOR_WRITE] = {"open-for-write",
				    "open for writing or mapped shared-writable at the time"},
	[VU_SKIP_SETID] = {"set-id", "set-user-ID, set-group-ID or sticky (unify_setid = no)"},
	[VU_SKIP_CAPABILITY] = {"capability", "has file capabilities (unify_setid = no)"},
	[VU_SKIP_LINKS_OUTSIDE] = {"links-outside",
				   "has hard links outside of the guest or in excluded places"},
	[VU_SKIP_IMMUTABLE] = {"immutable", "immutable by the admin's own hand"},
	[VU_SKIP_APPEND_ONLY] = {"append-only", "append-only by the admin's own hand"},
	[VU_SKIP_EXCLUDED] = {"excluded", "excluded by a rule"},
	[VU_SKIP_LOCK_FILE] = {"lock-file", "named like a lock file"},
	[VU_SKIP_CONFFILE] = {"conffile", "a configuration file of a package"},
	[VU_SKIP_OTHER_FS] = {"other-filesystem", "on another file system than the guest's root"},
	[VU_SKIP_MODE_DIFFERS] = {"mode-differs", "the same content has another mode elsewhere"},
	[VU_SKIP_OWNER_DIFFERS] = {"owner-differs", "the same content has another owner elsewhere"},
	[VU_SKIP_XATTR_DIFFERS] = {"xattr-differs",
				   "the same content has other extended attributes elsewhere"},
	[VU_SKIP_FLAGS_DIFFER] = {"flags-differ",
				  "the same content has other inode flags elsewhere"},
	[VU_SKIP_MTIME_DIFFERS] = {"mtime-differs",
				   "the same content has another mtime elsewhere (mtime = exact)"},
	[VU_SKIP_OTHER_DOMAIN] = {"other-domain", "the same content is only in another domain"},
	[VU_SKIP_SAME_GUEST] = {"same-guest", "the same content is only in this guest"},
	[VU_SKIP_CHANGED] = {"changed", "changed while it was looked at"},
	[VU_SKIP_LINK_LIMIT] = {"link-limit", "the inode cannot have more links"},
	[VU_SKIP_CROSS_DEVICE] = {"cross-device",
				  "on another mount, subvolume or project quota than the pool"},
	[VU_SKIP_UNREADABLE] = {"unreadable", "could not be read"},
	[VU_SKIP_VERITY] = {"sealed", "sealed by fs-verity, or encrypted"},
	[VU_SKIP_REFLINKED] = {"reflinked", "shares its extents with others (mode = reflink)"},
	[VU_SKIP_NAMES] = {"several-names", "has several names, while vunify run is at work"},
	[VU_SKIP_LIMIT] = {"limit", "beyond a limit of the configuration"},
};

const char *vu_skip_name(enum vu_skip s)
{
	return (unsigned)s < VU_SKIP_N ? skips[s].name : "unknown";
}

const char *vu_skip_text(enum vu_skip s)
{
	return (unsigned)s < VU_SKIP_N ? skips[s].text : "unknown";
}

bool vu_skip_is_momentary(enum vu_skip s)
{
	switch (s) {
	case VU_SKIP_NONE:
	case VU_SKIP_OPEN_FOR_WRITE:
	case VU_SKIP_CHANGED:
	case VU_SKIP_UNREADABLE:
	case VU_SKIP_LINK_LIMIT:
	case VU_SKIP_CROSS_DEVICE:
	case VU_SKIP_NAMES:
		return true;
	default:
		return false;
	}
}

bool vu_skip_is_relative(enum vu_skip s)
{
	return s == VU_SKIP_UNIQUE || s == VU_SKIP_REFLINKED ||
	       (s >= VU_SKIP_MODE_DIFFERS && s <= VU_SKIP_SAME_GUEST);
}

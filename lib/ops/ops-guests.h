/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registry of guests: list, add, remove, set. Changes the catalog, never a guest. GUEST is a
 * name or a root's path everywhere.
 */
#pragma once

#include <stdbool.h>

#include "model/guest.h"
#include "ops/context.h"

/* What add and set change; what is NULL or false stays (add: gets its default). All borrowed. */
struct vu_guest_change {
	const char *name;
	const char *domain; /* "" is the default domain */
	char *const *rules; /* NULL-terminated "exclude PATTERN" / "include PATTERN": appended */
	bool clear_rules;   /* forget the rules there are; then rules are appended */
	bool set_trust;	    /* trust is to be set */
	bool trust;
};

/* All registered guests in the order of their names. ret_guests is the caller's to free. */
int vu_ops_guests_list(struct vu_ops *ops, struct vu_guests *ret_guests);

/*
 * Registers the directory root. A guest that is known already (by file system and inode) is
 * VU_OPS_USAGE, as are a name in use, a bad name and a bad rule. ret_guest: as registered, the
 * caller's to free with vu_guest_done().
 */
int vu_ops_guests_add(struct vu_ops *ops, const char *root, const struct vu_guest_change *change,
		      struct vu_guest *ret_guest);

/*
 * Forgets a guest. Its unified files stay unified; VU_OPS_USAGE when there is no such guest.
 * ret_guest: as it was.
 */
int vu_ops_guests_remove(struct vu_ops *ops, const char *guest, struct vu_guest *ret_guest);

/* Changes a guest. ret_guest: as it is now. */
int vu_ops_guests_set(struct vu_ops *ops, const char *guest, const struct vu_guest_change *change,
		      struct vu_guest *ret_guest);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which registered guest is it whose listener was handed over? Decided from what is known of its processes and
 * what the runtime says. No I/O: who asks finds out the facts, and asks again when they may have changed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/guest.h"

enum vu_handoff_guest_e {
	VU_HANDOFF_NOT_YET = 1, /* it is being made, and is nowhere yet: ask when there is a call */
	VU_HANDOFF_NO_GUEST = 2, /* its root is no guest's, or nothing tells whose it is */
};

/* A directory; ino is 0 where it is not known. */
struct vu_handoff_dir {
	uint64_t dev, ino;
};

struct vu_handoff_facts {
	struct vu_handoff_dir host;	 /* the caller's own root; known */
	struct vu_handoff_dir root;	 /* of the process under the filter: /proc/PID/root */
	struct vu_handoff_dir init_root; /* of the container's first process */
	const char *metadata;		 /* or NULL; LXC's cookie is as good */
	bool creating;
};

enum vu_handoff_by {
	VU_HANDOFF_BY_ROOT,
	VU_HANDOFF_BY_INIT,
};

struct vu_handoff_found {
	size_t guest; /* index */
	enum vu_handoff_by by;
	bool contradicted; /* metadata is another guest's name: a copied configuration, to be told */
};

/*
 * Finds it, by what the kernel says alone:
 *
 *   1. the root of the process under the filter: that is where its calls end, and where copies would be made. The same
 *      inode whether it is bind-mounted, pivoted or chrooted to.
 *   2. the root of the container's first process, where the other is unknown (it has ended) or still the host's (it
 *      is about to join).
 *
 * A root that is known, and neither the host's nor a guest's, ends the search: the process lives somewhere else (an
 * overlay, a tree that is not registered). Unless the container is being made: then it may be on its way, and
 * VU_HANDOFF_NOT_YET is the answer. Where nothing tells, and the process under the filter is not known (crun's "exec"),
 * its first call will tell. The name in metadata is text, and the first thing to be wrong in a configuration that was
 * copied: it only serves to find that. A guest that is the host itself is never found.
 *
 * Returns 0, or an enum vu_handoff_guest_e.
 */
int vu_handoff_guest(const struct vu_handoff_facts *f, const struct vu_guests *guests,
		     struct vu_handoff_found *ret);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is everything as it should be, on this host, on the file systems of the guests, and in each guest? Changes
 * nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "ops/context.h"

enum vu_finding_level {
	VU_FINDING_OK,
	VU_FINDING_WARN, /* it works, but not as well, or not for long */
	VU_FINDING_FAIL, /* it does not work, or is unsafe */
};

struct vu_finding {
	enum vu_finding_level level;
	const char *check; /* static: "kernel", "mount", ... */
	char *on;	   /* owned; a guest's name, a mount point, or NULL: the host */
	char *says;	   /* owned */
	char *todo;	   /* owned; or NULL */
};

struct vu_findings {
	struct vu_finding *v; /* owned */
	size_t n;
	size_t n_warn, n_fail;
};

/*
 * Looks at the guests (names or roots; n 0: all that are registered) and what they are on. Returns 0 whatever is found;
 * VU_OPS_USAGE for a guest that is not registered; or a negative errno.
 */
int vu_ops_doctor(struct vu_ops *ops, char *const *guests, size_t n, struct vu_findings *ret);

void vu_findings_done(struct vu_findings *f);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/new-guest.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "ops/locate.h"
#include "ops/session.h"

static int refuse(const struct vu_ops *ops, int code, const char *path, const char *why,
		  const char *todo)
{
	return vu_fail(ops, code, "cannot make the guest", path, why, todo);
}

int vu_new_guest_check(const struct vu_ops *ops, const struct vu_guests *known, const char *name,
		       const char *path, int above_fd, const char *base)
{
	const char *rel;
	size_t g;

	for (size_t i = 0; name && i < known->n; i++)
		if (!strcmp(known->v[i].name, name))
			return refuse(ops, VU_OPS_USAGE, path, "another guest has this name",
				      "see `vunify guests`");
	if (vu_locate_guest(known, path, &g, &rel))
		return refuse(ops, VU_OPS_REFUSED, path,
			      *rel ? "it would lie in the root of a guest"
				   : "it is the root of a registered guest",
			      "name a place beside the guests");
	if (!faccessat(above_fd, base, F_OK, AT_SYMLINK_NOFOLLOW))
		return refuse(ops, VU_OPS_USAGE, path, "there is something already",
			      "name another place, or remove it");
	return 0;
}

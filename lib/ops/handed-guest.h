/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which registered guest a container is whose listener was handed over: asks the kernel where its processes have their
 * roots, and decides with cow/handoff-guest.h.
 */
#pragma once

#include <sys/types.h>

#include "cow/handoff-guest.h"
#include "cow/kept.h"
#include "ops/context.h"

/*
 * Finds it. caller: the process whose call waits, or 0: the container's own are asked. Returns 0 with ret_root
 * (malloc'ed: the path of its root); an enum vu_handoff_guest_e; or, with the problem filled, a negative errno.
 * A catalog that is not there has no guests. What contradicts (metadata that names another guest) is told as a
 * warning.
 */
int vu_handed_guest(struct vu_ops *ops, const struct vu_kept *k, pid_t caller, char **ret_root);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that becomes a guest's command, until it does: what it must not have is taken from it, and it
 * is put under the filter. The first process (cow/guest-init.h) makes it, in the guest's namespaces; the order in
 * which the two do their parts stands at the top of guest-init.c. Not to be called by others.
 */
#pragma once

#include "cow/guest-init.h"

/*
 * Becomes the command. In a new process, all of whose signals are blocked. first: the number of the first process.
 * control: its end of the socket to the caller, consumed; go: the pipe from which it is told to go on, twice. Both
 * are above 2.
 */
_Noreturn void vu_init_command(const struct vu_init *init, pid_t first, int control, int go);

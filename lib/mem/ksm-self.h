/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opting this process in to KSM, with all that it starts. Needs no privilege. (PR_SET_MEMORY_MERGE, Linux 6.4 with
 * CONFIG_KSM.) One thread.
 */
#pragma once

#include <stdbool.h>

/* Returns 0 or a negative errno (-EINVAL: the kernel cannot). */
int vu_ksm_self_set(bool on);

/*
 * Is it kept when another program is executed (exec(2))? That is so since about Linux 6.10, and is tried: by a
 * child that opts itself in and executes this program, which does not get to run. Returns 1, 0, or a negative
 * errno.
 */
int vu_ksm_self_is_inherited(void);

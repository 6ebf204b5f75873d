/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which errors are this process's own want, and say nothing about the file that was asked for: a run
 * that went on would take every further file for unreadable. Threads: any.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>

/* Memory or descriptors have run out. err: negative errno. */
static inline bool vu_is_want(int err)
{
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE;
}

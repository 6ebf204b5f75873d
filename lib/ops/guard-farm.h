/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which registered guest a file is of that somebody wants to write to, and by which path: from the names between the
 * file and the top of its file system, as the kernel gave them (lsm/ask.h). Says of these guests that they have
 * copy-on-write (ops/cow-mark.h). Opens no file of a guest. One thread.
 */
#pragma once

#include <stddef.h>

#include "lsm/ask.h"
#include "ops/context.h"

struct vu_guard_farm;

/* Returns 0 or a negative errno. */
int vu_guard_farm_new(const struct vu_ops *ops, struct vu_guard_farm **ret);

/* Accepts NULL, returns NULL. */
struct vu_guard_farm *vu_guard_farm_free(struct vu_guard_farm *f);

/* Adds the mount with this mount point; they are numbered from 0. Returns 0 or a negative errno. */
int vu_guard_farm_add(struct vu_guard_farm *f, const char *point);

/*
 * To be called now and then, the first time when all mounts are there: which guests there are. Returns 0 or a
 * negative errno.
 */
int vu_guard_farm_look(struct vu_guard_farm *f);

/*
 * The root of the guest that has the file on this mount, and the path relative to it, both to be freed. Returns 0;
 * -ENOENT: it is no guest's; or another negative errno. The catalog is read anew now and then.
 */
int vu_guard_farm_find(struct vu_guard_farm *f, size_t mount, const struct vu_ask *ask,
		       char **ret_root, char **ret_path);

/* The names of a question from the top down, with slashes, to be freed; NULL where they are none, or without memory. */
char *vu_guard_farm_path(const struct vu_ask *ask);

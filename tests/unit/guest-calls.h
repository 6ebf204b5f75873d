/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process of a guest can do to a file, in all forms: each operation by each way in which the file can be
 * named. For the comparison of a shared file with a private one. Nothing of cmocka in here: it runs in the guest.
 */
#pragma once

#include <stddef.h>

/* The file as an operation names it; and its directory, for what else is in there. */
struct guest_target {
	int dirfd;
	const char *path;
	int at_flags;	  /* AT_EMPTY_PATH, or 0 */
	int fd;		  /* by descriptor; or -1 */
	int dir;	  /* the directory */
	const char *text; /* its path */
};

struct guest_way {
	const char *name;
	unsigned bit;
	int (*aim)(const char *dir, struct guest_target *t);
};

struct guest_op {
	const char *name;
	long (*fn)(const struct guest_target *t); /* 0 or more, or a negative errno */
	unsigned ways;
};

struct guest_call {
	const struct guest_op *op;
	const struct guest_way *way;
};

/* All that there are. */
const struct guest_call *guest_calls(size_t *ret_n);

/* A supervised_fn: arg is a struct guest_call. */
long guest_call_do(const char *dir, const void *arg);

/*
 * What a directory needs: f, with a text; o and g, other files; l and a, a relative and an absolute symlink to f; d, a
 * directory.
 */

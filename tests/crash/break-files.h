/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files that calls break links of: what they are before and behind each. Part of break-calls.c. */
#pragma once

#include <stddef.h>

#include "break-ops.h"

#define BREAK_DIR "usr/k" /* in each guest: OP-NUMBER below */

/* In short, for messages. */
const char *op_name(enum break_op op);

/* Makes the files of case `number` in a guest, whose root is at path. */
void files_make(const char *root, enum break_op op, unsigned number);

/*
 * What there is, in the caller's buffer: for each name its content (A: what f is at first, B: g, C: n; + more
 * behind it, - nothing), the mode, "!" if it has not the time that it was made with; and which names are one file.
 */
void files_say(const char *root, enum break_op op, unsigned number, char *ret, size_t size);

/* That of the old files, and of those behind the call. */
const char *files_old(enum break_op op);
const char *files_new(enum break_op op);

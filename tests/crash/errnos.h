/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which errors a system call can have, by its manual page and by what the file systems return. */
#pragma once

#include "inject.h"

/* Ends with 0; none are known: NULL. */
const int *errnos_of(struct call c);

/* "EIO" */
const char *errnos_name(int err);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The UUID of a file system, as the file system tells it. Any thread. */
#pragma once

#include <stdint.h>

/*
 * Of the file system of an open file or directory (not O_PATH); 16 bytes. Returns 1; 0 where it tells none; or a
 * negative errno.
 */
int vu_uuid_of(int fd, uint8_t *ret_uuid);

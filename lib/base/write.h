/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All of a buffer, however many calls that takes and whatever signals come in between. Any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* write(2). Returns 0 or a negative errno (-EIO: nothing was taken, and no reason given); then some may be written. */
int vu_write_all(int fd, const void *data, size_t size);

/* The same by pwrite(2). */
int vu_write_all_at(int fd, const void *data, size_t size, uint64_t at);

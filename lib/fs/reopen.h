/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reopening what a descriptor leads to, through /proc/self/fd: the same inode, whatever its names. */
#pragma once

/* Opens the inode of fd anew with flags (O_CLOEXEC is added). Returns the new fd or a negative errno. */
int vu_reopen(int fd, int flags);

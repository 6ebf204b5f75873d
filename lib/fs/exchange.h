/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two steps by which a name comes to lead to another inode without ever being missing: a further
 * name for an open file, and two names changing places in one step. Any thread.
 */
#pragma once

/*
 * Gives the inode behind fd the name `name` in dirfd (linkat(2) with AT_EMPTY_PATH; needs
 * CAP_DAC_READ_SEARCH). Returns 0 or a negative errno: -EEXIST, -EMLINK at the file system's limit,
 * -EXDEV for another mount, subvolume or project quota, -EPERM while the inode is immutable.
 */
int vu_link_fd(int fd, int dirfd, const char *name);

/*
 * Lets two names change places: renameat2(2) with RENAME_EXCHANGE. Both must exist. Returns 0 or a
 * negative errno: -ENOENT when one is gone, -EPERM while one of the inodes is immutable.
 */
int vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b);

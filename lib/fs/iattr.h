/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inode flags (FS_IOC_GETFLAGS, ioctl_iflags(2)) and the immutable flag among them. Needs
 * CAP_LINUX_IMMUTABLE to change. Setting and clearing it changes the ctime. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The flags of an open file. Returns 0, or a negative errno (-ENOTTY where the fs has none). */
int vu_iattr_get(int fd, uint32_t *ret_flags);

/* Sets or clears the immutable flag, leaving the others as they are. Returns 0 or a negative errno. */
int vu_iattr_set_immutable(int fd, bool on);

/*
 * The number of the project to which the file's space is accounted (project quota); 0 where there are no
 * projects. Returns 0 or a negative errno.
 */
int vu_iattr_project(int fd, uint32_t *ret_project);

/* The project that what is made in an open directory gets from it; 0: none from it. The same. */
int vu_iattr_project_inherited(int dirfd, uint32_t *ret_project);

/* Of flags, those that are part of the key: not the immutable flag, nor what the fs keeps for itself. */
uint32_t vu_iattr_key_flags(uint32_t flags);

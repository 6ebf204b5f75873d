/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of one inode in a guest: which of its paths are hard links of each other, so that they get a private
 * copy together. Only of inodes with more than one. Filled by who has walked the guest, and kept up by the
 * supervisor where it makes and removes names itself. A hint: whoever uses it compares inodes. Any thread.
 */
#pragma once

#include <stdint.h>

struct vu_names;

/* Returns NULL without memory. */
struct vu_names *vu_names_new(void);

/* Accepts NULL, returns NULL. */
struct vu_names *vu_names_free(struct vu_names *n);

/* Adds a path (copied), relative to the guest's root. Returns 0 or -ENOMEM. */
int vu_names_add(struct vu_names *n, uint64_t ino, const char *path);

void vu_names_remove(struct vu_names *n, uint64_t ino, const char *path);

/* What was known of an inode is of no use any more. */
void vu_names_forget(struct vu_names *n, uint64_t ino);

/*
 * All names of an inode, path first (whether it was known or not): the array and its strings are the
 * caller's, for vu_names_list_free. Returns 0 or -ENOMEM.
 */
int vu_names_list(struct vu_names *n, uint64_t ino, const char *path, const char ***ret,
		  uint32_t *ret_n);
void vu_names_list_free(const char **list, uint32_t n);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of one inode in a guest: which of its paths are hard links of each other, so that they get a private
 * copy together. Only of inodes with more than one. Filled by who has walked the guest, and kept up by the
 * supervisor where it makes and removes names itself. A hint: whoever uses it compares inodes. Any thread.
 *
 * A name is kept by its directory, and that by its file handle (open_by_handle_at(2)): directories are renamed by
 * their guest as it likes. The path is found when it is needed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct vu_names;

#define VU_NAMES_MAX 131072 /* about 25 MiB */

/*
 * mount_fd: of the mount that the guest is reached by; root: path of the guest's root on it. Both are borrowed.
 * max: see vu_names_has_room. Returns NULL without memory.
 */
struct vu_names *vu_names_new(int mount_fd, const char *root, uint32_t max);

/* Accepts NULL, returns NULL. */
struct vu_names *vu_names_free(struct vu_names *n);

/* Adds a name in an open directory (O_PATH is enough); both are copied. Returns 0 or a negative errno. */
int vu_names_add(struct vu_names *n, uint64_t ino, int dir, const char *base);

/* Are there fewer than max? Else nobody is to make more of them, for a guest could go on as long as it likes. */
bool vu_names_has_room(struct vu_names *n);

void vu_names_remove(struct vu_names *n, uint64_t ino, int dir, const char *base);

/* What was known of an inode is of no use any more. */
void vu_names_forget(struct vu_names *n, uint64_t ino);

/*
 * All names of an inode as they are now, relative to the guest's root, path first (whether it was known or
 * not): the array and its strings are the caller's, for vu_names_list_free. The calling thread is in the host's root.
 * Returns 0 or -ENOMEM.
 */
int vu_names_list(struct vu_names *n, uint64_t ino, const char *path, const char ***ret,
		  uint32_t *ret_n);
void vu_names_list_free(const char **list, uint32_t n);

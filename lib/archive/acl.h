/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * POSIX ACLs between their two forms: the value of an extended attribute (system.posix_acl_access and
 * _default, as the kernel takes and gives it) and the entries of libarchive's. Knows numbers only, no
 * names of users. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct archive_entry;

#define VU_ACL_ACCESS "system.posix_acl_access"
#define VU_ACL_DEFAULT "system.posix_acl_default"

/* Adds the entries of a value to e. Returns 0, -EINVAL for what is no such value, or -ENOMEM. */
int vu_acl_to_entry(struct archive_entry *e, bool is_default, const void *value, size_t len);

/*
 * The value of e's ACL: malloc'ed, NULL where it has none beyond the mode. Returns 0, -E2BIG above
 * VU_ACL_ENTRIES_MAX entries, or -ENOMEM.
 */
#define VU_ACL_ENTRIES_MAX 1000
int vu_acl_from_entry(struct archive_entry *e, bool is_default, void **ret_value, size_t *ret_len);

/*
 * The permission bits that a file with this mode has once the kernel has taken the access ACL. mode is
 * returned as it is for what is no value.
 */
uint32_t vu_acl_mode(uint32_t mode, const void *value, size_t len);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attribute's value (linux/posix_acl_xattr.h), all little-endian: a version of 32 bits, 2; then
 * entries of a tag (16 bits), permissions (16 bits: 4 read, 2 write, 1 execute) and a user's or group's
 * number (32 bits, all ones where the tag has none). The kernel wants them in the order of the tags.
 */
#include "archive/acl.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>

#include "archive/libarchive.h"
#include "base/cleanup.h"

static const struct {
	int tag; /* libarchive's */
	uint16_t xattr;
	bool has_id;
} tags[] = {
	/* in the order of the kernel */
	{ARCHIVE_ENTRY_ACL_USER_OBJ, ACL_USER_OBJ, false},
	{ARCHIVE_ENTRY_ACL_USER, ACL_USER, true},
	{ARCHIVE_ENTRY_ACL_GROUP_OBJ, ACL_GROUP_OBJ, false},
	{ARCHIVE_ENTRY_ACL_GROUP, ACL_GROUP, true},
	{ARCHIVE_ENTRY_ACL_MASK, ACL_MASK, false},
	{ARCHIVE_ENTRY_ACL_OTHER, ACL_OTHER, false},
};

static int type_of(bool is_default)
{
	return is_default ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT : ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
}

/* The number of entries of a value, or -EINVAL. */
static int count(const void *value, size_t len)
{
	struct posix_acl_xattr_header h;
	size_t n = (len - sizeof(h)) / sizeof(struct posix_acl_xattr_entry);

	if (len < sizeof(h) || (len - sizeof(h)) % sizeof(struct posix_acl_xattr_entry) ||
	    n > VU_ACL_ENTRIES_MAX)
		return -EINVAL;
	memcpy(&h, value, sizeof(h));
	return le32toh(h.a_version) == POSIX_ACL_XATTR_VERSION ? (int)n : -EINVAL;
}

/* The entry i of a value, in the byte order of this machine. */
static struct posix_acl_xattr_entry entry_at(const void *value, int i)
{
	struct posix_acl_xattr_entry e;

	memcpy(&e,
	       (const char *)value + sizeof(struct posix_acl_xattr_header) + (size_t)i * sizeof(e),
	       sizeof(e));
	e.e_tag = le16toh(e.e_tag);
	e.e_perm = le16toh(e.e_perm);
	e.e_id = le32toh(e.e_id);
	return e;
}

int vu_acl_to_entry(struct archive_entry *e, bool is_default, const void *value, size_t len)
{
	int n = count(value, len);

	for (int i = 0; i < n; i++) {
		struct posix_acl_xattr_entry x = entry_at(value, i);
		size_t t = 0;

		while (t < VU_ARRAY_SIZE(tags) && tags[t].xattr != x.e_tag)
			t++;
		if (t == VU_ARRAY_SIZE(tags) || x.e_perm > 7)
			return -EINVAL;
		if (archive_entry_acl_add_entry(e, type_of(is_default), x.e_perm, tags[t].tag,
						tags[t].has_id ? (int)x.e_id : -1, NULL))
			return -ENOMEM;
	}
	return n < 0 ? n : 0;
}

struct entries {
	struct posix_acl_xattr_entry v[VU_ACL_ENTRIES_MAX];
	size_t n;
};

/* Appends those with one tag: libarchive keeps them in the order of the archive. */
static int gather(struct archive_entry *e, int type, size_t t, struct entries *all)
{
	int got, perm, tag, id;
	const char *name;

	if (archive_entry_acl_reset(e, type) <= 0)
		return 0;
	while (!archive_entry_acl_next(e, type, &got, &perm, &tag, &id, &name)) {
		if (tag != tags[t].tag)
			continue;
		if (all->n == VU_ACL_ENTRIES_MAX)
			return -E2BIG;
		all->v[all->n++] = (struct posix_acl_xattr_entry){
			.e_tag = htole16(tags[t].xattr),
			.e_perm = htole16((uint16_t)(perm & 7)),
			.e_id = htole32(tags[t].has_id ? (uint32_t)id : ACL_UNDEFINED_ID),
		};
	}
	return 0;
}

int vu_acl_from_entry(struct archive_entry *e, bool is_default, void **ret_value, size_t *ret_len)
{
	const struct posix_acl_xattr_header h = {.a_version = htole32(POSIX_ACL_XATTR_VERSION)};
	_cleanup_free_ struct entries *all = NULL;
	int r = 0;

	*ret_value = NULL;
	*ret_len = 0;
	if (!archive_entry_acl_count(e, type_of(is_default)))
		return 0;
	all = calloc(1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t t = 0; !r && t < VU_ARRAY_SIZE(tags); t++)
		r = gather(e, type_of(is_default), t, all);
	if (r || !all->n)
		return r;
	char *value = malloc(sizeof(h) + all->n * sizeof(all->v[0]));

	if (!value)
		return -ENOMEM;
	memcpy(value, &h, sizeof(h));
	memcpy(value + sizeof(h), all->v, all->n * sizeof(all->v[0]));
	*ret_value = value;
	*ret_len = sizeof(h) + all->n * sizeof(all->v[0]);
	return 0;
}

uint32_t vu_acl_mode(uint32_t mode, const void *value, size_t len)
{
	int n = count(value, len);
	uint32_t group = (mode >> 3) & 7;
	bool masked = false;

	for (int i = 0; i < n; i++) {
		struct posix_acl_xattr_entry x = entry_at(value, i);
		uint32_t perm = x.e_perm & 7;

		switch (x.e_tag) {
		case ACL_USER_OBJ:
			mode = (mode & ~0700U) | perm << 6;
			break;
		case ACL_OTHER:
			mode = (mode & ~07U) | perm;
			break;
		case ACL_MASK:
			masked = true;
			group = perm;
			break;
		case ACL_GROUP_OBJ:
			if (!masked)
				group = perm;
			break;
		default:
			break;
		}
	}
	return (mode & ~070U) | group << 3;
}

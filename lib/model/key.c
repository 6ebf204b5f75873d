/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Name of an object: hex(SHA-256(record)) "-" generation. The record, all numbers little-endian:
 *
 *   "vunify-key-1" NUL, domain NUL, content digest (32), size (8), mode (4), uid (4), gid (4),
 *   flags (4), xattr digest (32, zero without any), with_mtime (1), mtime_ns (8, zero without)
 *
 * Two farms of different mtime settings, or two domains of one farm, can share a pool: their keys
 * differ. A pool can be checked, and a catalog rebuilt, from the objects alone.
 */
#include "model/key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"

static uint8_t *put_le(uint8_t *p, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

int vu_key_make(struct vu_hash *hash, const char *domain, const struct vu_digest *content,
		uint64_t size, const struct vu_attr *attr, bool with_mtime, uint64_t mtime_ns,
		struct vu_key *ret_key)
{
	static const char magic[] = "vunify-key-1";
	uint8_t record[128], *p = record;

	memcpy(p, content->b, sizeof(content->b));
	p += sizeof(content->b);
	p = put_le(p, size, 8);
	p = put_le(p, attr->mode, 4);
	p = put_le(p, attr->uid, 4);
	p = put_le(p, attr->gid, 4);
	p = put_le(p, attr->flags, 4);
	memcpy(p, attr->xattrs.b, sizeof(attr->xattrs.b));
	p += sizeof(attr->xattrs.b);
	p = put_le(p, with_mtime, 1);
	p = put_le(p, with_mtime ? mtime_ns : 0, 8);
	vu_hash_begin(hash);
	vu_hash_add(hash, magic, sizeof(magic));
	vu_hash_add(hash, domain, strlen(domain) + 1);
	vu_hash_add(hash, record, (size_t)(p - record));
	ret_key->generation = 0;
	return vu_hash_end(hash, ret_key->hash.b);
}

void vu_key_name(const struct vu_key *key, char *name)
{
	vu_hex_encode(key->hash.b, sizeof(key->hash.b), name);
	sprintf(name + VU_DIGEST_HEX, "-%u", key->generation);
}

/*
 * Decimal, at most 9 digits, as vu_key_name() writes it. Pools hold many names: sscanf(3) is most of what that
 * would take.
 */
static int parse_generation(const char *s, uint32_t *ret)
{
	uint32_t n = 0;
	int digits = 0;

	for (; *s >= '0' && *s <= '9' && digits < 9; s++, digits++)
		n = n * 10 + (uint32_t)(*s - '0');
	if (!digits || *s || (digits > 1 && s[-digits] == '0'))
		return -EINVAL;
	*ret = n;
	return 0;
}

int vu_key_parse(const char *name, struct vu_key *ret_key)
{
	struct vu_key k = {0};

	if (strlen(name) >= VU_KEY_NAME_MAX || strlen(name) < VU_DIGEST_HEX + 2 ||
	    vu_hex_decode(name, sizeof(k.hash.b), k.hash.b) || name[VU_DIGEST_HEX] != '-' ||
	    parse_generation(name + VU_DIGEST_HEX + 1, &k.generation))
		return -EINVAL;
	*ret_key = k;
	return 0;
}

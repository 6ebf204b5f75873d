/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The key: what must be equal to share an inode, as one SHA-256, and the name of an object in the
 * pool. The generation tells objects of the same key apart: one object holds, inside one guest, the
 * names of one original inode only (so the guest's own hard links stay exactly what they were), and
 * one inode has a limit of links (65,000 on ext4).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "model/attr.h"
#include "model/digest.h"

/* Object names: 64 hex digits, '-', generation in decimal. */
#define VU_KEY_NAME_MAX (VU_DIGEST_HEX + 1 + 10 + 1)

struct vu_key {
	struct vu_digest hash;
	uint32_t generation;
};

/*
 * Computes the key's hash; generation is set to 0. domain: the guests' domain, "" for the default
 * one. mtime_ns is left out of the key unless with_mtime. attr must be full. hash is the caller's,
 * one per thread. Returns 0, or -EIO when libcrypto fails.
 */
int vu_key_make(struct vu_hash *hash, const char *domain, const struct vu_digest *content,
		uint64_t size, const struct vu_attr *attr, bool with_mtime, uint64_t mtime_ns,
		struct vu_key *ret_key);

/* Writes the object's name; name has VU_KEY_NAME_MAX bytes. */
void vu_key_name(const struct vu_key *key, char *name);

/* Reads an object's name. Returns 0, or -EINVAL for anything that vu_key_name would not write. */
int vu_key_parse(const char *name, struct vu_key *ret_key);

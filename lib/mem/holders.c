/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/holders.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/watched.h"

/* Whether an entry is the one that is looked for. */
typedef bool is_fn(const struct vu_holders *h, uint32_t i, const void *wanted);

/* The slot of what is looked for, or a free one. There are twice as many as entries. */
static uint32_t *find(const struct vu_holders *h, uint32_t *slots, size_t n_slots, uint64_t hash,
		      is_fn *is, const void *wanted)
{
	uint32_t *slot = &slots[(hash * UINT64_C(0x9e3779b97f4a7c15) >> 32) % n_slots];

	while (*slot && !is(h, *slot - 1, wanted))
		slot = slot + 1 < slots + n_slots ? slot + 1 : slots;
	return slot;
}

struct vu_holders *vu_holders_new(void)
{
	return vu_watched_memory(sizeof(struct vu_holders));
}

struct vu_holders *vu_holders_free(struct vu_holders *h)
{
	if (h)
		munmap(h, sizeof(*h));
	return NULL;
}

void vu_holders_clear(struct vu_holders *h)
{
	vu_watched_clear(h, sizeof(*h));
}

/* ---- inodes ---- */

static bool is_inode(const struct vu_holders *h, uint32_t i, const void *wanted)
{
	const struct vu_holders_inode *w = wanted;

	return h->inode[i].ino == w->ino && h->inode[i].dev == w->dev &&
	       h->inode[i].guest == w->guest;
}

struct vu_holders_inode *vu_holders_inode(struct vu_holders *h, uint32_t guest, uint64_t dev,
					  uint64_t ino, bool *ret_new)
{
	struct vu_holders_inode wanted = {.dev = dev, .ino = ino, .guest = guest};
	uint32_t *slot = find(h, h->inode_slot, 2 * VU_HOLDERS_INODES,
			      (ino * 31 + dev) * 31 + guest, is_inode, &wanted);
	*ret_new = !*slot;
	if (*slot)
		return &h->inode[*slot - 1];
	if (h->n_inodes == VU_HOLDERS_INODES ||
	    h->inodes_of[guest] == VU_HOLDERS_INODES / VU_HOLDERS_PART) {
		h->truncated = true;
		return NULL;
	}
	h->inodes_of[guest]++;
	h->inode[h->n_inodes] = wanted;
	*slot = ++h->n_inodes;
	return &h->inode[*slot - 1];
}

/* ---- services ---- */

static bool is_service(const struct vu_holders *h, uint32_t i, const void *wanted)
{
	const struct vu_holders_service *w = wanted;

	return h->service[i].guest == w->guest && !strcmp(h->service[i].name, w->name);
}

struct vu_holders_service *vu_holders_service(struct vu_holders *h, uint32_t guest,
					      const char *name)
{
	struct vu_holders_service wanted = {.guest = guest};
	uint64_t hash = guest;

	snprintf(wanted.name, sizeof(wanted.name), "%s", name);
	for (const char *p = wanted.name; *p; p++)
		hash = hash * 131 + (unsigned char)*p;
	uint32_t *slot =
		find(h, h->service_slot, 2 * VU_HOLDERS_SERVICES, hash, is_service, &wanted);

	if (*slot)
		return &h->service[*slot - 1];
	if (h->n_services == VU_HOLDERS_SERVICES ||
	    h->services_of[guest] == VU_HOLDERS_SERVICES / VU_HOLDERS_PART) {
		h->truncated = true;
		return NULL;
	}
	h->services_of[guest]++;
	h->service[h->n_services] = wanted;
	*slot = ++h->n_services;
	return &h->service[*slot - 1];
}

/* ---- who holds what ---- */

static bool is_holding(const struct vu_holders *h, uint32_t i, const void *wanted)
{
	const struct vu_holders_holding *w = wanted;

	return h->holding[i].inode == w->inode && h->holding[i].service == w->service;
}

void vu_holders_hold(struct vu_holders *h, const struct vu_holders_inode *inode,
		     const struct vu_holders_service *service)
{
	struct vu_holders_holding wanted = {
		.inode = (uint32_t)(inode - h->inode),
		.service = (uint32_t)(service - h->service),
	};
	uint32_t *slot = find(h, h->holding_slot, 2 * VU_HOLDERS_HOLDINGS,
			      (uint64_t)wanted.inode << 32 | wanted.service, is_holding, &wanted);

	if (*slot)
		return;
	if (h->n_holdings == VU_HOLDERS_HOLDINGS) {
		h->truncated = true;
		return;
	}
	h->holding[h->n_holdings] = wanted;
	*slot = ++h->n_holdings;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which service holds which replaced file in memory: a table of bounded size in memory that a child, who fills it,
 * shares with its parent, who reads it (base/watched.h). What a guest can make many is bounded for each guest, so
 * that one leaves room for the others. Each side is one thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/digest.h"

#define VU_HOLDERS_GUESTS 65536 /* more cannot be told apart */
#define VU_HOLDERS_INODES ((size_t)65536)
#define VU_HOLDERS_SERVICES ((size_t)16384)
#define VU_HOLDERS_HOLDINGS ((size_t)262144)
#define VU_HOLDERS_PART 4 /* a guest may have a fourth of each */
#define VU_HOLDERS_PATH_MAX 512
#define VU_HOLDERS_NAME_MAX 256

enum vu_holders_kind {
	VU_HOLDERS_UNKNOWN = 0, /* could not be told */
	VU_HOLDERS_SAME,	/* what is there now has the same content */
	VU_HOLDERS_CHANGED,	/* it has another one */
	VU_HOLDERS_REMOVED,	/* nothing is there */
	VU_HOLDERS_IN_PLACE,	/* it is there itself: nothing was replaced */
	VU_HOLDERS_MOVED, /* vunify put another file in its place, and its name is lost: to be found out */
	VU_HOLDERS_KINDS,
};

struct vu_holders_inode {
	uint64_t dev;
	uint64_t ino;
	uint64_t size;
	uint64_t mtime_ns;
	uint64_t pages; /* in the page cache */
	uint32_t links;
	uint32_t guest;	     /* of the first process that has it mapped */
	uint32_t n_services; /* that have it mapped */
	uint8_t kind;	     /* enum vu_holders_kind */
	bool has_digest;
	struct vu_digest digest;	  /* of the content; for MOVED only */
	struct vu_digest key[2];	  /* hashes of its key: without and with mtime */
	char mapped[VU_HOLDERS_PATH_MAX]; /* what the kernel calls it; cut */
	char path
		[VU_HOLDERS_PATH_MAX]; /* in the guest, without a leading '/'; cut; "": not known */
};

struct vu_holders_service {
	uint32_t guest;
	uint32_t n_processes; /* with any such mapping */
	bool is_unit;	      /* name is a unit of systemd; else of a program, and any bytes */
	char name[VU_HOLDERS_NAME_MAX];
	char above[VU_HOLDERS_PATH_MAX]; /* of a unit: the cgroup path up to it; cut */
};

struct vu_holders_holding {
	uint32_t inode;
	uint32_t service;
};

struct vu_holders {
	_Atomic uint64_t progress; /* counted up by whoever fills it */
	size_t now;		   /* the guest at hand */
	uint32_t n_inodes, n_services, n_holdings;
	bool truncated; /* there was no room for some */
	bool hidden;	/* the kernel did not show what is mapped */
	struct vu_holders_inode inode[VU_HOLDERS_INODES];
	struct vu_holders_service service[VU_HOLDERS_SERVICES];
	struct vu_holders_holding holding[VU_HOLDERS_HOLDINGS];
	/* by guest */
	uint32_t inodes_of[VU_HOLDERS_GUESTS];
	uint32_t services_of[VU_HOLDERS_GUESTS];
	/* open addressing: number + 1 */
	uint32_t inode_slot[2 * VU_HOLDERS_INODES];
	uint32_t service_slot[2 * VU_HOLDERS_SERVICES];
	uint32_t holding_slot[2 * VU_HOLDERS_HOLDINGS];
};

/* An empty one, shared; to be freed with vu_holders_free. NULL without memory. */
struct vu_holders *vu_holders_new(void);
struct vu_holders *vu_holders_free(struct vu_holders *h);
void vu_holders_clear(struct vu_holders *h);

/*
 * The inode as a guest has it, or the service, which may be a new one: then *ret_new. NULL where there is no room.
 * (A service is known by guest and name.) guest: below VU_HOLDERS_GUESTS.
 */
struct vu_holders_inode *vu_holders_inode(struct vu_holders *h, uint32_t guest, uint64_t dev,
					  uint64_t ino, bool *ret_new);
struct vu_holders_service *vu_holders_service(struct vu_holders *h, uint32_t guest,
					      const char *name);

/* Notes that the service holds the inode, if that is not known yet. */
void vu_holders_hold(struct vu_holders *h, const struct vu_holders_inode *inode,
		     const struct vu_holders_service *service);

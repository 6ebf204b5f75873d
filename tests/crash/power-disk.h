/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk with a write cache that can be lost. It is a loop device upon a file of a FUSE file system
 * that a child process serves from memory: whatever the kernel gives the device is logged in its order,
 * data and flushes (the loop driver hands a flush on as an fsync, and a FUSE file opened for direct I/O
 * keeps nothing back). So it is known for each instant what a power cut would have had to leave:
 * all that was written before the last flush, and any part of what was written since.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define POWER_BLOCK 4096 /* what a disk writes whole or not at all */

/* A write, or, with len 0, a flush. */
struct power_write {
	uint64_t at;   /* on the disk */
	uint64_t data; /* in the log's data */
	uint32_t len;
};

struct power_log {
	_Atomic uint32_t n;
	uint64_t used; /* bytes of data */
	struct power_write w[];
};

struct power_disk {
	char dir[512]; /* where the FUSE file system is mounted */
	char loop[32]; /* the device */
	uint64_t size; /* bytes */
	int image;     /* memory that the disk is served from */
	int base;      /* as it was when the log began */
	pid_t server;  /* the child */
	struct power_log *log;
	uint8_t *data; /* of the log */
};

/* Serves the image (a memfd, taken over) below dir, which must exist. 0 or a negative errno. */
int power_disk_start(struct power_disk *d, const char *dir, int image);

/* Detaches everything; the log stays. Nothing may be mounted from it any more. */
void power_disk_stop(struct power_disk *d);

/* How much has been logged: an instant. */
uint32_t power_disk_now(const struct power_disk *d);

/* The first instant after which all that was given to the disk before `instant` is sure to stay. */
uint32_t power_disk_flush_before(const struct power_disk *d, uint32_t instant);

/* Writes the i-th entry of the log to the image; a part of its blocks where keep says so. */
void power_disk_apply(const struct power_disk *d, uint32_t i, int image,
		      bool (*keep)(void *arg, uint32_t i, uint32_t block), void *arg);

/* A memfd of that size, or a copy of one. -errno when it cannot be had. */
int power_memory(uint64_t size);
int power_memory_copy(int from);

/* Gives blocks of zeroes back, so that a copy costs less. */
void power_memory_thin(int fd);

/*
 * A loop device for the file, which goes away with its last user. Returns a descriptor of it, for
 * the caller to close once it is mounted, and its name (of 32 bytes); or a negative errno.
 */
int power_loop(int file, char *ret_name);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done inside of a real moment of linker, breaker or eviction. A test that uses it is linked with
 * --wrap=vu_exchange, so it is called in every one: there it gives away the lease on the object that it
 * is after, and a process of a guest opens that for writing. Or it keeps the lease, and the process
 * waits; with --wrap of vu_interrupt_waiters and vu_interrupt_waiters_each as one that cannot be
 * interrupted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "evict-farm.h"

/* What is to happen in a moment; once. */
struct trap {
	uint64_t ino; /* of the object that somebody slips into; 0: nothing happens, or it has */
	uint64_t dir; /* only when a name in this directory is exchanged; 0: in any */
	struct writer *w; /* who does */
	const char *acts; /* what he does then */
	int kill;	  /* instead: the process ends before (-1) or after (1) the exchange */
	const char *own;  /* before that, the guest puts this file to the path, or NULL */
	bool wait;	  /* the lease stays: who opens it waits */
	bool deaf;	  /* who waits is not interrupted */
};

extern struct trap trap;

/* dir_of: a guest whose usr/lib that is; or -1. */
void set_trap(const struct farm *f, uint64_t ino, int dir_of, struct writer *w, const char *acts);

/* He has passed the permission check, and sleeps until the lease goes. */
void wait_for_waiting(const struct writer *w);

/* Links all; returns the inode of f0. */
uint64_t begin(struct farm *f);

/* Guest g has a private file of equal content again. */
void make_private(const struct farm *f, unsigned g);

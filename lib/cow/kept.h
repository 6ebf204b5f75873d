/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of a listener that was handed over (or of a connection of LXC's monitor, in its place), in a
 * memory file (memfd_create(2)) that goes with it from process to process: who it is, and the calls that were
 * taken and not answered. Whoever has both serves the guest as if he had done so from the start. One process at
 * a time: it holds a lock (F_OFD_SETLK) of the file.
 *
 * Such a file comes from the service manager again (ops/fd-store.h), maybe of another version of vunify: it is checked
 * before it is believed. All of it was the runtime's text once.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cow/handoff.h"
#include "cow/notify.h"
#include "model/guest.h"

#define VU_KEPT_SLOTS 2
#define VU_KEPT_KEY_LEN 32 /* hexadecimal digits */

struct vu_kept {
	char magic[8];
	uint32_t version, size;
	char key[VU_KEPT_KEY_LEN + 1]; /* random: names the pair of file and listener */
	char id[VU_HANDOFF_ID_MAX + 1];
	char metadata[VU_GUEST_NAME_MAX +
		      1];     /* empty: not known, as guest; a longer one is no guest's name */
	char guest[PATH_MAX]; /* root of the guest */
	pid_t pid, init;
	bool creating;
	_Atomic pid_t server; /* who has the lock */
	struct vu_notify_slot slots[VU_KEPT_SLOTS];
};

enum vu_kept_e {
	VU_KEPT_WRONG = 1 /* it is no such file, or another version's */
};

/* Makes the file of a message. Returns its descriptor (O_CLOEXEC), or a negative errno. */
int vu_kept_new(const struct vu_handoff *h);

/*
 * Maps the file, which stays the caller's, to look at it or to serve. Returns 0, VU_KEPT_WRONG or a negative errno. To
 * be unmapped with vu_kept_unmap, which accepts NULL and returns NULL.
 */
int vu_kept_map(int fd, struct vu_kept **ret);

/* The same, to know only that. */
int vu_kept_check(int fd);

struct vu_kept *vu_kept_unmap(struct vu_kept *k);
VU_DEFINE_CLEANUP(struct vu_kept *, vu_kept_unmap)

/*
 * Takes the lock, and so the place of who serves: for as long as the descriptor that is returned, or a copy of it, is
 * open anywhere. Who has it is asked to end (SIGTERM), and waited for. Returns the descriptor (O_CLOEXEC); -ECANCELED
 * when a stop was asked for meanwhile; or another negative errno.
 */
int vu_kept_take_over(int fd, struct vu_kept *k);

/* Is this one, whole and with all texts ended? Of any bytes (aligned to 8). */
bool vu_kept_is_right(const void *bytes, size_t size);

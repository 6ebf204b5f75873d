/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The freezer: stops guests for the time of some moments, so that nobody can be inside of a system call
 * while an object is without its flag. Knows cgroups as open directories only; whose they are, and that
 * nobody else is in them, is for who gives them (lib/guest/freezable). Owns the rule that nobody is
 * frozen for more than 50 ms at a time (but see hold_ns), and then runs for as long as he was frozen. The lease
 * protocol (link/moment.h) goes on underneath: where somebody cannot be frozen, it is what there is.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VU_FROZEN_MAX 512 /* cgroups at a time; with more guests running there is no freezing */

/*
 * What is frozen now, in memory that the guardian has too (link/ledger.h): whoever is left thaws. The
 * descriptors are of cgroup.freeze files.
 */
struct vu_frost {
	_Atomic int state; /* of enum vu_frost_state */
	_Atomic uint64_t since_ns;
	_Atomic uint64_t limit_ns;  /* from then on */
	_Atomic uint64_t lifted_ns; /* when it lasted too long and was lifted; 0: it was not */
	_Atomic unsigned n;
	int wake;   /* eventfd by which the guardian hears of it; -EBADF: there is none */
	int record; /* of struct vu_freezer's record; -EBADF */
	int fds[VU_FROZEN_MAX];
};

enum vu_frost_state {
	VU_THAWED = 0,
	VU_FROZEN,  /* all of fds are frozen, or are about to be */
	VU_LIFTING, /* somebody thaws them */
	VU_LIFTED, /* it lasted too long: the guardian has thawed them; who froze does not know yet */
};

/* Who is to be frozen: given by who knows guests. */
struct vu_freezer_watch {
	/*
	 * Looks who runs now. Writes at most cap open directories of cgroups (owned by the freezer from
	 * then on). Returns their number, -EPERM when somebody runs who cannot be frozen, or another
	 * negative errno. One thread at a time.
	 */
	int (*look)(void *arg, int *dirs, size_t cap);
	void *arg;
	bool must; /* without freezing no moment begins (moment = freeze) */
	/*
	 * Not for moments, but to look at guests while they stand still: they may be frozen for so long then; 0 is the
	 * usual. To be set before the first enter.
	 */
	uint64_t hold_ns;
};

struct vu_freezer_stats {
	uint64_t times;	  /* guests were frozen (all together) */
	uint64_t max_ns;  /* the longest time */
	uint64_t lifted;  /* thawed by the guardian, while a moment was still open */
	uint64_t refused; /* they did not freeze soon enough, or somebody else froze them */
};

struct vu_freezer;

/*
 * frost: of the ledger, or NULL. record: a file (path; or NULL) in which it stands while somebody is
 * frozen, for vu_freezer_lift_record. Returns 0 or -ENOMEM. watch is borrowed.
 */
int vu_freezer_new(const struct vu_freezer_watch *watch, struct vu_frost *frost, const char *record,
		   struct vu_freezer **ret);

/* Nobody may be in it. Accepts NULL, returns NULL. */
struct vu_freezer *vu_freezer_free(struct vu_freezer *f);

/*
 * Freezes whoever runs, unless that is so already; may wait until who was frozen has run for a while.
 * Returns 0 (also where nobody runs, or nobody can be frozen and need not be) or -EAGAIN (must). To be
 * left again soon. Any thread, which must not be in it. f may be NULL.
 */
int vu_freezer_enter(struct vu_freezer *f);
void vu_freezer_leave(struct vu_freezer *f);

/* Is everybody who runs frozen right now? For who is in it. */
bool vu_freezer_holds(const struct vu_freezer *f);

/* Is there time for one more moment? For who is in it, between two. */
bool vu_freezer_has_time(const struct vu_freezer *f);

/* Was anybody found that can be frozen, when it was last looked? A hint: then moments go together. */
bool vu_freezer_is_used(const struct vu_freezer *f);

struct vu_freezer_stats vu_freezer_stats(const struct vu_freezer *f);

/* ---- for others than who froze ---- */

/* How long it may last still, in nanoseconds; 0: to be lifted now; UINT64_MAX: nobody is frozen. */
uint64_t vu_frost_left_ns(const struct vu_frost *f);

/* It lasts too long: thaws. Who froze is alive, and may be about to freeze. */
void vu_frost_lift(struct vu_frost *f);

/* Who froze is dead (or is the caller): thaws, if somebody is frozen. Returns whether that was so. */
bool vu_frost_end(struct vu_frost *f);

/*
 * After a crash, with nobody at work: thaws what a record says is frozen still, and removes it. Returns
 * how many cgroups were thawed, or a negative errno (0 without a record).
 */
int vu_freezer_lift_record(const char *record);

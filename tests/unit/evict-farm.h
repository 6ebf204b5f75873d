/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of eviction share, beside link-farm.h: processes in chroots of the guests that open f0
 * for writing, the watch that tells whose they are, and what must hold afterwards.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "link-farm.h"
#include "link/evict.h"

#define F0 "usr/lib/f0"
#define TWIN "usr/twin" /* another name of it in the same guest */
#define CONTENT "content of 0, longer than inline\n"
#define BYTES "WRITTEN" /* by whoever slips in, to the beginning */
#define CHANGED "WRITTEN of 0, longer than inline\n"

/* A process in a guest. */
struct writer {
	pid_t pid;
	int in, out;
};

struct writer *start_writer(const struct farm *f, unsigned guest);

/* Tells it to open (o), write (w) or close (c); and waits for whether it could. ask: both. */
void tell(struct writer *w, char c);
bool answer(struct writer *w);
bool ask(struct writer *w, char c);

void stop_writers(void);
/* The teardown. */
int clean_up_all(void **state);

/* The watch for these guests, as ops gives it. */
struct vu_slip_watch watch_of(struct farm *f);

extern const struct vu_sink evict_sink;
struct vu_breaker_env evict_env(struct farm *f, const struct vu_slip_watch *w,
				struct vu_pool **pools);

/*
 * Evicts what is noted. ready: a byte is written to it when everything is found, and evicting begins; or
 * -1.
 */
void evict_from(struct farm *f, struct vu_evict_stats *ret, int ready);
void evict(struct farm *f, struct vu_evict_stats *ret);
/* Where it may fail: what it returned. */
int evict_or_fail(struct farm *f, struct vu_evict_stats *ret);

void has_text(const struct farm *f, unsigned g, const char *rel, const char *want);

/* This guest has the inode for itself, with both names. */
void has_kept(const struct farm *f, uint64_t ino, unsigned g, const char *want);

/* These guests (a mask) share another object than ino, with the content as it was. */
void have_moved(const struct farm *f, uint64_t ino, unsigned mask);

bool is_rescued(const struct farm *f);

/* Everything as in manifest "a" in the guests that did nothing (a regular expression). */
void others_unchanged(const struct farm *f, const char *which);

/* And all of it can be linked and unmerged as ever. */
void goes_on(struct farm *f);

/* A slip does harm on XFS and btrfs only: ext4 refuses the write. */
#define ON_BOTH(name)                                                                              \
	static void name##_xfs(void **state)                                                       \
	{                                                                                          \
		(void)state;                                                                       \
		run_on("xfs", name);                                                               \
	}                                                                                          \
	static void name##_btrfs(void **state)                                                     \
	{                                                                                          \
		(void)state;                                                                       \
		run_on("btrfs", name);                                                             \
	}
#define TESTS_BOTH(name)                                                                           \
	cmocka_unit_test_teardown(name##_xfs, clean_up_all),                                       \
		cmocka_unit_test_teardown(name##_btrfs, clean_up_all)

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of cow/view.h: two processes with a root, mounts and numbers of their own, whose trees are alike;
 * what each path of a table is to such a process, which opens all of them itself first; and a view. cmocka's
 * headers come before this one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "cow/view.h"
#include "scratch.h"

/* Descriptors of the processes. */
#define DIR_FD 10     /* /dir/sub */
#define FILE_FD 11    /* /file */
#define DELETED_FD 12 /* a file that is gone */
#define PATH_FD 13    /* /dir/sub/file, O_PATH */
#define NO_FD 99

#define VIEW_TEXT "/in/memory" /* what they have at view_text */

enum {
	NOFOLLOW = 1 << 0,
	EMPTY = 1 << 1, /* AT_EMPTY_PATH */
	LOOSE = 1 << 2, /* a file of /proc, whose inode is not the same twice */
	FAILS = 1 << 3, /* whatever the error is */
};

struct view_row {
	int dirfd;
	const char *text;
	unsigned traits;
	int error; /* what is to come of it, so that none is taken for right because both are wrong */
};

/* What a process got for a row. */
struct view_answer {
	int error;
	struct stat st;
};

extern char view_top[SCRATCH_MAX]; /* below it r0 and r1, the roots */
extern struct stat view_host_root;
extern struct vu_view *view; /* NULL: who runs this is not root */
extern pid_t view_pids[2];

/* Makes all of it; the answers are those of the second process. At most VIEW_ROWS of them. */
#define VIEW_ROWS 100
int view_set_up(const struct view_row *rows, size_t n);
const struct view_answer *view_answer(size_t i);
uint64_t view_text(void);

int view_tear_down(void **state);

/* After each test: out of the guest's root again. */
int view_leave(void **state);

void view_needs_root(void);

/* A path of a process, by the view: wholly, or as it is said. */
int view_resolve_how(pid_t pid, int dirfd, const char *text, unsigned traits, enum vu_view_how how,
		     struct vu_stat *st);
int view_look(pid_t pid, int dirfd, const char *text, unsigned traits, struct vu_stat *st);
int view_resolve(pid_t pid, int dirfd, const char *text, unsigned traits, struct vu_stat *st);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process of a guest, and what it does: one operation at a time on a path of its own, of which the
 * record says afterwards what must be there. An operation is acknowledged when its system call
 * succeeded; EPERM and its like are refusals, which change nothing. Part of race.c.
 */
#pragma once

#include "race-record.h"

#define N_HELD 6

struct uring;

struct proc {
	struct board *b;
	unsigned guest, proc;
	struct counters *n;
	unsigned seed;
	uint64_t serial;
	int schedstat;	    /* its own in /proc */
	int host_root;	    /* the host's root directory: for what the host does to the guest */
	struct uring *ring; /* or NULL */
	struct {
		bool used;
		unsigned dir, file;
		int fd;	   /* open for writing, or -1 */
		char *map; /* FILE_MAX bytes, shared; or NULL */
	} held[N_HELD];
};

/* The file at work. */
struct at {
	unsigned dir, file;
	struct record *r;
	char path[128];
};

unsigned dice(struct proc *p, unsigned sides);
void nap_us(unsigned us);
uint64_t clock_ns(void);

/* Around an operation, for who looks whether one hangs. */
void begin_op(struct proc *p, enum mode m);
void end_op(struct proc *p);

/* Into the guest: cgroup (or NULL), root directory, and without what vunify refuses a guest for. */
void enter_guest(struct proc *p, const char *cgroup);
/* It is there already. */
void be_in_guest(struct proc *p);

/* 16 bytes that occur nowhere else. */
const char *next_stamp(struct proc *p);

/* Sets dir, file, record and the path as it is now. */
void at_file(struct proc *p, unsigned dir, unsigned file, struct at *ret);
/* Another name of the file, beside it. */
void sibling(const struct proc *p, const struct at *a, const char *suffix, char *ret, size_t size);

/* Counts. true: refused. Ends the process for an errno that is no refusal. */
bool was_refused(struct proc *p, enum mode m);
void was_acked(struct proc *p, enum mode m);

/* open(2) with a clock around it, and what waits for leases as it does. */
int open_clocked(struct proc *p, const char *path, int flags);
int truncate_clocked(struct proc *p, const char *path, off_t size);
void clock_begin(struct proc *p, uint64_t *t);
void clock_end(struct proc *p, const uint64_t *t, bool truncates);

/* The record after bytes were written, after the mtime has changed. */
void wrote(struct record *r, uint32_t at, const char *bytes, uint32_t n);
void note_mtime(struct record *r, int fd);

/*
 * After a change by a descriptor for reading, opened at since_ns. What a scan replaces it keeps for some time, in
 * which such a change is seen to; who comes later changes what nobody has any more: the documented limit.
 */
void changed_by_fd(struct proc *p, struct at *a, const struct record *now, uint64_t since_ns);

/* What is kept open of this file is closed: it is to be replaced. dir, file UINT_MAX: all. */
void let_go_of(struct proc *p, unsigned dir, unsigned file);
bool is_held(const struct proc *p, unsigned dir, unsigned file);

/* One operation of that mode. */
void act_write(struct proc *p, struct at *a, enum mode m);
void act_meta(struct proc *p, struct at *a, enum mode m);
void act_name(struct proc *p, struct at *a, enum mode m);
void act_dir(struct proc *p, unsigned dir, enum mode m);
void act_odd(struct proc *p, struct at *a, enum mode m);
/* What M_EXEC executes: appends the text to the file. 0, or the errno of what did not succeed. */
int append_to(const char *path, const char *text);
/* Directories are where they were in the beginning. */
void dirs_back(struct proc *p);
/* The original, by a new file or in place. */
void restore(struct proc *p, struct at *a);

/* A new file with this record takes the place of what is there. */
void put_over(struct proc *p, struct at *a, struct record *r, enum mode m);
/* The record of one that only holds a new stamp. */
void stamped(struct proc *p, struct record *r);

/* Opens names of unified inodes as fast as it goes. */
void attack(struct proc *p);

/* The io_uring ring, without a library. NULL: the kernel has none. */
struct uring *uring_new(void);
int uring_write(struct uring *u, int fd, const void *bytes, unsigned n, uint64_t at);
int uring_open(struct uring *u, const char *path, int flags);

/* ---- comparing ---- */

enum differs {
	D_MISSING = 1 << 0,
	D_CONTENT = 1 << 1,
	D_FOREIGN = 1 << 2, /* another guest's stamp is in it */
	D_MODE = 1 << 3,
	D_OWNER = 1 << 4,
	D_MTIME = 1 << 5,
	D_XATTR = 1 << 6,
	D_PRESENT = 1 << 7, /* there is something, where nothing is to be */
	D_LINK = 1 << 8,    /* its second name is another file */
	D_FOREIGN_XATTR = 1 << 9,
};

/* What of the file is not as recorded; prefix: the guest's root. Tells it if asked to. */
unsigned differs(struct board *b, const char *prefix, unsigned guest, unsigned proc, unsigned dir,
		 unsigned file, bool tell);

/* Looks again for some seconds; counts what is wrong then. false: something is. */
bool check_file(struct board *b, struct counters *n, const char *prefix, unsigned guest,
		unsigned proc, unsigned dir, unsigned file);

/* All files of all guests, from the host; names that nobody has made are told too. */
bool check_all(struct board *b);

/* Until the end: reads what the quiet guests have, and sees who opens what is in the canary. */
void watch(struct proc *p);

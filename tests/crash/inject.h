/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a program and interferes with one of its system calls: kills it there, or lets the call fail.
 *
 * Done with seccomp's user notification: the calls in question wait in the kernel until this says how
 * they go on, and all others run at full speed (strace stops at each). A call that is killed or fails
 * has had no effect. All processes and threads of the program are watched.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Which call: its number, and what tells calls of that number apart: the request of ioctl and fcntl,
 * for openat whether it is for writing or creating, for write whether it goes to stdout or stderr.
 */
struct call {
	int nr;
	uint32_t kind;
};

/* A place in a run: the N-th of these calls (from 1) of the T-th thread (from 0) that makes any. */
struct point {
	struct call call;
	unsigned thread;
	unsigned n;
	struct call after; /* the last call before it that changed something; nr -1: none */
	bool in_main;	   /* not the dynamic linker's */
};

enum inject_mode {
	INJECT_NOTHING,	  /* full speed */
	INJECT_TRACE,	  /* tell of every call */
	INJECT_KILL,	  /* SIGKILL for the process that makes it */
	INJECT_KILL_ALL,  /* and for all others of the program */
	INJECT_FAIL,	  /* it fails once with err */
	INJECT_FAIL_EVER, /* and so do all such calls from then on */
};

struct inject {
	const char *dir; /* working directory */
	char *const *argv;
	enum inject_mode mode;
	struct point at;
	int err;
	unsigned limit_s; /* longer: it hangs, and is killed */
	void (*seen)(void *arg, const struct point *p);
	void *arg;
	/* results */
	int status; /* as waitpid(2) has it */
	bool hit;   /* the point was reached */
	bool hung;
	char *out; /* owned by the caller: stdout, then stderr, each ends with NUL */
	char *err_text;
};

/* The caller is the first process of a PID namespace: nobody else's children come to it. */
void inject_run(struct inject *r);
void inject_done(struct inject *r);

/*
 * In a mount namespace of its own: unmounts file systems of other tests. Those come and go, and vunify reads the
 * list of mounts, in more calls or in fewer; and the longer that is, the more a run costs. dir: where the
 * test works.
 */
void inject_leave_mounts(const char *dir, const char *vunify);

/* Does it change something, or put something on the disk? */
bool call_changes(struct call c);

bool call_equal(struct call a, struct call b);

struct seccomp_data;
struct call call_of(const struct seccomp_data *d);

/* "linkat", "ioctl FS_IOC_SETFLAGS"; in a static buffer */
const char *call_name(struct call c);

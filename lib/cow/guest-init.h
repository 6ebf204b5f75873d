/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first process of a guest's command: what it is and does stands in cow/enter.h, whose part it is. Not to be
 * called by others.
 *
 * Over the socket go single messages. To the first process: a character of enum vu_init_ask. From it, and before
 * vu_enter_go from the command's own process: a struct vu_init_message. Whoever has the other end is gone: before
 * the command was executed all ends, afterwards it goes on.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "cow/enter.h"

enum vu_init_ask {
	VU_INIT_GO = 'g',
	VU_INIT_CONTINUE = 'c',
	VU_INIT_FOREGROUND = 'f', /* continue, with the terminal */
};

enum vu_init_what {
	/* everything is prepared; the listener comes with it, if there is a filter. value: it waits killably */
	VU_INIT_READY,
	VU_INIT_FAILED,	 /* value: negative errno */
	VU_INIT_STOPPED, /* value: signal */
};

struct vu_init_message {
	enum vu_init_what what;
	int value;
};

/* What the first process and its caller both have in memory. Nothing of the guest has it. */
struct vu_init_told {
	const char *doing; /* static: the same in both */
	struct vu_guest_mounted mounted;
	_Atomic int status;	/* of the command, as wait(2) has it */
	_Atomic int exec_error; /* negative errno */
	_Atomic bool ended;	/* status is valid */
};

struct vu_init {
	const struct vu_enter *how;
	char *const *environment; /* of the command */
	struct vu_init_told *told;
	int control; /* its end of the socket */
	bool own_group;
};

/* Does a way of entering have namespaces of its own? */
static inline bool vu_init_has_namespaces(const struct vu_enter *how)
{
	return how->root >= 0 && !(how->flags & VU_ENTER_CHROOT_ONLY);
}

/* Becomes the first process. In a new process, which has one thread. */
_Noreturn void vu_init_run(const struct vu_init *init);

/* ---- of both processes ---- */

/* Tells the caller, with a descriptor if fd is one (borrowed). Returns 0 or a negative errno. */
int vu_init_tell(int control, enum vu_init_what what, int value, int fd);

/* Tells the caller that what it is doing has failed, and ends. */
_Noreturn void vu_init_fail(int control, int error);

/* Closes all but 0, 1, 2 and the two, which are above. Returns 0 or a negative errno. */
int vu_init_close_others(int a, int b);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that break links. Part of break-calls.c, and of the program that makes them, break-guest.c. */
#pragma once

#define BREAK_MORE "more\n"

enum break_op {
	BREAK_APPEND,	/* opened for writing: a private copy */
	BREAK_CUT,	/* the same, truncated */
	BREAK_FCHMOD,	/* by a descriptor, which is put on the copy */
	BREAK_TWINS,	/* a file with two names, which get their copy together */
	BREAK_LAST,	/* of an object that nobody else has */
	BREAK_EXCHANGE, /* two files change names */
	BREAK_UNLINK,	/* names alone: without a copy */
	BREAK_OVER,	/* another file is renamed over it */
	BREAK_LINK,
	BREAK_NONE, /* nothing shared: to see that somebody answers */
	BREAK_N
};

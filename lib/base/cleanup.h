/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ownership by cleanup attribute. Every owner is declared with one of these and initialised on the
 * same line; it is handed over with vu_take_ptr() or vu_take_fd() as the last step. Knows nothing of
 * vunify. Threads: all of it may be used by any thread.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define vu_cleanup(fn) __attribute__((cleanup(fn)))

static inline void vu_free_p(void *p)
{
	free(*(void **)p);
}

static inline void vu_close_p(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void vu_fclose_p(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void vu_closedir_p(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* No stream could be made of fd (fdopen(3), fdopendir(3)): closes it. Returns why, a negative errno. */
static inline int vu_close_failed_consume(int fd)
{
	int r = errno ? -errno : -EIO;

	close(fd);
	return r;
}

/* Plain memory, a file descriptor (initialise with -EBADF), a stdio stream, a directory stream. */
#define _cleanup_free_ vu_cleanup(vu_free_p)
#define _cleanup_fd_ vu_cleanup(vu_close_p)
#define _cleanup_fclose_ vu_cleanup(vu_fclose_p)
#define _cleanup_closedir_ vu_cleanup(vu_closedir_p)

/* Hand a pointer over: yields its value and leaves NULL behind. */
#define vu_take_ptr(p)                                                                             \
	({                                                                                         \
		__auto_type vu_taken_ = (p);                                                       \
		(p) = NULL;                                                                        \
		vu_taken_;                                                                         \
	})

/* Hand a descriptor over: yields its value and leaves -EBADF behind. */
#define vu_take_fd(fd)                                                                             \
	({                                                                                         \
		int vu_taken_ = (fd);                                                              \
		(fd) = -9; /* -EBADF */                                                            \
		vu_taken_;                                                                         \
	})

/* Define a cleanup helper for a destructor that returns NULL: VU_DEFINE_CLEANUP(struct x *, x_free) */
#define VU_DEFINE_CLEANUP(type, fn)                                                                \
	static inline void fn##_p(type *p)                                                         \
	{                                                                                          \
		if (*p)                                                                            \
			*p = fn(*p);                                                               \
	}

/* The same for a value whose done function accepts a zeroed struct. */
#define VU_DEFINE_CLEANUP_DONE(type, fn)                                                           \
	static inline void fn##_p(type *p)                                                         \
	{                                                                                          \
		fn(p);                                                                             \
	}

#define VU_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define VU_MIN(a, b) ((a) < (b) ? (a) : (b))
#define VU_MAX(a, b) ((a) > (b) ? (a) : (b))

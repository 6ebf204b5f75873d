/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/shape.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>

#include "base/cleanup.h"

#define ARG(n) VU_SHAPE_ARG(n)
#define PATH(n)                                                                                    \
	{                                                                                          \
		0, ARG(n)                                                                          \
	}
#define AT(n)                                                                                      \
	{                                                                                          \
		ARG(n), ARG((n) + 1)                                                               \
	}
#define FD(n)                                                                                      \
	{                                                                                          \
		ARG(n), 0                                                                          \
	}

/* What most of the calls with flags know (Linux 6.18). */
#define NOFOLLOW_OR_EMPTY (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)

/*
 * The short names of i386 and arm (chown, utime) and the long ones (chown32, utimensat_time64) are calls of
 * their own. fchmodat has no flags: what the library calls so is fchmodat2 (6.6). setxattrat and
 * removexattrat are of 6.13, file_setattr of 6.17; since calls got the same number everywhere (5.1), those
 * have it on all architectures.
 */
static const struct vu_shape shapes[] = {
	{"open", 0, VU_CALL_OPEN, VU_SHAPE_OPENS_TO_WRITE, VU_SHAPE_FOLLOW, PATH(0),
	 .flags = ARG(1), .mode = ARG(2)},
	{"openat", 0, VU_CALL_OPEN, VU_SHAPE_OPENS_TO_WRITE, VU_SHAPE_FOLLOW, AT(0),
	 .flags = ARG(2), .mode = ARG(3)},
	{"openat2", 0, VU_CALL_OPEN, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW | VU_SHAPE_FLAGS_IN_MEMORY,
	 AT(0), .flags = ARG(2), .size = ARG(3)},
	{"creat", 0, VU_CALL_OPEN, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, PATH(0), .mode = ARG(1)},

	{"truncate", 0, VU_CALL_TRUNCATE, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, PATH(0),
	 .length = ARG(1)},
	{"truncate64", 0, VU_CALL_TRUNCATE, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW | VU_SHAPE_LENGTH_WIDE,
	 PATH(0), .length = ARG(1)},

	{"unlink", 0, VU_CALL_UNLINK, VU_SHAPE_ALWAYS, 0, PATH(0)},
	{"unlinkat", 0, VU_CALL_UNLINK, VU_SHAPE_ALWAYS, 0, AT(0), .flags = ARG(2),
	 .at_flags = AT_REMOVEDIR},
	{"rmdir", 0, VU_CALL_RMDIR, VU_SHAPE_ALWAYS, 0, PATH(0)},
	{"rename", 0, VU_CALL_RENAME, VU_SHAPE_ALWAYS, 0, PATH(0), PATH(1)},
	{"renameat", 0, VU_CALL_RENAME, VU_SHAPE_ALWAYS, 0, AT(0), AT(2)},
	{"renameat2", 0, VU_CALL_RENAME, VU_SHAPE_ALWAYS, 0, AT(0), AT(2), .flags = ARG(4)},
	{"link", 0, VU_CALL_LINK, VU_SHAPE_ALWAYS, 0, PATH(0), PATH(1)},
	{"linkat", 0, VU_CALL_LINK, VU_SHAPE_ALWAYS, 0, AT(0), AT(2), .flags = ARG(4),
	 .at_flags = AT_SYMLINK_FOLLOW | AT_EMPTY_PATH},

	{"chmod", 0, VU_CALL_CHMOD, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, PATH(0)},
	{"fchmod", 0, VU_CALL_CHMOD, VU_SHAPE_FD, 0, FD(0)},
	{"fchmodat", 0, VU_CALL_CHMOD, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, AT(0)},
	{"fchmodat2", 452, VU_CALL_CHMOD, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, AT(0), .flags = ARG(3),
	 .at_flags = NOFOLLOW_OR_EMPTY},
	{"chown", 0, VU_CALL_CHOWN, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, PATH(0)},
	{"chown32", 0, VU_CALL_CHOWN, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, PATH(0)},
	{"lchown", 0, VU_CALL_CHOWN, VU_SHAPE_ALWAYS, 0, PATH(0)},
	{"lchown32", 0, VU_CALL_CHOWN, VU_SHAPE_ALWAYS, 0, PATH(0)},
	{"fchown", 0, VU_CALL_CHOWN, VU_SHAPE_FD, 0, FD(0)},
	{"fchown32", 0, VU_CALL_CHOWN, VU_SHAPE_FD, 0, FD(0)},
	{"fchownat", 0, VU_CALL_CHOWN, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, AT(0), .flags = ARG(4),
	 .at_flags = NOFOLLOW_OR_EMPTY},

	{"utime", 0, VU_CALL_UTIMES, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, PATH(0)},
	{"utimes", 0, VU_CALL_UTIMES, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, PATH(0)},
	{"futimesat", 0, VU_CALL_UTIMES, VU_SHAPE_PATH_OR_FD, VU_SHAPE_FOLLOW, AT(0)},
	{"utimensat", 0, VU_CALL_UTIMES, VU_SHAPE_PATH_OR_FD, VU_SHAPE_FOLLOW, AT(0),
	 .flags = ARG(3), .at_flags = NOFOLLOW_OR_EMPTY},
	{"utimensat_time64", 0, VU_CALL_UTIMES, VU_SHAPE_PATH_OR_FD, VU_SHAPE_FOLLOW, AT(0),
	 .flags = ARG(3), .at_flags = NOFOLLOW_OR_EMPTY},

	{"setxattr", 0, VU_CALL_SETXATTR, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, PATH(0)},
	{"lsetxattr", 0, VU_CALL_SETXATTR, VU_SHAPE_ALWAYS, 0, PATH(0)},
	{"fsetxattr", 0, VU_CALL_SETXATTR, VU_SHAPE_FD, 0, FD(0)},
	{"setxattrat", 463, VU_CALL_SETXATTR, VU_SHAPE_ALWAYS,
	 VU_SHAPE_FOLLOW | VU_SHAPE_EMPTY_NULL, AT(0), .flags = ARG(2),
	 .at_flags = NOFOLLOW_OR_EMPTY},
	{"removexattr", 0, VU_CALL_REMOVEXATTR, VU_SHAPE_ALWAYS, VU_SHAPE_FOLLOW, PATH(0)},
	{"lremovexattr", 0, VU_CALL_REMOVEXATTR, VU_SHAPE_ALWAYS, 0, PATH(0)},
	{"fremovexattr", 0, VU_CALL_REMOVEXATTR, VU_SHAPE_FD, 0, FD(0)},
	{"removexattrat", 466, VU_CALL_REMOVEXATTR, VU_SHAPE_ALWAYS,
	 VU_SHAPE_FOLLOW | VU_SHAPE_EMPTY_NULL, AT(0), .flags = ARG(2),
	 .at_flags = NOFOLLOW_OR_EMPTY},
	{"access", 0, VU_CALL_ACCESS, VU_SHAPE_ASKS_TO_WRITE, VU_SHAPE_FOLLOW, PATH(0),
	 .mode = ARG(1)},
	{"faccessat", 0, VU_CALL_ACCESS, VU_SHAPE_ASKS_TO_WRITE, VU_SHAPE_FOLLOW, AT(0),
	 .mode = ARG(2)},
	{"faccessat2", 439, VU_CALL_ACCESS, VU_SHAPE_ASKS_TO_WRITE, VU_SHAPE_FOLLOW, AT(0),
	 .flags = ARG(3), .at_flags = NOFOLLOW_OR_EMPTY | AT_EACCESS, .mode = ARG(2)},

	{"file_setattr", 469, VU_CALL_SETATTR, VU_SHAPE_ALWAYS,
	 VU_SHAPE_FOLLOW | VU_SHAPE_EMPTY_NULL, AT(0), .flags = ARG(4),
	 .at_flags = NOFOLLOW_OR_EMPTY},
};

const struct vu_shape *vu_shapes(size_t *ret_n)
{
	*ret_n = VU_ARRAY_SIZE(shapes);
	return shapes;
}

int vu_shape_number(const struct vu_shape *s, uint32_t arch)
{
	int nr = seccomp_syscall_resolve_name_arch(arch, s->name);

	if (nr == __NR_SCMP_ERROR && s->number)
		return s->number;
	/* below -1: known, but not on this architecture */
	return nr >= 0 ? nr : -1;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "base/cleanup.h"

/* ---- ways ---- */

static char path_buf[4096], dir_buf[128];

enum {
	ABSOLUTE = 1 << 0,
	RELATIVE = 1 << 1,
	DOTDOT = 1 << 2,
	DIRFD = 1 << 3,
	SYMLINK = 1 << 4,
	SYMLINK_ABSOLUTE = 1 << 5,
	PROC_FD = 1 << 6,
	PROC_FD_PATH = 1 << 7,
	DEV_FD = 1 << 8,
	PROC_CWD = 1 << 9,
	EMPTY = 1 << 10,
	DESCRIPTOR = 1 << 11,
	SLASH = 1 << 12,
	BELOW = 1 << 13,
	MISSING = 1 << 14,
	BAD_ADDRESS = 1 << 15,
	LONG = 1 << 16,
	PROC_DIR = 1 << 17,
	PROC_DIR_SLASH = 1 << 18,

	NAMES = ABSOLUTE | RELATIVE | DOTDOT | SYMLINK | SYMLINK_ABSOLUTE | PROC_CWD | PROC_DIR,
	MAGIC = PROC_FD | PROC_FD_PATH | DEV_FD,
	WRONG = SLASH | PROC_DIR_SLASH | BELOW | MISSING | BAD_ADDRESS | LONG,
	PATHS = NAMES | MAGIC,
	AT = PATHS | DIRFD,
};

static int put(struct guest_target *t, const char *dir, const char *base)
{
	snprintf(path_buf, sizeof(path_buf), "%s/%s", dir, base);
	t->path = path_buf;
	return 0;
}

static int open_file(const char *dir, int flags, struct guest_target *t)
{
	put(t, dir, "f");
	t->fd = open(t->path, flags | O_CLOEXEC);
	return t->fd < 0 ? -errno : 0;
}

static int by_absolute(const char *dir, struct guest_target *t)
{
	return put(t, dir, "f");
}

static int by_relative(const char *dir, struct guest_target *t)
{
	t->path = "f";
	return chdir(dir);
}

static int by_dotdot(const char *dir, struct guest_target *t)
{
	t->path = "../f";
	return chdir(dir) || chdir("d");
}

static int by_dirfd(const char *dir, struct guest_target *t)
{
	(void)dir;
	t->path = "f";
	t->dirfd = t->dir;
	return 0;
}

static int by_symlink(const char *dir, struct guest_target *t)
{
	t->path = "l";
	return chdir(dir);
}

static int by_symlink_absolute(const char *dir, struct guest_target *t)
{
	return put(t, dir, "a");
}

static int by_fd_link(const char *dir, const char *fds, int flags, struct guest_target *t)
{
	int r = open_file(dir, flags, t);

	snprintf(path_buf, sizeof(path_buf), "%s/%d", fds, t->fd);
	return r;
}

static int by_proc_fd(const char *dir, struct guest_target *t)
{
	return by_fd_link(dir, "/proc/self/fd", O_RDONLY, t);
}

static int by_proc_fd_path(const char *dir, struct guest_target *t)
{
	return by_fd_link(dir, "/proc/thread-self/fd", O_PATH, t);
}

/* /dev/fd is a symlink. The number is one that the supervisor has not open. */
static int by_dev_fd(const char *dir, struct guest_target *t)
{
	int r = open_file(dir, O_RDONLY, t), fd = fcntl(t->fd, F_DUPFD_CLOEXEC, 700);

	if (r || fd < 0)
		return -1;
	close(t->fd);
	t->fd = fd;
	snprintf(path_buf, sizeof(path_buf), "/dev/fd/%d", fd);
	return 0;
}

static int by_proc_dir(const char *dir, struct guest_target *t)
{
	(void)dir;
	snprintf(path_buf, sizeof(path_buf), "/proc/self/fd/%d/f", t->dir);
	t->path = path_buf;
	return 0;
}

static int by_proc_dir_slash(const char *dir, struct guest_target *t)
{
	(void)dir;
	snprintf(path_buf, sizeof(path_buf), "/proc/self/fd/%d/f/", t->dir);
	t->path = path_buf;
	return 0;
}

static int by_proc_cwd(const char *dir, struct guest_target *t)
{
	t->path = "/proc/self/cwd/f";
	return chdir(dir);
}

static int by_empty(const char *dir, struct guest_target *t)
{
	int r = open_file(dir, O_PATH, t);

	t->dirfd = t->fd;
	t->path = "";
	t->at_flags = AT_EMPTY_PATH;
	return r;
}

static int by_descriptor(const char *dir, struct guest_target *t)
{
	return open_file(dir, O_RDONLY, t);
}

static int by_slash(const char *dir, struct guest_target *t)
{
	return put(t, dir, "f/");
}

static int by_below(const char *dir, struct guest_target *t)
{
	return put(t, dir, "f/x");
}

static int by_missing(const char *dir, struct guest_target *t)
{
	return put(t, dir, "missing");
}

static int by_bad_address(const char *dir, struct guest_target *t)
{
	(void)dir;
	t->path = (const char *)8;
	return 0;
}

/* One byte too many: PATH_MAX is with the NUL. */
static int by_long(const char *dir, struct guest_target *t)
{
	static char text[4097];

	(void)dir;
	memset(text, '/', sizeof(text) - 2);
	text[sizeof(text) - 2] = 'f';
	t->path = text;
	return 0;
}

static const struct guest_way ways[] = {
	{"absolute", ABSOLUTE, by_absolute},
	{"relative", RELATIVE, by_relative},
	{"dotdot", DOTDOT, by_dotdot},
	{"dirfd", DIRFD, by_dirfd},
	{"symlink", SYMLINK, by_symlink},
	{"symlink-absolute", SYMLINK_ABSOLUTE, by_symlink_absolute},
	{"proc-fd", PROC_FD, by_proc_fd},
	{"proc-fd-path", PROC_FD_PATH, by_proc_fd_path},
	{"dev-fd", DEV_FD, by_dev_fd},
	{"proc-cwd", PROC_CWD, by_proc_cwd},
	{"empty", EMPTY, by_empty},
	{"descriptor", DESCRIPTOR, by_descriptor},
	{"slash", SLASH, by_slash},
	{"below", BELOW, by_below},
	{"missing", MISSING, by_missing},
	{"bad-address", BAD_ADDRESS, by_bad_address},
	{"long", LONG, by_long},
	{"proc-dir", PROC_DIR, by_proc_dir},
	{"proc-dir-slash", PROC_DIR_SLASH, by_proc_dir_slash},
};

/* ---- operations ---- */

#define RESULT(call)                                                                               \
	({                                                                                         \
		long r_ = (call);                                                                  \
		r_ < 0 ? -(long)errno : r_;                                                        \
	})

/* What was opened gets something written to it, if it can. */
static long write_to(int fd)
{
	if (fd < 0)
		return -errno;
	long r = RESULT(write(fd, "NEW", 3));

	close(fd);
	return r;
}

#define OPEN(name, flags)                                                                          \
	static long name(const struct guest_target *t)                                             \
	{                                                                                          \
		return write_to(openat(t->dirfd, t->path, (flags) | O_CLOEXEC, 0640));             \
	}

OPEN(open_write, O_WRONLY)
OPEN(open_append, O_RDWR | O_APPEND)
OPEN(open_nonblock, O_RDWR | O_NONBLOCK)
OPEN(open_create, O_RDWR | O_CREAT)
OPEN(open_truncate, O_WRONLY | O_CREAT | O_TRUNC)
OPEN(open_read_truncate, O_RDONLY | O_TRUNC)
OPEN(open_nofollow, O_WRONLY | O_NOFOLLOW)
OPEN(open_exclusive, O_WRONLY | O_CREAT | O_EXCL)
OPEN(open_directory, O_RDWR | O_DIRECTORY)
OPEN(open_three, 3)
OPEN(open_path, O_PATH | O_RDWR)

static long do_creat(const struct guest_target *t)
{
	return write_to(creat(t->path, 0600));
}

static long open2(const struct guest_target *t, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};

	return write_to((int)syscall(SYS_openat2, t->dirfd, t->path, &how, sizeof(how)));
}

static long openat2_write(const struct guest_target *t)
{
	return open2(t, O_WRONLY, 0);
}

static long openat2_truncate(const struct guest_target *t)
{
	return open2(t, O_WRONLY | O_TRUNC, 0);
}

static long openat2_no_symlinks(const struct guest_target *t)
{
	return open2(t, O_RDWR, RESOLVE_NO_SYMLINKS);
}

static long openat2_beneath(const struct guest_target *t)
{
	return open2(t, O_RDWR, RESOLVE_BENEATH);
}

static long openat2_no_magiclinks(const struct guest_target *t)
{
	return open2(t, O_RDWR, RESOLVE_NO_MAGICLINKS);
}

#define CALL(name, call)                                                                           \
	static long name(const struct guest_target *t)                                             \
	{                                                                                          \
		return RESULT(call);                                                               \
	}

static const struct timespec then[2] = {{1000000000, 5}, {1000000007, 6}};
static const struct timeval then_us[2] = {{1000000000, 5}, {1000000007, 6}};
static const struct utimbuf then_s = {1000000000, 1000000007};

CALL(truncate_nothing, truncate(t->path, 0))
CALL(truncate_part, truncate(t->path, 5))
CALL(truncate_more, truncate(t->path, 100000))
CALL(truncate_negative, truncate(t->path, -1))

CALL(do_unlink, syscall(SYS_unlink, t->path))
CALL(do_unlinkat, unlinkat(t->dirfd, t->path, 0))
CALL(do_rmdir, rmdir(t->path))
CALL(do_unlinkat_dir, unlinkat(t->dirfd, t->path, AT_REMOVEDIR))

CALL(rename_away, renameat(t->dirfd, t->path, t->dir, "n"))
CALL(rename_plain, syscall(SYS_rename, t->path, t->path))
CALL(rename_into, renameat(t->dirfd, t->path, t->dir, "d/n"))
CALL(rename_over_it, renameat(t->dir, "o", t->dirfd, t->path))
CALL(rename_shared_over_it, renameat(t->dir, "g", t->dirfd, t->path))
CALL(rename_it_over, renameat(t->dirfd, t->path, t->dir, "o"))
CALL(rename_it_over_shared, renameat(t->dirfd, t->path, t->dir, "g"))
CALL(rename_it_over_dir, renameat(t->dirfd, t->path, t->dir, "d"))
CALL(rename_dir_over_it, renameat(t->dir, "d", t->dirfd, t->path))
CALL(rename_link_over_it, renameat(t->dir, "x", t->dirfd, t->path))
CALL(rename_none_over_it, renameat(t->dir, "none", t->dirfd, t->path))
CALL(rename_to_none, renameat(t->dirfd, t->path, t->dir, "none/n"))
CALL(rename_noreplace, renameat2(t->dirfd, t->path, t->dir, "n", RENAME_NOREPLACE))
CALL(rename_noreplace_it, renameat2(t->dir, "o", t->dirfd, t->path, RENAME_NOREPLACE))
CALL(rename_exchange, renameat2(t->dirfd, t->path, t->dir, "o", RENAME_EXCHANGE))
CALL(rename_exchange_it, renameat2(t->dir, "o", t->dirfd, t->path, RENAME_EXCHANGE))
CALL(rename_exchange_shared, renameat2(t->dir, "g", t->dirfd, t->path, RENAME_EXCHANGE))
CALL(rename_exchange_dir, renameat2(t->dir, "d", t->dirfd, t->path, RENAME_EXCHANGE))
CALL(rename_exchange_none, renameat2(t->dirfd, t->path, t->dir, "none", RENAME_EXCHANGE))
CALL(rename_whiteout, renameat2(t->dir, "o", t->dirfd, t->path, RENAME_WHITEOUT))
CALL(rename_whiteout_away, renameat2(t->dirfd, t->path, t->dir, "n", RENAME_WHITEOUT))
CALL(rename_flags, renameat2(t->dirfd, t->path, t->dir, "n", 8))

CALL(do_link, linkat(t->dirfd, t->path, t->dir, "n", t->at_flags))
CALL(link_plain, syscall(SYS_link, t->path, "n"))
CALL(link_follow, linkat(t->dirfd, t->path, t->dir, "n", AT_SYMLINK_FOLLOW))
CALL(link_exists, linkat(t->dirfd, t->path, t->dir, "o", 0))
CALL(link_itself, linkat(t->dirfd, t->path, t->dirfd, t->path, 0))
CALL(link_into, linkat(t->dirfd, t->path, t->dir, "d/n", 0))
CALL(link_to_none, linkat(t->dirfd, t->path, t->dir, "none/n", 0))
CALL(link_to_slash, linkat(t->dirfd, t->path, t->dir, "n/", 0))

CALL(do_chmod, syscall(SYS_chmod, t->path, 0600))
CALL(do_chmod_set_id, syscall(SYS_chmod, t->path, 04755))
CALL(do_access_write, syscall(SYS_access, t->path, W_OK))
CALL(do_access_all, syscall(SYS_access, t->path, R_OK | W_OK | X_OK))
CALL(do_access_read, syscall(SYS_access, t->path, R_OK))
CALL(do_faccessat, syscall(SYS_faccessat, t->dirfd, t->path, R_OK | W_OK))
CALL(do_faccessat2, syscall(439, t->dirfd, t->path, W_OK, t->at_flags | AT_EACCESS))
CALL(do_fchmodat, syscall(SYS_fchmodat, t->dirfd, t->path, 0604))
CALL(do_fchmodat2, syscall(452, t->dirfd, t->path, 0611, t->at_flags))
CALL(do_fchmodat2_nofollow, syscall(452, t->dirfd, t->path, 0611, AT_SYMLINK_NOFOLLOW))
CALL(do_chown, chown(t->path, 11, 12))
CALL(do_chown_group, chown(t->path, (uid_t)-1, 8))
CALL(do_lchown, lchown(t->path, 13, (gid_t)-1))
CALL(do_fchownat, fchownat(t->dirfd, t->path, 15, 16, t->at_flags))
CALL(do_fchownat_nofollow, fchownat(t->dirfd, t->path, 15, 16, AT_SYMLINK_NOFOLLOW))
CALL(do_utime, syscall(SYS_utime, t->path, &then_s))
CALL(do_utimes, syscall(SYS_utimes, t->path, then_us))
CALL(do_futimesat, syscall(SYS_futimesat, t->dirfd, t->path, then_us))
CALL(do_utimensat, syscall(SYS_utimensat, t->dirfd, t->path, then, t->at_flags))
CALL(do_utimensat_now, syscall(SYS_utimensat, t->dirfd, t->path, NULL, t->at_flags))
CALL(do_utimensat_nofollow, syscall(SYS_utimensat, t->dirfd, t->path, then, AT_SYMLINK_NOFOLLOW))
CALL(do_setxattr, setxattr(t->path, "user.new", "abc", 3, 0))
CALL(do_setxattr_replace, setxattr(t->path, "user.x", "abc", 3, XATTR_REPLACE))
CALL(do_setxattr_create, setxattr(t->path, "user.x", "abc", 3, XATTR_CREATE))
CALL(do_setxattr_odd, setxattr(t->path, "odd.x", "abc", 3, 0))
CALL(do_lsetxattr, lsetxattr(t->path, "trusted.new", "abc", 3, 0))
CALL(do_removexattr, removexattr(t->path, "user.x"))
CALL(do_removexattr_none, removexattr(t->path, "user.none"))
CALL(do_lremovexattr, lremovexattr(t->path, "user.x"))

/* Is the descriptor open on what the name leads to? Then 1000 is added. */
static long same(const struct guest_target *t, long r)
{
	struct stat a, b;

	if (r < 0)
		return -errno;
	if (fstat(t->fd, &a) || fstatat(t->dir, "f", &b, 0))
		return -errno;
	return r + (a.st_ino == b.st_ino ? 1000 : 0);
}

/* ... and has it kept its place and its flag? */
static long same_place(const struct guest_target *t, long r)
{
	char c = 0;

	r = same(t, r);
	if (r < 0 || read(t->fd, &c, 1) != 1)
		return r;
	return r + c * 10000 + (fcntl(t->fd, F_GETFD) == FD_CLOEXEC ? 1 : 0);
}

#define BY_FD(name, call)                                                                          \
	static long name(const struct guest_target *t)                                             \
	{                                                                                          \
		lseek(t->fd, 3, SEEK_SET);                                                         \
		return same_place(t, call);                                                        \
	}

BY_FD(by_fchmod, fchmod(t->fd, 0606))
BY_FD(by_fchown, fchown(t->fd, 21, 22))
BY_FD(by_futimens, futimens(t->fd, then))
BY_FD(by_futimens_now, futimens(t->fd, NULL))
BY_FD(by_fsetxattr, fsetxattr(t->fd, "user.new", "abc", 3, 0))
BY_FD(by_fremovexattr, fremovexattr(t->fd, "user.x"))
BY_FD(by_fremovexattr_none, fremovexattr(t->fd, "user.none"))
CALL(by_ftruncate, ftruncate(t->fd, 0))

static const struct guest_op ops[] = {
	{"open-write", open_write, AT | WRONG},
	{"open-append", open_append, AT},
	{"open-nonblock", open_nonblock, ABSOLUTE},
	{"open-create", open_create, AT | SLASH | BELOW},
	{"open-truncate", open_truncate, AT | SLASH},
	{"open-read-truncate", open_read_truncate, AT},
	{"open-nofollow", open_nofollow, AT},
	{"open-exclusive", open_exclusive, NAMES | DIRFD},
	{"open-directory", open_directory, NAMES},
	{"open-three", open_three, NAMES},
	{"open-path", open_path, NAMES},
	{"creat", do_creat, PATHS | WRONG},
	{"openat2-write", openat2_write, AT | WRONG},
	{"openat2-truncate", openat2_truncate, AT},
	{"openat2-no-symlinks", openat2_no_symlinks, AT},
	{"openat2-no-magiclinks", openat2_no_magiclinks, AT},
	{"openat2-beneath", openat2_beneath, AT},
	{"truncate-nothing", truncate_nothing, PATHS | WRONG},
	{"truncate-part", truncate_part, PATHS},
	{"truncate-more", truncate_more, PATHS},
	{"truncate-negative", truncate_negative, NAMES},
	{"unlink", do_unlink, NAMES | WRONG},
	{"unlinkat", do_unlinkat, NAMES | DIRFD | WRONG},
	{"rmdir", do_rmdir, NAMES | WRONG},
	{"unlinkat-removedir", do_unlinkat_dir, NAMES | DIRFD},
	{"rename-away", rename_away, NAMES | DIRFD | WRONG},
	{"rename-itself", rename_plain, NAMES},
	{"rename-into", rename_into, ABSOLUTE | DIRFD},
	{"rename-over-it", rename_over_it, NAMES | DIRFD | WRONG},
	{"rename-shared-over-it", rename_shared_over_it, ABSOLUTE | DIRFD},
	{"rename-it-over", rename_it_over, NAMES | DIRFD | SLASH},
	{"rename-it-over-shared", rename_it_over_shared, ABSOLUTE | DIRFD},
	{"rename-it-over-dir", rename_it_over_dir, ABSOLUTE},
	{"rename-dir-over-it", rename_dir_over_it, ABSOLUTE},
	{"rename-link-over-it", rename_link_over_it, ABSOLUTE},
	{"rename-none-over-it", rename_none_over_it, ABSOLUTE},
	{"rename-to-none", rename_to_none, ABSOLUTE},
	{"rename-noreplace", rename_noreplace, NAMES | DIRFD},
	{"rename-noreplace-it", rename_noreplace_it, NAMES | DIRFD},
	{"rename-exchange", rename_exchange, NAMES | DIRFD | WRONG},
	{"rename-exchange-it", rename_exchange_it, NAMES | DIRFD},
	{"rename-exchange-shared", rename_exchange_shared, ABSOLUTE | DIRFD},
	{"rename-exchange-dir", rename_exchange_dir, ABSOLUTE},
	{"rename-exchange-none", rename_exchange_none, ABSOLUTE},
	{"rename-whiteout", rename_whiteout, ABSOLUTE | DIRFD},
	{"rename-whiteout-away", rename_whiteout_away, ABSOLUTE | DIRFD},
	{"rename-flags", rename_flags, ABSOLUTE},
	{"link", do_link, NAMES | DIRFD | EMPTY | WRONG},
	{"link-plain", link_plain, RELATIVE | DOTDOT | SYMLINK | PROC_CWD},
	{"link-follow", link_follow, AT},
	{"link-exists", link_exists, NAMES},
	{"link-itself", link_itself, NAMES},
	{"link-into", link_into, ABSOLUTE | DIRFD},
	{"link-to-none", link_to_none, ABSOLUTE},
	{"link-to-slash", link_to_slash, ABSOLUTE},
	{"chmod", do_chmod, PATHS | WRONG},
	{"chmod-set-id", do_chmod_set_id, PATHS},
	{"access-write", do_access_write, PATHS | WRONG},
	{"access-all", do_access_all, PATHS},
	{"access-read", do_access_read, PATHS},
	{"faccessat", do_faccessat, AT},
	{"faccessat2", do_faccessat2, AT | EMPTY},
	{"fchmodat", do_fchmodat, AT},
	{"fchmodat2", do_fchmodat2, AT | EMPTY},
	{"fchmodat2-nofollow", do_fchmodat2_nofollow, AT},
	{"chown", do_chown, PATHS | WRONG},
	{"chown-group", do_chown_group, PATHS},
	{"lchown", do_lchown, NAMES},
	{"fchownat", do_fchownat, AT | EMPTY},
	{"fchownat-nofollow", do_fchownat_nofollow, NAMES | DIRFD},
	{"utime", do_utime, PATHS},
	{"utimes", do_utimes, PATHS},
	{"futimesat", do_futimesat, AT},
	{"utimensat", do_utimensat, AT | EMPTY | WRONG},
	{"utimensat-now", do_utimensat_now, AT | EMPTY},
	{"utimensat-nofollow", do_utimensat_nofollow, NAMES | DIRFD},
	{"setxattr", do_setxattr, PATHS | WRONG},
	{"setxattr-replace", do_setxattr_replace, PATHS},
	{"setxattr-create", do_setxattr_create, NAMES},
	{"setxattr-odd", do_setxattr_odd, ABSOLUTE},
	{"lsetxattr", do_lsetxattr, NAMES},
	{"removexattr", do_removexattr, PATHS},
	{"removexattr-none", do_removexattr_none, PATHS},
	{"lremovexattr", do_lremovexattr, NAMES},
	{"fchmod", by_fchmod, DESCRIPTOR},
	{"fchown", by_fchown, DESCRIPTOR},
	{"futimens", by_futimens, DESCRIPTOR},
	{"futimens-now", by_futimens_now, DESCRIPTOR},
	{"fsetxattr", by_fsetxattr, DESCRIPTOR},
	{"fremovexattr", by_fremovexattr, DESCRIPTOR},
	{"fremovexattr-none", by_fremovexattr_none, DESCRIPTOR},
	{"ftruncate", by_ftruncate, DESCRIPTOR},
};

const struct guest_call *guest_calls(size_t *ret_n)
{
	static struct guest_call calls[VU_ARRAY_SIZE(ops) * VU_ARRAY_SIZE(ways)];
	size_t n = 0;

	for (size_t o = 0; o < VU_ARRAY_SIZE(ops); o++)
		for (size_t w = 0; w < VU_ARRAY_SIZE(ways); w++)
			if (ops[o].ways & ways[w].bit)
				calls[n++] = (struct guest_call){&ops[o], &ways[w]};
	*ret_n = n;
	return calls;
}

#define UNABLE 200000000 /* the file could not be named so */

long guest_call_do(const char *dir, const void *arg)
{
	const struct guest_call *c = arg;
	struct guest_target t = {.dirfd = AT_FDCWD, .fd = -1, .text = dir_buf};
	long r;

	snprintf(dir_buf, sizeof(dir_buf), "%s", dir);
	t.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t.dir < 0)
		return UNABLE + errno;
	r = c->way->aim(dir, &t) ? UNABLE + errno : c->op->fn(&t);
	if (t.fd >= 0)
		close(t.fd);
	close(t.dir);
	if (chdir("/"))
		return UNABLE;
	return r;
}

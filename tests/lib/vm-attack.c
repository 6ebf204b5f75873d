/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm-attack - a guest's root that tries to change files without end, as it may: without CAP_LINUX_IMMUTABLE and
 * CAP_SYS_ADMIN.
 *
 * usage: vm-attack REPORT FILE...   tries all of them in all ways, again and again. Until SIGTERM; then REPORT has a
 *                                   line: tries, successes, and the names of the ways that succeeded.
 *        vm-attack -1 FILE...       tries each once, and prints a line for each try: the way; ok, no (it was
 *                                   refused), or none (this kernel has no such call)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vm-gates.h"

static volatile sig_atomic_t stop;

static void on_term(int signo)
{
	(void)signo;
	stop = 1;
}

static void drop(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d))
		exit(2);
	for (int i = 0; i < 2; i++) {
		unsigned gone = i ? 0 : 1U << CAP_LINUX_IMMUTABLE | 1U << CAP_SYS_ADMIN;

		d[i].effective &= ~gone;
		d[i].permitted &= ~gone;
		d[i].inheritable &= ~gone;
	}
	if (syscall(SYS_capset, &h, d))
		exit(2);
}

static int opened(const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return 0;
	(void)!pwrite(fd, "X", 1, 0);
	close(fd);
	return 1;
}

static int write_only(const char *path)
{
	return opened(path, O_WRONLY);
}

static int append(const char *path)
{
	return opened(path, O_RDWR | O_APPEND);
}

static int empty(const char *path)
{
	return opened(path, O_RDONLY | O_TRUNC);
}

static int shorten(const char *path)
{
	return !truncate(path, 1);
}

static int reopen(const char *path)
{
	char name[40];
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return 0;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	r = opened(name, O_RDWR);
	close(fd);
	return r;
}

static int mode(const char *path)
{
	return !chmod(path, 0777);
}

static int owner(const char *path)
{
	return !lchown(path, 7, 7);
}

static int times(const char *path)
{
	return !utimensat(AT_FDCWD, path, NULL, 0);
}

static int attribute(const char *path)
{
	return !setxattr(path, "user.attack", "x", 1, 0);
}

/* XFS and btrfs let some flags of an immutable file be set by its owner: what has a flag is not tried. */
static int flags(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), f[2] = {0}, r = 0;

	if (fd < 0)
		return 0;
	if (!ioctl(fd, FS_IOC_GETFLAGS, f) && !(f[0] & FS_IMMUTABLE_FL)) {
		f[0] |= FS_NODUMP_FL;
		r = !ioctl(fd, FS_IOC_SETFLAGS, f);
	}
	close(fd);
	return r;
}

/* By a descriptor for reading. */
static int by_reading(const char *path, int (*fn)(int fd))
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return 0;
	r = !fn(fd);
	close(fd);
	return r;
}

static int set_mode(int fd)
{
	return fchmod(fd, 0777);
}

static int set_owner(int fd)
{
	return fchown(fd, 7, 7);
}

static int set_times(int fd)
{
	return futimens(fd, NULL);
}

static int set_attribute(int fd)
{
	return fsetxattr(fd, "user.attack", "x", 1, 0);
}

static int mode_fd(const char *path)
{
	return by_reading(path, set_mode);
}

static int owner_fd(const char *path)
{
	return by_reading(path, set_owner);
}

static int times_fd(const char *path)
{
	return by_reading(path, set_times);
}

static int attribute_fd(const char *path)
{
	return by_reading(path, set_attribute);
}

/* Without a path: CAP_DAC_READ_SEARCH is enough. */
static int by_handle(const char *path)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} handle = {.h.handle_bytes = MAX_HANDLE_SZ};
	int mount, dir, fd;

	if (name_to_handle_at(AT_FDCWD, path, &handle.h, &mount, 0))
		return 0;
	dir = open(path, O_RDONLY | O_CLOEXEC); /* any file of the mount */
	fd = open_by_handle_at(dir, &handle.h, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	close(dir);
	if (fd < 0)
		return 0;
	(void)!pwrite(fd, "X", 1, 0);
	close(fd);
	return 1;
}

/* file_setattr(2), of Linux 6.17: what flags are by path. */
static int set_attr(const char *path)
{
	struct {
		uint64_t xflags;
		uint32_t extsize, nextents, projid, cowextsize;
	} a = {.xflags = FS_XFLAG_NODUMP};
	int fd = open(path, O_RDONLY | O_CLOEXEC), f[2] = {0}, r = 0;

	if (fd < 0)
		return 0;
	if (!ioctl(fd, FS_IOC_GETFLAGS, f) && !(f[0] & FS_IMMUTABLE_FL))
		r = (int)syscall(469, AT_FDCWD, path, &a, sizeof(a), 0);
	close(fd);
	return r < 0 && errno == ENOSYS ? VM_NONE : !r && !(f[0] & FS_IMMUTABLE_FL);
}

static const struct {
	const char *name;
	int (*fn)(const char *path);
} ways[] = {
	{"open-write", write_only},
	{"open-append", append},
	{"open-truncate", empty},
	{"truncate", shorten},
	{"reopen", reopen},
	{"chmod", mode},
	{"chown", owner},
	{"utimes", times},
	{"setxattr", attribute},
	{"flags", flags},
	{"fchmod", mode_fd},
	{"fchown", owner_fd},
	{"futimens", times_fd},
	{"fsetxattr", attribute_fd},
	{"by-handle", by_handle},
	{"file-setattr", set_attr},
	{"ring-open", vm_ring_open},
	{"ring-truncate", vm_ring_truncate},
	{"ring-fallocate", vm_ring_fallocate},
	{"open-32", vm_open_32},
	{"truncate-32", vm_truncate_32},
	{"chmod-32", vm_chmod_32},
	{"fchmod-32", vm_fchmod_32},
	{"chown-32", vm_chown_32},
	{"utime-32", vm_utime_32},
	{"fsetxattr-32", vm_fsetxattr_32},
	{"flags-32", vm_flags_32},
	{"version-32", vm_version_32},
};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

/* Has it been tried, and how did it end? */
static const char *outcome(int r)
{
	return r == VM_NONE ? "none" : r ? "ok" : "no";
}

static int once(int n, char **paths)
{
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < N_WAYS; k++)
			printf("%s %s\n", ways[k].name, outcome(ways[k].fn(paths[i])));
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long tries = 0, hits = 0, hit[N_WAYS] = {0};
	struct sigaction term = {.sa_handler = on_term};

	if (argc < 3)
		return 2;
	drop();
	vm_gates_open();
	if (!strcmp(argv[1], "-1"))
		return once(argc - 2, argv + 2);
	sigaction(SIGTERM, &term, NULL);
	while (!stop) {
		for (int i = 2; i < argc; i++)
			for (size_t k = 0; k < N_WAYS; k++, tries++) {
				int r = ways[k].fn(argv[i]) == 1;

				hits += (unsigned long)r;
				hit[k] += (unsigned long)r;
			}
	}
	FILE *f = fopen(argv[1], "w");

	if (!f)
		return 2;
	fprintf(f, "%lu %lu", tries, hits);
	for (size_t k = 0; k < N_WAYS; k++)
		if (hit[k])
			fprintf(f, " %s=%lu", ways[k].name, hit[k]);
	fputc('\n', f);
	return fclose(f) ? 2 : 0;
}

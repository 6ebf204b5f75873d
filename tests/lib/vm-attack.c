/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm-attack - a guest's root that tries to change files without end, as it may: without CAP_LINUX_IMMUTABLE and
 * CAP_SYS_ADMIN.
 *
 * usage: vm-attack REPORT FILE...
 *
 * Each round tries all of them in all ways. Until SIGTERM; then REPORT has a line: tries, successes, and the names
 * of the ways that succeeded.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

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

static const struct {
	const char *name;
	int (*fn)(const char *path);
} ways[] = {
	{"open-write", write_only}, {"open-append", append}, {"open-truncate", empty},
	{"truncate", shorten},	    {"reopen", reopen},	     {"chmod", mode},
	{"chown", owner},	    {"utimes", times},	     {"setxattr", attribute},
	{"flags", flags},
};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

int main(int argc, char **argv)
{
	unsigned long tries = 0, hits = 0, hit[N_WAYS] = {0};
	struct sigaction term = {.sa_handler = on_term};

	if (argc < 3)
		return 2;
	drop();
	sigaction(SIGTERM, &term, NULL);
	while (!stop) {
		for (int i = 2; i < argc; i++)
			for (size_t k = 0; k < N_WAYS; k++, tries++) {
				int r = ways[k].fn(argv[i]);

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

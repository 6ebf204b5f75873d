/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For valgrind, whose versions before 3.26 know no openat2(2) and say ENOSYS: preloaded, this does by
 * openat(2), name by name, what vunify asks of it (BENEATH, NO_SYMLINKS, NO_MAGICLINKS, NO_XDEV). It is
 * no protection from a guest that acts meanwhile, and need not be: what valgrind looks at is memory.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int fail(int err)
{
	errno = err;
	return -1;
}

static int mount_of(int fd, unsigned long long *ret)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx))
		return -1;
	*ret = stx.stx_mnt_id ^ (unsigned long long)makedev(stx.stx_dev_major, stx.stx_dev_minor)
					<< 32;
	return 0;
}

/* The last name is opened with how's flags, those before it as directories. */
static int step(int dir, const char *name, int last, const struct open_how *how)
{
	int flags = last ? (int)how->flags : O_PATH | O_DIRECTORY | O_CLOEXEC;
	unsigned long long above, at;
	struct stat st;

	if (!strcmp(name, ".."))
		return fail(EXDEV);
	int fd = openat(dir, name, flags | O_NOFOLLOW, (mode_t)how->mode);

	if (fd < 0)
		return errno == ENOTDIR && !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) &&
				       S_ISLNK(st.st_mode)
			       ? fail(ELOOP)
			       : -1;
	int bad = fstat(fd, &st) || mount_of(dir, &above) || mount_of(fd, &at) ? errno
		  : S_ISLNK(st.st_mode)					       ? ELOOP
		  : above != at						       ? EXDEV
									       : 0;

	if (!bad)
		return fd;
	close(fd);
	return fail(bad);
}

static int walk(int root, const char *path, const struct open_how *how)
{
	int at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (*path == '/')
		return close(at), fail(EXDEV);
	while (at >= 0) {
		char name[256];
		size_t n = strcspn(path, "/");
		int next;

		if (n >= sizeof(name))
			return close(at), fail(ENAMETOOLONG);
		memcpy(name, path, n);
		name[n] = 0;
		path += n + strspn(path + n, "/");
		next = step(at, n ? name : ".", !*path, how);
		if (next < 0)
			n = (size_t)errno;
		close(at);
		if (next < 0)
			return fail((int)n);
		if (!*path)
			return next;
		at = next;
	}
	return -1;
}

long syscall(long number, ...)
{
	static long (*real)(long, ...);
	va_list ap;
	long a[6];

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2)
		return walk((int)a[0], (const char *)a[1], (const struct open_how *)a[2]);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

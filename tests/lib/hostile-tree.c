/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes what no shell command makes quickly, for the test of hostile trees, and removes it again.
 *
 * usage: hostile-tree deep DIR LEVELS   directories in one another below DIR, a file in each 1000th
 *        hostile-tree undeep DIR        removes them
 *        hostile-tree names DIR N       N small files, half of them equal, names of all lengths
 *        hostile-tree swap DIR NAME TARGET FILE
 *                                       until it is killed: NAME in DIR is in turn a regular file
 *                                       (a link of FILE in DIR) and a symbolic link to TARGET
 *        hostile-tree socket PATH       a bound socket
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(const char *what)
{
	fprintf(stderr, "hostile-tree: %s: %s\n", what, strerror(errno));
	return 1;
}

static int put(int dirfd, const char *name, const char *text)
{
	static const struct timespec times[2] = {{1600000000, 0}, {1600000000, 0}};
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	if (futimens(fd, times))
		n = -1;
	close(fd);
	return n < 0 ? -1 : 0;
}

static int deep(const char *dir, long levels)
{
	if (chdir(dir))
		return fail(dir);
	for (long i = 1; i <= levels; i++) {
		if (mkdir("d", 0755) || chdir("d"))
			return fail("mkdir");
		if (i % 1000 == 0 && put(AT_FDCWD, "file", "far down\n"))
			return fail("file");
	}
	return 0;
}

static int undeep(const char *dir)
{
	long level = 0;

	if (chdir(dir))
		return fail(dir);
	while (!chdir("d"))
		level++;
	for (; level > 0; level--) {
		unlink("file");
		if (chdir("..") || rmdir("d"))
			return fail("rmdir");
	}
	return 0;
}

static int names(const char *dir, long n)
{
	char name[256], text[32];

	if (chdir(dir))
		return fail(dir);
	for (long i = 0; i < n; i++) {
		int len = snprintf(name, sizeof(name), "%ld-", i);

		memset(name + len, 'n', (size_t)(i % 200));
		name[len + i % 200] = '\0';
		snprintf(text, sizeof(text), "%ld", i % 2 ? i : 0);
		if (put(AT_FDCWD, name, text))
			return fail(name);
	}
	return 0;
}

static int swap(const char *dir, const char *name, const char *target, const char *file)
{
	if (chdir(dir))
		return fail(dir);
	puts("ready");
	fflush(stdout);
	for (;;) {
		unlink(".swap");
		if (symlink(target, ".swap") || (rename(".swap", name) && errno != EPERM))
			return fail("to a symlink");
		unlink(".swap");
		/* Renaming a link over another link of the same inode does nothing: so link anew. */
		if (link(file, ".swap") && errno != EPERM)
			return fail("link");
		if (rename(".swap", name) && errno != EPERM && errno != ENOENT)
			return fail("to a regular file");
	}
}

static int make_socket(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		return fail(path);
	}
	strcpy(a.sun_path, path);
	return fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof(a)) ? fail(path) : 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "deep"))
		return deep(argv[2], atol(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "undeep"))
		return undeep(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "names"))
		return names(argv[2], atol(argv[3]));
	if (argc == 6 && !strcmp(argv[1], "swap"))
		return swap(argv[2], argv[3], argv[4], argv[5]);
	if (argc == 3 && !strcmp(argv[1], "socket"))
		return make_socket(argv[2]);
	fputs("usage: see the top of hostile-tree.c\n", stderr);
	return 2;
}

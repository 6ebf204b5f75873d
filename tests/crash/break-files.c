/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "break-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"

#define SIZE 6000 /* too long for btrfs to keep it in its tree */
#define MTIME 1600000000
#define PATH 700

/* In the order of their names. What is written to is 5 bytes of BREAK_MORE. */
static const struct {
	const char *name, *before, *behind;
} ops[BREAK_N] = {
	[BREAK_APPEND] = {"append", "f=A644", "f=A+644!"},
	[BREAK_CUT] = {"cut", "f=A644", "f=+644!"},
	[BREAK_FCHMOD] = {"fchmod", "f=A644", "f=A600"},
	[BREAK_TWINS] = {"twins", "f=A644 t=A644~f", "f=A+644! t=A+644!~f"},
	[BREAK_LAST] = {"last", "f=A644", "f=A+644!"},
	[BREAK_EXCHANGE] = {"exchange", "f=A644 g=B644", "f=B644 g=A644"},
	[BREAK_UNLINK] = {"unlink", "f=A644", ""},
	[BREAK_OVER] = {"over", "f=A644 n=C644!", "f=C644!"},
	[BREAK_LINK] = {"link", "f=A644", "f=A644 l=A644~f"},
	[BREAK_NONE] = {"none", "n=C644!", "n=C644!"},
};

const char *op_name(enum break_op op)
{
	return ops[op].name;
}

const char *files_old(enum break_op op)
{
	return ops[op].before;
}

const char *files_new(enum break_op op)
{
	return ops[op].behind;
}

static void content(enum break_op op, unsigned number, char letter, char *ret)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%c of case %u of %s\n", letter, number, ops[op].name);

	for (int i = 0; i < SIZE; i++)
		ret[i] = line[i % n];
}

static void path_of(const char *root, enum break_op op, unsigned number, const char *name,
		    char *ret)
{
	snprintf(ret, PATH, "%s/" BREAK_DIR "/%s-%u%s%s", root, ops[op].name, number,
		 *name ? "/" : "", name);
}

static void make(const char *root, enum break_op op, unsigned number, const char *name, char letter)
{
	struct timespec t[2] = {{.tv_sec = MTIME}, {.tv_sec = MTIME}};
	char path[PATH], text[SIZE];

	path_of(root, op, number, name, path);
	content(op, number, letter, text);
	if (letter == 'C') /* its own, also where it is made at the same time */
		text[0] = root[strlen(root) - 1];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	/* what is the guest's own is to stay so: it is nobody else's */
	if (fd < 0 || write(fd, text, SIZE) != SIZE || fchmod(fd, 0644) ||
	    (letter != 'C' && futimens(fd, t)))
		fail("%s: %m", path);
	close(fd);
}

void files_make(const char *root, enum break_op op, unsigned number)
{
	char path[PATH], other[PATH];

	snprintf(path, sizeof(path), "%s/" BREAK_DIR, root);
	if (mkdir(path, 0755) && errno != EEXIST)
		fail("%s: %m", path);
	path_of(root, op, number, "", path);
	if (mkdir(path, 0755))
		fail("%s: %m", path);
	if (op != BREAK_NONE)
		make(root, op, number, "f", 'A');
	if (op == BREAK_EXCHANGE)
		make(root, op, number, "g", 'B');
	if (op == BREAK_OVER || op == BREAK_NONE)
		make(root, op, number, "n", 'C');
	if (op == BREAK_TWINS) {
		path_of(root, op, number, "f", path);
		path_of(root, op, number, "t", other);
		if (link(path, other))
			fail("%s: %m", other);
	}
}

/* "A+", "+", "-", "?" */
static void say_content(enum break_op op, unsigned number, int fd, char *ret)
{
	size_t more = strlen(BREAK_MORE);
	char text[SIZE + 64], want[SIZE];
	ssize_t n = pread(fd, text, sizeof(text), 0);
	bool plus = n >= (ssize_t)more && !memcmp(text + n - more, BREAK_MORE, more);
	size_t len = n < 0 ? 0 : (size_t)n - (plus ? more : 0);

	*ret = 0;
	for (char c = 'A'; len && c <= 'C' && !*ret; c++) {
		content(op, number, c, want);
		/* of what is nobody else's the beginning may have been overwritten */
		if (len == SIZE && !memcmp(text + 8, want + 8, SIZE - 8))
			snprintf(ret, 3, "%c", c);
	}
	if (len && !*ret)
		strcat(ret, "?");
	if (plus)
		strcat(ret, "+");
	else if (!len)
		strcat(ret, "-");
}

void files_say(const char *root, enum break_op op, unsigned number, char *ret, size_t size)
{
	char path[PATH], text[8];
	ino_t f = 0;
	size_t at = 0;

	*ret = 0;
	for (const char *name = "fglnt"; *name; name++) {
		char one[2] = {*name};
		struct stat st;

		path_of(root, op, number, one, path);
		int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);

		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fstat(fd, &st))
			fail("%s: %m", path);
		say_content(op, number, fd, text);
		at += (size_t)snprintf(ret + at, size - at, "%s%s=%s%o%s%s", at ? " " : "", one,
				       text, st.st_mode & 07777,
				       st.st_mtim.tv_sec == MTIME ? "" : "!",
				       f == st.st_ino ? "~f" : "");
		if (*name == 'f')
			f = st.st_ino;
		close(fd);
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes that a guest changes between the question how long they are and the answer what they are
 * (--wrap of the two calls): what is told of them is what the kernel gave, and nothing of this process's memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/xattr.h"
#include "scratch.h"

#define LONG 3000 /* bytes: more than a small allocation has, less than a block */
#define MANY 40	  /* names, longer together than what is asked for at first */

static int file = -1;
static void (*behind_question)(void); /* what the guest does, once */

static void act(size_t size)
{
	void (*fn)(void) = size ? NULL : behind_question;

	if (fn) {
		behind_question = NULL;
		fn();
	}
}

ssize_t __real_fgetxattr(int fd, const char *name, void *value, size_t size);
ssize_t __wrap_fgetxattr(int fd, const char *name, void *value, size_t size);

ssize_t __wrap_fgetxattr(int fd, const char *name, void *value, size_t size)
{
	ssize_t n = __real_fgetxattr(fd, name, value, size);

	act(size);
	return n;
}

ssize_t __real_flistxattr(int fd, char *list, size_t size);
ssize_t __wrap_flistxattr(int fd, char *list, size_t size);

ssize_t __wrap_flistxattr(int fd, char *list, size_t size)
{
	ssize_t n;

	/* the list had become short again before its length was asked for */
	if (!size && behind_question)
		for (int i = 0; i < MANY; i++) {
			char name[32];

			snprintf(name, sizeof(name), "user.number-%d", i);
			fremovexattr(fd, name);
		}
	n = __real_flistxattr(fd, list, size);
	act(size);
	return n;
}

static void set_long(void)
{
	char value[LONG];

	memset(value, 'A', sizeof(value));
	(void)fsetxattr(file, "user.a", value, sizeof(value), 0);
}

static void set_many(void)
{
	for (int i = 0; i < MANY; i++) {
		char name[32];

		snprintf(name, sizeof(name), "user.number-%d", i);
		(void)fsetxattr(file, name, "A", 1, 0);
	}
}

/* Sums up what is told; all of it was set here. */
static int take(void *arg, const char *name, const void *value, size_t len)
{
	const char *v = value;

	assert_int_equal(strncmp(name, "user.", 5), 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(v[i], 'A');
	*(size_t *)arg += len;
	return 0;
}

static int open_file(void **state)
{
	static char dir[SCRATCH_MAX];
	char path[SCRATCH_PATH_MAX];

	(void)state;
	if (!scratch_dir(dir, "vu-test-xattr"))
		return -1;
	snprintf(path, sizeof(path), "%s/file", dir);
	file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = file < 0;

	unlink(path);
	rmdir(dir);
	return r;
}

static int close_file(void **state)
{
	(void)state;
	close(file);
	file = -1;
	return 0;
}

/* An empty value has no length to be given to the kernel: it must not be taken for the question once more. */
static void value_grows_from_nothing(void **state)
{
	size_t sum = 0;

	(void)state;
	if (fsetxattr(file, "user.a", "", 0, 0))
		skip(); /* there are no attributes here */
	behind_question = set_long;
	assert_int_equal(vu_xattr_each(file, VU_XATTR_ANY, take, &sum), 0);
	assert_null(behind_question);
	assert_int_equal(sum, LONG);
}

static void list_grows_from_nothing(void **state)
{
	size_t sum = 0;

	(void)state;
	if (fsetxattr(file, "user.number-0", "A", 1, 0))
		skip();
	set_many();
	behind_question = set_many;
	assert_int_equal(vu_xattr_each(file, VU_XATTR_ANY, take, &sum), 0);
	assert_null(behind_question);
	assert_int_equal(sum, MANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(value_grows_from_nothing, open_file, close_file),
		cmocka_unit_test_setup_teardown(list_grows_from_nothing, open_file, close_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

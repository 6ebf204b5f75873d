/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "scan/sides.h"
#include "scratch.h"

#define DEEP 40 /* levels: more than are kept open */

static char top[SCRATCH_MAX];
static int root[2] = {-EBADF, -EBADF};

static int setup(void **state)
{
	(void)state;
	if (!scratch_dir(top, "test-sides") || chdir(top))
		return -1;
	for (int i = 0; i < 2; i++) {
		const char *name = i ? "b" : "a";

		if (mkdir(name, 0755))
			return -1;
		root[i] = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	return 0;
}

static int teardown(void **state)
{
	char cmd[SCRATCH_PATH_MAX];

	(void)state;
	close(root[0]);
	close(root[1]);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", top);
	return chdir("/") || system(cmd);
}

static void put(int side, const char *path)
{
	close(openat(root[side], path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

/* What was told, a line each: "path AB" with a letter for each side: f, o (other) or -. */
struct told {
	char *text; /* owned */
	size_t len;
	FILE *f;
	const char *at; /* at this path, renames from to to (below root[0]) */
	const char *from[2], *to[2];
	unsigned troubles;
	int err;
};

static int on_file(void *arg, const struct vu_sides_file *f)
{
	static const char kinds[] = {
		[VU_SIDE_NONE] = '-', [VU_SIDE_FILE] = 'f', [VU_SIDE_OTHER] = 'o'};
	struct told *t = arg;

	fprintf(t->f, "%s %c%c\n", f->path, kinds[f->kind[0]], kinds[f->kind[1]]);
	if (t->at && !strcmp(f->path, t->at))
		for (int i = 0; i < 2 && t->from[i]; i++)
			assert_false(renameat(root[0], t->from[i], root[0], t->to[i]));
	return 0;
}

static void on_trouble(void *arg, unsigned side, const char *path, int err, const char *text)
{
	struct told *t = arg;

	(void)side;
	(void)path;
	(void)text;
	t->troubles++;
	t->err = err;
}

static void walk(struct told *t, int root_b, uint32_t max_depth)
{
	const struct vu_sides s = {
		.root = {root[0], root_b},
		.max_depth = max_depth,
		.file = on_file,
		.trouble = on_trouble,
		.arg = t,
	};

	t->f = open_memstream(&t->text, &t->len);
	assert_non_null(t->f);
	assert_int_equal(vu_sides_walk(&s), 0);
	fclose(t->f);
}

static void test_pairs(void **state)
{
	struct told t = {0};

	(void)state;
	mkdirat(root[0], "d", 0755);
	mkdirat(root[1], "d", 0755);
	mkdirat(root[0], "x", 0755);
	mkdirat(root[1], "both", 0755);
	put(0, "d/2");
	put(1, "d/1");
	put(0, "d/3");
	put(1, "d/3");
	put(0, "x/in");
	put(0, "both");
	put(1, "both/in");
	put(1, "z");
	assert_false(symlinkat("z", root[0], "z"));
	assert_false(symlinkat("d", root[0], "link"));
	walk(&t, root[1], 100);
	assert_string_equal(t.text, "both fo\nz of\nboth/in -f\nd/1 -f\nd/2 f-\nd/3 ff\nx/in f-\n");
	assert_int_equal(t.troubles, 0);
	free(t.text);
	walk(&t, -EBADF, 100);
	assert_string_equal(t.text, "both f-\nd/2 f-\nd/3 f-\nx/in f-\n");
	free(t.text);
}

/* A chain of directories, with a file in a second directory of each, which is visited on the way up. */
static void make_chain(int side, const char *second)
{
	char path[4 * DEEP + 16] = "", file[sizeof(path) + 16];

	for (int i = 0; i < DEEP; i++) {
		strcat(path, i ? "/d" : "d");
		assert_false(mkdirat(root[side], path, 0755));
		snprintf(file, sizeof(file), "%s/%s", path, second);
		assert_false(mkdirat(root[side], file, 0755));
		strcat(file, "/f");
		put(side, file);
	}
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static void test_up_again(void **state)
{
	struct told t = {0};

	(void)state;
	make_chain(0, "e");
	make_chain(1, "e");
	walk(&t, root[1], 100);
	assert_int_equal(count(t.text, "e/f ff\n"), DEEP);
	assert_int_equal(t.troubles, 0);
	free(t.text);
}

/* One side ends early: the other goes on, and both come back. */
static void test_one_side_ends(void **state)
{
	struct told t = {0};

	(void)state;
	make_chain(0, "e");
	mkdirat(root[1], "d", 0755);
	mkdirat(root[1], "d/e", 0755);
	put(1, "d/e/f");
	put(1, "d/e/g");
	walk(&t, root[1], 100);
	assert_int_equal(count(t.text, "e/f f-\n"), DEEP - 1);
	assert_int_equal(count(t.text, "d/e/f ff\n"), 1);
	assert_int_equal(count(t.text, "d/e/g -f\n"), 1);
	free(t.text);
}

/* Walks a chain, in which directories are moved while it is at the bottom. */
static void walk_moved(struct told *t)
{
	char at[4 * DEEP + 16] = "d";

	make_chain(0, "e");
	mkdirat(root[0], "away", 0755);
	mkdirat(root[0], "away/e", 0755);
	put(0, "away/e/f");
	for (int i = 1; i < DEEP; i++)
		strcat(at, "/d");
	strcat(at, "/e/f");
	t->at = at;
	walk(t, -EBADF, 100);
	t->at = NULL;
}

/* ".." leads elsewhere then; the path does not. */
static void test_moved_meanwhile(void **state)
{
	struct told t = {.from = {"d/d/d"}, .to = {"away/d"}};

	(void)state;
	walk_moved(&t);
	assert_int_equal(t.troubles, 0);
	assert_int_equal(count(t.text, "e/f f-\n"), 1 + DEEP);
	free(t.text);
}

/* Neither leads back to d/d/d/d and d/d/d; what is above is found again, and nothing else is taken for them. */
static void test_moved_twice(void **state)
{
	struct told t = {.from = {"d/d/d/d/d", "d/d/d"}, .to = {"away/d", "gone"}};

	(void)state;
	walk_moved(&t);
	assert_int_equal(t.troubles, 2);
	assert_int_equal(t.err, -ESTALE);
	assert_int_equal(count(t.text, "e/f f-\n"), 1 + DEEP - 2);
	free(t.text);
}

static void test_depth(void **state)
{
	struct told t = {0};

	(void)state;
	make_chain(0, "e");
	walk(&t, -EBADF, 3);
	assert_int_equal(count(t.text, "e/f f-\n"), 2);
	assert_int_equal(t.troubles, 2); /* d and e of the third level */
	assert_int_equal(t.err, -E2BIG);
	free(t.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pairs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_up_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_side_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moved_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moved_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

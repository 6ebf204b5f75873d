/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which packages a path belongs to: equal for equal packages, another for each difference. */
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

#include "guest/owning.h"
#include "guest/package.h"
#include "scratch.h"

#define BASH "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: "
#define LIBC                                                                                       \
	"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\n"    \
	"Version: 2.36\nDescription: x\n more\n .\n Version: no\n\n"
#define PY "Package: python3-six\nStatus: hold ok installed\nArchitecture: all\nVersion: 1.16\n\n"

static struct vu_hash *hash;

struct guest {
	const char *status;
	const char *diversions;
	const char *lists[8][2]; /* stem, text */
};

static const struct guest usual = {
	.status = BASH "5.2\n\n" LIBC PY,
	.lists = {{"bash", "/.\n/bin\n/bin/bash\n/usr\n/usr/share\n/usr/share/doc/both\n"},
		  {"libc6:amd64",
		   "/.\n/lib\n/lib/libc.so.6\n/usr\n/usr/share\n/usr/share/doc/both\n"},
		  {"python3-six",
		   "/.\n/usr\n/usr/lib\n/usr/lib/python3\n/usr/lib/python3/six.py\n"}},
};

static struct vu_owning *make(const struct guest *g)
{
	struct vu_owning *o = vu_owning_new();

	assert_int_equal(vu_owning_add_status(o, g->status, strlen(g->status)), 0);
	if (g->diversions)
		assert_int_equal(vu_owning_add_diversions(o, g->diversions, strlen(g->diversions)),
				 0);
	for (size_t i = 0; i < 8 && g->lists[i][0]; i++)
		assert_int_equal(vu_owning_add_list(o, g->lists[i][0], g->lists[i][1],
						    strlen(g->lists[i][1])),
				 0);
	vu_owning_sort(o);
	return o;
}

static struct vu_digest ask(const struct vu_owning *o, const char *path, int want)
{
	struct vu_digest d = {.b = {0}};
	int r = vu_owning_ask(o, hash, path, &d);

	if (r != want)
		fail_msg("%s: %d", path, r);
	return d;
}

/* Does the path belong to the same in both? */
static bool same(const struct guest *a, const struct guest *b, const char *path)
{
	struct vu_owning *x = make(a), *y = make(b);
	struct vu_digest dx, dy;
	int rx = vu_owning_ask(x, hash, path, &dx), ry = vu_owning_ask(y, hash, path, &dy);

	vu_owning_free(x);
	vu_owning_free(y);
	return rx > 0 && rx == ry && !memcmp(&dx, &dy, sizeof(dx));
}

static void files_belong_to_packages(void **state)
{
	struct vu_owning *o = make(&usual);
	struct vu_digest a, b;

	(void)state;
	assert_int_equal(vu_owning_count(o), 3);
	a = ask(o, "bin/bash", VU_OWNED_FILE);
	b = ask(o, "usr/bin/bash", VU_OWNED_FILE);
	assert_memory_equal(&a, &b, sizeof(a));
	b = ask(o, "usr/lib/libc.so.6", VU_OWNED_FILE);
	assert_memory_not_equal(&a, &b, sizeof(a));
	a = ask(o, "usr/share/doc/both", VU_OWNED_FILE);
	assert_memory_not_equal(&a, &b, sizeof(a));
	vu_owning_free(o);
}

static void others_belong_to_their_directory(void **state)
{
	struct vu_owning *o = make(&usual);
	struct vu_digest a, b;

	(void)state;
	a = ask(o, "usr/lib/python3/__pycache__/six.pyc", VU_OWNED_BELOW);
	b = ask(o, "usr/lib/python3/other.pyc", VU_OWNED_BELOW);
	assert_memory_equal(&a, &b, sizeof(a));
	b = ask(o, "usr/lib/python3x/other.pyc", VU_OWNED_BELOW);
	assert_memory_not_equal(&a, &b, sizeof(a));
	b = ask(o, "usr/lib/python3/six.py", VU_OWNED_FILE);
	assert_memory_not_equal(&a, &b, sizeof(a));
	ask(o, "elsewhere", VU_OWNED_BELOW);
	ask(o, "usr/local/bin/mine", VU_OWNED_NOT);
	ask(o, "opt/mine", VU_OWNED_NOT);
	vu_owning_free(o);
}

static void nothing_owns_without_a_database(void **state)
{
	struct vu_owning *o = vu_owning_new();

	(void)state;
	ask(o, "bin/bash", VU_OWNED_NOT);
	vu_owning_free(o);
}

static void versions_and_sets_tell_apart(void **state)
{
	struct guest other = usual, order = usual;

	(void)state;
	other.status = BASH "5.3\n\n" LIBC PY;
	assert_false(same(&usual, &other, "bin/bash"));
	assert_false(same(&usual, &other, "usr/share/doc/both"));
	assert_true(same(&usual, &other, "lib/libc.so.6"));
	assert_true(same(&usual, &other, "usr/lib/python3/x.pyc"));
	assert_false(same(&usual, &other, "usr/share/x.cache"));
	/* one more package below the directory */
	other = usual;
	other.status =
		BASH "5.2\n\n" LIBC PY "Package: zz\nStatus: install ok installed\nVersion: 1\n";
	other.lists[3][0] = "zz";
	other.lists[3][1] = "/usr/lib/python3\n/usr/lib/python3/zz.py\n";
	assert_false(same(&usual, &other, "usr/lib/python3/x.pyc"));
	assert_true(same(&usual, &other, "usr/lib/python3/six.py"));
	/* the order in which they are read is the guest's */
	order.status = PY LIBC BASH "5.2\n";
	order.lists[0][0] = usual.lists[1][0];
	order.lists[0][1] = usual.lists[1][1];
	order.lists[1][0] = usual.lists[0][0];
	order.lists[1][1] = usual.lists[0][1];
	assert_true(same(&usual, &order, "usr/share/doc/both"));
}

static void what_is_half_installed_owns_nothing_surely(void **state)
{
	static const char *const states[] = {"unpacked", "half-installed", "half-configured"};
	struct guest g = usual;
	char status[1024];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		snprintf(status, sizeof(status),
			 "Package: bash\nStatus: install ok %s\nArchitecture: amd64\nVersion: "
			 "5.2\n\n" LIBC,
			 states[i]);
		g.status = status;
		struct vu_owning *o = make(&g);

		ask(o, "bin/bash", VU_OWNED_NOT);
		ask(o, "lib/libc.so.6", VU_OWNED_FILE);
		vu_owning_free(o);
	}
	g.status = "Package: bash\nStatus: deinstall ok config-files\nVersion: 5.2\n\n" LIBC;
	struct vu_owning *o = make(&g);

	assert_int_equal(vu_owning_count(o), 1);
	ask(o, "bin/bash", VU_OWNED_BELOW);
	vu_owning_free(o);
	g.status = "Package: bash\nStatus: install ok triggers-pending\nArchitecture: amd64\n"
		   "Version: 5.2\n\n" LIBC PY;
	assert_true(same(&usual, &g, "bin/bash"));
}

static void diverted_files_are_elsewhere(void **state)
{
	struct guest g = usual;

	(void)state;
	g.diversions = "/bin/bash\n/bin/bash.distrib\npython3-six\n/lib/libc.so.6\n"
		       "/lib/libc.so.6.old\n:\n";
	g.lists[2][1] = "/.\n/usr\n/bin/bash\n";
	struct vu_owning *o = make(&g);
	struct vu_digest bash = ask(o, "bin/bash", VU_OWNED_FILE),
			 six = ask(o, "bin/bash.distrib", VU_OWNED_FILE);

	ask(o, "usr/lib/libc.so.6.old", VU_OWNED_FILE);
	ask(o, "usr/lib/libc.so.6", VU_OWNED_BELOW);
	vu_owning_free(o);
	/* the distrib one is bash's, the other python3-six's */
	o = make(&usual);
	struct vu_digest was = ask(o, "bin/bash", VU_OWNED_FILE);

	assert_memory_equal(&six, &was, sizeof(was));
	assert_memory_not_equal(&bash, &was, sizeof(was));
	vu_owning_free(o);
}

static void what_is_not_dpkgs_is_broken(void **state)
{
	static const char *const lists[] = {"bin/x\n", "/\n", "/a/../b\n",
					    "/a//b\n", "\n",  "/a/.\n"};
	static const char *const diversions[] = {"/a\n", "/a\n/b\n", "a\n/b\nc\n"};
	static const char *const status[] = {"Package: a\nStatus: install ok installed\n",
					     "Package: a\nVersion: 1\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		struct guest g = {.status = usual.status};
		struct vu_owning *o = make(&g);

		assert_int_equal(vu_owning_add_list(o, "bash", lists[i], strlen(lists[i])),
				 VU_PACKAGE_BROKEN);
		assert_int_equal(vu_owning_add_list(o, "gone", lists[i], strlen(lists[i])), 0);
		vu_owning_free(o);
	}
	for (size_t i = 0; i < sizeof(diversions) / sizeof(*diversions); i++) {
		struct vu_owning *o = vu_owning_new();

		assert_int_equal(vu_owning_add_diversions(o, diversions[i], strlen(diversions[i])),
				 VU_PACKAGE_BROKEN);
		vu_owning_free(o);
	}
	for (size_t i = 0; i < sizeof(status) / sizeof(*status); i++) {
		struct vu_owning *o = vu_owning_new();

		assert_int_equal(vu_owning_add_status(o, status[i], strlen(status[i])),
				 VU_PACKAGE_BROKEN);
		vu_owning_free(o);
	}
}

/* ---- from a root ---- */

static void put(int root, const char *path, const char *text)
{
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void a_root_is_read(void **state)
{
	char root[SCRATCH_MAX], cmd[SCRATCH_PATH_MAX];
	struct vu_owning *o = NULL;
	char *why = NULL;

	(void)state;
	assert_true(scratch_dir(root, "test-owning"));
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(vu_owning_read(fd, 1 << 20, &o, &why), 0);
	assert_int_equal(vu_owning_count(o), 0);
	vu_owning_free(o);
	snprintf(cmd, sizeof(cmd), "mkdir -p '%s/var/lib/dpkg/info'", root);
	assert_int_equal(system(cmd), 0);
	put(fd, "var/lib/dpkg/status", usual.status);
	put(fd, "var/lib/dpkg/info/bash.list", usual.lists[0][1]);
	put(fd, "var/lib/dpkg/info/libc6:amd64.list", usual.lists[1][1]);
	put(fd, "var/lib/dpkg/info/.list", "nothing");
	assert_int_equal(vu_owning_read(fd, 1 << 20, &o, &why), 0);
	ask(o, "bin/bash", VU_OWNED_FILE);
	ask(o, "lib/libc.so.6", VU_OWNED_FILE);
	ask(o, "usr/lib/python3/six.py", VU_OWNED_BELOW);
	vu_owning_free(o);
	assert_int_equal(vu_owning_read(fd, 100, &o, &why), VU_PACKAGE_BROKEN);
	assert_non_null(strstr(why, "status: larger than"));
	free(why);
	assert_int_equal(unlinkat(fd, "var/lib/dpkg/info/bash.list", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", fd, "var/lib/dpkg/info/bash.list"), 0);
	assert_int_equal(vu_owning_read(fd, 1 << 20, &o, &why), VU_PACKAGE_BROKEN);
	assert_non_null(strstr(why, "info/bash.list"));
	free(why);
	close(fd);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", root);
	assert_int_equal(system(cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_belong_to_packages),
		cmocka_unit_test(others_belong_to_their_directory),
		cmocka_unit_test(nothing_owns_without_a_database),
		cmocka_unit_test(versions_and_sets_tell_apart),
		cmocka_unit_test(what_is_half_installed_owns_nothing_surely),
		cmocka_unit_test(diverted_files_are_elsewhere),
		cmocka_unit_test(what_is_not_dpkgs_is_broken),
		cmocka_unit_test(a_root_is_read),
	};

	hash = vu_hash_new();
	int r = cmocka_run_group_tests_name("owning", tests, NULL, NULL);

	vu_hash_free(hash);
	return r;
}

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
#include "guest/package.h"
#include "scratch.h"

static char root[SCRATCH_MAX];
static int root_fd = -EBADF;

static int setup(void **state)
{
	(void)state;
	if (!scratch_dir(root, "test-package"))
		return -1;
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	mkdirat(root_fd, "var", 0755);
	mkdirat(root_fd, "var/lib", 0755);
	mkdirat(root_fd, "var/lib/dpkg", 0755);
	return mkdirat(root_fd, "var/lib/dpkg/info", 0755);
}

static int teardown(void **state)
{
	char cmd[SCRATCH_PATH_MAX];

	(void)state;
	close(root_fd);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", root);
	return system(cmd);
}

static void put(const char *path, const char *text, size_t n)
{
	int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

/* Loads what is there; broken in this file for this reason, or not broken (NULL). */
static struct vu_package_db *load(uint64_t max, const char *file, const char *why)
{
	struct vu_package_db *db = NULL;
	const char *got = NULL;
	int r = vu_package_read(root_fd, max, &db, &got);

	assert_non_null(db);
	if (!file && r)
		fail_msg("%d: %s", r, got);
	if (file) {
		assert_int_equal(r, VU_PACKAGE_BROKEN);
		assert_int_equal(strncmp(got, file, strlen(file)), 0);
		assert_int_equal(got[strlen(file)], ':');
		if (!strstr(got, why))
			fail_msg("'%s' is not in '%s'", why, got);
	}
	return db;
}

static void assert_paths(const struct vu_package_db *db, const char *want)
{
	char all[4096] = "";

	for (size_t i = 0; i < vu_package_count(db); i++) {
		strcat(all, vu_package_at(db, i));
		strcat(all, "|");
	}
	assert_string_equal(all, want);
}

/* Parses text; want is what it lists, broken whether it complains. */
static void assert_parse(enum vu_package_format f, const char *text, size_t n, bool broken,
			 const char *want)
{
	struct vu_package_db *db = NULL;
	const char *got = NULL;
	/* exactly n bytes: what is read behind them is seen by the address sanitizer */
	char *exact = malloc(n ? n : 1);

	memcpy(exact, text, n);
	assert_int_equal(vu_package_parse(f, exact, n, &db, &got), broken ? VU_PACKAGE_BROKEN : 0);
	free(exact);
	assert_paths(db, want);
	vu_package_free(db);
}

static const char status[] = "Package: a\nStatus: install ok installed\nConffiles:\n"
			     " /etc/a.conf 0123456789abcdef0123456789abcdef\n"
			     " /etc/old name d41d8cd98f00b204e9800998ecf8427e obsolete\n"
			     "Description: x\n /etc/no 0123\n\n"
			     "Package: b\nConffiles:\n /opt/b.ini newconffile\n"
			     " /etc/r 012 remove-on-upgrade\n\n"
			     "Package: c\nX-Conffiles:\n /etc/nor/this 0123\n";

static void status_and_info(void **state)
{
	(void)state;
	put_text("var/lib/dpkg/status", status);
	put_text("var/lib/dpkg/info/c.conffiles", "/etc/a.conf\n/srv/c/c.conf\n"
						  "remove-on-upgrade /srv/c/gone\n");
	put_text("var/lib/dpkg/info/c.list", "/usr/bin/c\n");
	put_text("var/lib/dpkg/info/.conffiles", "/usr/bin/d\n");
	struct vu_package_db *db = load(1 << 20, NULL, NULL);

	assert_paths(db, "etc/a.conf|etc/old name|etc/r|opt/b.ini|srv/c/c.conf|srv/c/gone|");
	assert_true(vu_package_is_conffile(db, "etc/a.conf"));
	assert_true(vu_package_is_conffile_at(db, "srv/c", "gone"));
	assert_false(vu_package_is_conffile(db, "etc/a.con"));
	assert_false(vu_package_is_conffile(db, "etc/a.conff"));
	assert_false(vu_package_is_conffile(db, "a.conf"));
	assert_false(vu_package_is_conffile(db, "etc"));
	assert_false(vu_package_is_conffile_at(db, "", "a.conf"));
	assert_true(vu_package_dir_has_any(db, "etc"));
	assert_true(vu_package_dir_has_any(db, "srv/c"));
	assert_false(vu_package_dir_has_any(db, "srv"));
	assert_false(vu_package_dir_has_any(db, "et"));
	assert_false(vu_package_dir_has_any(db, "etc2"));
	assert_false(vu_package_dir_has_any(db, ""));
	vu_package_free(db);
}

/* The order is by directory: names below a directory must not hide those directly in it. */
static void directories_with_subdirectories(void **state)
{
	static const char text[] = "/a/z\n/a/b/c\n/a-b/x\n/a/a\n/top\n/a/b-c/d\n/a/b/c/d\n";
	struct vu_package_db *db = NULL;
	const char *got = NULL;

	(void)state;
	assert_int_equal(vu_package_parse(VU_PACKAGE_CONFFILES, text, sizeof(text) - 1, &db, &got),
			 0);
	assert_int_equal(vu_package_count(db), 7);
	for (size_t i = 0; i < 7; i++)
		assert_true(vu_package_is_conffile(db, vu_package_at(db, i)));
	assert_true(vu_package_dir_has_any(db, ""));
	assert_true(vu_package_dir_has_any(db, "a"));
	assert_true(vu_package_dir_has_any(db, "a/b"));
	assert_true(vu_package_dir_has_any(db, "a/b/c"));
	assert_false(vu_package_dir_has_any(db, "b"));
	assert_true(vu_package_is_conffile_at(db, "", "top"));
	vu_package_free(db);
}

static void merged_usr(void **state)
{
	(void)state;
	assert_parse(VU_PACKAGE_CONFFILES, "/lib/x/y\n/library/z\n", 20, false,
		     "lib/x/y|library/z|usr/lib/x/y|");
}

static void hostile_lines(void **state)
{
	static const struct {
		const char *line;
		bool broken;
		const char *want;
	} t[] = {
		{"/etc/a", false, "etc/a|"}, /* no newline at the end */
		{"", false, ""},
		{"\n\n\n", false, ""},
		{"/etc/a \r\n", false, "etc/a|"},
		{"etc/a\n/etc/b\n", true, "etc/b|"},
		{"/../etc/shadow\n/b", true, "b|"},
		{"/etc/../b\n", true, ""},
		{"/etc/..\n", true, ""},
		{"/etc/./b\n", true, ""},
		{"//etc\n", true, ""},
		{"/etc/\n", true, ""},
		{"/\n", true, ""},
		{"/etc/..b\n/etc/...\n", false, "etc/...|etc/..b|"},
		{"flag\n", true, ""},
		{"flag /a b\n", false, "a b|"},
		{"/a\n/a\n/a\n", false, "a|"},
	};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(t); i++)
		assert_parse(VU_PACKAGE_CONFFILES, t[i].line, strlen(t[i].line), t[i].broken,
			     t[i].want);
	assert_parse(VU_PACKAGE_CONFFILES, "/a\0b\n/c", 7, true, "c|");
}

static void hostile_status(void **state)
{
	static const struct {
		const char *text;
		bool broken;
		const char *want;
	} t[] = {
		{"Conffiles:\n /a 1", false, "a|"},
		{"Conffiles:", false, ""},
		{"Conffiles:\n", false, ""},
		{"Conffiles:\n ", true, ""},
		{"\nConffiles:\n \n /b 1", true, "b|"},
		{"X: 1\nConffiles: /inline 1\n /a 1\nConffiles:\n /b 1\n", false, "a|b|"},
		{"X:\nConffiles:\nConffiles:\n /b 1\n", false, "b|"},
		{"X:\nConffiles:\n /b\n", true, ""},
		{"X:\nConffiles:\n /b obsolete\n", true, ""},
		{"X:\nConffiles:\n obsolete obsolete obsolete\n", true, ""},
		{"X:\nConffiles:\n ../b 1\n /x/../b 1\n b 1\n", true, ""},
		{"X: Conffiles:\n /b 1\n", false, ""},
	};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(t); i++)
		assert_parse(VU_PACKAGE_STATUS, t[i].text, strlen(t[i].text), t[i].broken,
			     t[i].want);
	assert_parse(VU_PACKAGE_STATUS, "X:\0\nConffiles:\n /a\0 1\n /b 1\n", 28, true, "b|");
}

static void line_of_ten_megabytes(void **state)
{
	size_t n = 10 << 20;
	char *text = malloc(n + 16);

	(void)state;
	memset(text, 'a', n);
	text[0] = '/';
	memcpy(text + n, "\n/b\n", 5);
	put("var/lib/dpkg/info/x.conffiles", text, n + 4);
	memcpy(text, "X:\nConffiles:\n /", 16);
	memcpy(text + n, " 1\n /c 1\n", 10);
	put("var/lib/dpkg/status", text, n + 9);
	struct vu_package_db *db = load(64 << 20, "var/lib/dpkg/status", "no path");

	assert_paths(db, "b|c|");
	vu_package_free(db);
	free(text);
}

static void too_large(void **state)
{
	(void)state;
	put_text("var/lib/dpkg/status", status);
	put_text("var/lib/dpkg/info/c.conffiles", "/srv/c.conf\n");
	struct vu_package_db *db =
		load(sizeof(status) - 2, "var/lib/dpkg/status", "max_package_db_bytes");

	assert_paths(db, "srv/c.conf|");
	vu_package_free(db);
	db = load(sizeof(status) - 1, NULL, NULL);
	vu_package_free(db);
	/* a hole of a terabyte takes no memory */
	int fd = openat(root_fd, "var/lib/dpkg/status", O_WRONLY | O_CLOEXEC);

	assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
	close(fd);
	db = load(1 << 20, "var/lib/dpkg/status", "max_package_db_bytes");
	assert_paths(db, "srv/c.conf|");
	vu_package_free(db);
}

/* All info files together have one limit, or 100,000 of them would be read. */
static void many_info_files(void **state)
{
	char path[64];

	(void)state;
	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "var/lib/dpkg/info/%d.conffiles", i);
		put_text(path, "/a-path-of-20-bytes\n");
	}
	struct vu_package_db *db = load(100, NULL, NULL);
	const char *got = NULL;

	vu_package_free(db);
	db = NULL;
	assert_int_equal(vu_package_read(root_fd, 99, &db, &got), VU_PACKAGE_BROKEN);
	assert_int_equal(strncmp(got, "var/lib/dpkg/info/", 18), 0);
	assert_paths(db, "a-path-of-20-bytes|");
	vu_package_free(db);
}

static void no_database(void **state)
{
	(void)state;
	vu_package_free(load(1 << 20, NULL, NULL));
	unlinkat(root_fd, "var/lib/dpkg/info", AT_REMOVEDIR);
	vu_package_free(load(1 << 20, NULL, NULL));
	unlinkat(root_fd, "var/lib/dpkg", AT_REMOVEDIR);
	struct vu_package_db *db = load(1 << 20, NULL, NULL);

	assert_int_equal(vu_package_count(db), 0);
	assert_false(vu_package_is_conffile(db, "etc/passwd"));
	assert_false(vu_package_dir_has_any(db, "etc"));
	vu_package_free(db);
	assert_null(vu_package_free(NULL));
}

static void planted_instead_of_files(void **state)
{
	struct vu_package_db *db;

	(void)state;
	put_text("var/lib/dpkg/info/c.conffiles", "/srv/c.conf\n");
	put_text("real", status);
	assert_int_equal(symlinkat("../../../real", root_fd, "var/lib/dpkg/status"), 0);
	db = load(1 << 20, "var/lib/dpkg/status", "not a regular file");
	assert_paths(db, "srv/c.conf|");
	vu_package_free(db);
	unlinkat(root_fd, "var/lib/dpkg/status", 0);
	/* opening it would wait for a writer for ever */
	assert_int_equal(mkfifoat(root_fd, "var/lib/dpkg/status", 0644), 0);
	db = load(1 << 20, "var/lib/dpkg/status", "not a regular file");
	assert_paths(db, "srv/c.conf|");
	vu_package_free(db);
	unlinkat(root_fd, "var/lib/dpkg/status", 0);
	assert_int_equal(mkdirat(root_fd, "var/lib/dpkg/status", 0755), 0);
	db = load(1 << 20, "var/lib/dpkg/status", "not a regular file");
	assert_paths(db, "srv/c.conf|");
	vu_package_free(db);
	assert_int_equal(mkfifoat(root_fd, "var/lib/dpkg/info/f.conffiles", 0644), 0);
	unlinkat(root_fd, "var/lib/dpkg/status", AT_REMOVEDIR);
	db = load(1 << 20, "var/lib/dpkg/info/f.conffiles", "not a regular file");
	assert_paths(db, "srv/c.conf|");
	vu_package_free(db);
}

static void planted_directories(void **state)
{
	(void)state;
	put_text("var/lib/dpkg/status", status);
	assert_int_equal(renameat(root_fd, "var/lib/dpkg", root_fd, "dpkg"), 0);
	assert_int_equal(symlinkat("../../dpkg", root_fd, "var/lib/dpkg"), 0);
	struct vu_package_db *db = load(1 << 20, "var/lib/dpkg", "symbolic link");

	assert_int_equal(vu_package_count(db), 0);
	vu_package_free(db);
	unlinkat(root_fd, "var/lib/dpkg", 0);
	assert_int_equal(mkfifoat(root_fd, "var/lib/dpkg", 0644), 0);
	db = load(1 << 20, "var/lib/dpkg", "Not a directory");
	vu_package_free(db);
	unlinkat(root_fd, "var/lib/dpkg", 0);
	assert_int_equal(renameat(root_fd, "dpkg", root_fd, "var/lib/dpkg"), 0);
	assert_int_equal(unlinkat(root_fd, "var/lib/dpkg/info", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/etc", root_fd, "var/lib/dpkg/info"), 0);
	db = load(1 << 20, "var/lib/dpkg/info", "symbolic link");
	assert_int_equal(vu_package_count(db), 4);
	vu_package_free(db);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(status_and_info),
		cmocka_unit_test(directories_with_subdirectories),
		cmocka_unit_test(merged_usr),
		cmocka_unit_test(hostile_lines),
		cmocka_unit_test(hostile_status),
		TEST(line_of_ten_megabytes),
		TEST(too_large),
		TEST(many_info_files),
		TEST(no_database),
		TEST(planted_instead_of_files),
		TEST(planted_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "model/config.h"
#include "model/size.h"
#include "scratch.h"

static char dir[SCRATCH_MAX];
static char conf[SCRATCH_PATH_MAX];

static int setup(void **state)
{
	(void)state;
	if (!scratch_dir(dir, "test-config"))
		return -1;
	snprintf(conf, sizeof(conf), "%s/vunify.conf", dir);
	return 0;
}

static int teardown(void **state)
{
	char cmd[SCRATCH_PATH_MAX];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

static void write_bytes(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void write_conf(const char *text)
{
	write_bytes(conf, text, strlen(text));
}

static void write_dropin(const char *name, const char *text)
{
	char path[SCRATCH_PATH_MAX];

	snprintf(path, sizeof(path), "%s/vunify.conf.d", dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/vunify.conf.d/%s", dir, name);
	write_bytes(path, text, strlen(text));
}

/* Stands for the layer that knows patterns. */
static const char *rule_wrong(const char *rule)
{
	return strstr(rule, "..") ? "no .. in patterns" : NULL;
}

static struct vu_config load_good(void)
{
	struct vu_config c = {0};
	struct vu_config_error e = {0};
	int r = vu_config_load(conf, rule_wrong, &c, &e);

	if (r == VU_CONFIG_BAD)
		fail_msg("%s:%u: %s: %s", e.file, e.line, e.key ? e.key : "-", e.why);
	assert_int_equal(r, 0);
	return c;
}

/* The file is refused at this line, for this key, with a reason that holds the words. */
static void assert_bad(unsigned line, const char *key, const char *words)
{
	struct vu_config c = {.jobs = 77};
	struct vu_config_error e = {0};

	assert_int_equal(vu_config_load(conf, rule_wrong, &c, &e), VU_CONFIG_BAD);
	assert_int_equal(c.jobs, 77);
	assert_null(c.catalog);
	assert_string_equal(e.file, conf);
	assert_int_equal(e.line, line);
	if (key)
		assert_string_equal(e.key, key);
	else
		assert_null(e.key);
	assert_non_null(e.why);
	if (!strstr(e.why, words))
		fail_msg("'%s' is not in '%s'", words, e.why);
	vu_config_error_done(&e);
}

static void assert_list(char **list, const char *want)
{
	char all[2048] = "";

	assert_non_null(list);
	for (; *list; list++) {
		strcat(all, *list);
		strcat(all, "|");
	}
	assert_string_equal(all, want);
}

#define DEFAULT_RULES                                                                              \
	"exclude /etc|exclude /var|exclude /home|exclude /root|exclude /tmp|exclude /run|"         \
	"exclude /srv|exclude /boot|exclude /dev|exclude /proc|exclude /sys|"

#define DEFAULT_RESET                                                                              \
	"truncate /etc/machine-id|remove /var/lib/dbus/machine-id|"                                \
	"remove /etc/ssh/ssh_host_*_key|remove /etc/ssh/ssh_host_*_key.pub|"                       \
	"remove /var/lib/systemd/random-seed|remove /var/lib/urandom/random-seed|"                 \
	"remove /var/lib/systemd/credential.secret|"

static void assert_defaults(const struct vu_config *c)
{
	assert_int_equal(c->min_size, 1);
	assert_int_equal(c->max_size, UINT64_C(16) << 40);
	assert_true(c->mtime_exact);
	assert_false(c->unify_setid);
	assert_int_equal(c->mode, VU_MODE_LINK);
	assert_list(c->exclude, DEFAULT_RULES);
	assert_list(c->trust_domains, "");
	assert_list(c->reset, DEFAULT_RESET);
	assert_int_equal(c->jobs, 0);
	assert_int_equal(c->max_depth, 4096);
	assert_int_equal(c->max_files, 10000000);
	assert_int_equal(c->max_xattr_bytes, 1 << 20);
	assert_int_equal(c->max_package_db_bytes, 64 << 20);
	assert_int_equal(c->max_cow_breaks, 0);
	assert_int_equal(c->max_cow_bytes, 0);
	assert_true(c->max_import_bytes == UINT64_C(1) << 40);
	assert_int_equal(c->max_import_ratio, 250);
	assert_string_equal(c->catalog, "/var/lib/vunify/catalog.db");
	assert_string_equal(c->lock_dir, "/run/vunify");
}

static void defaults(void **state)
{
	struct vu_config c;

	(void)state;
	assert_int_equal(vu_config_default(&c), 0);
	assert_defaults(&c);
	vu_config_done(&c);
	write_conf("");
	c = load_good();
	assert_defaults(&c);
	vu_config_done(&c);
}

/* Every key of the shipped file, taken at its word, is the default; and none is missing there. */
static void shipped_file_says_the_defaults(void **state)
{
	static const char *const all[] = {
		"min_size",
		"max_size",
		"mtime",
		"unify_setid",
		"mode",
		"exclude",
		"trust_domain",
		"jobs",
		"max_depth",
		"max_files",
		"truncate",
		"remove",
		"catalog",
		"lock_dir",
		"max_xattr_bytes",
		"max_package_db_bytes",
		"max_cow_breaks",
		"max_cow_bytes",
		"max_import_bytes",
		"max_import_ratio",
	};
	const char *top = getenv("VU_TOP");
	char path[4096], line[512], text[16384] = "";

	(void)state;
	snprintf(path, sizeof(path), "%s/vunify.conf", top ? top : ".");
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		strcat(text, line[0] == '#' && line[1] != ' ' ? line + 1 : line);
	fclose(f);
	for (size_t i = 0; i < VU_ARRAY_SIZE(all); i++) {
		snprintf(line, sizeof(line), "\n%s =", all[i]);
		if (!strstr(text, line))
			fail_msg("%s is not in vunify.conf", all[i]);
	}
	write_conf(text);
	struct vu_config c = load_good();

	assert_defaults(&c);
	vu_config_done(&c);
}

static void every_key_good(void **state)
{
	(void)state;
	write_conf("[policy]\nmin_size = 4K\nmax_size=1G\nmtime = ignore\nunify_setid = yes\n"
		   "mode = reflink\nexclude = *.bak\ninclude = /etc/alternatives\n"
		   "trust_domain = staff\ntrust_domain = \"\"\n[scan]\njobs = 3\n[limits]\n"
		   "max_depth = 5\nmax_files = 6\nmax_xattr_bytes = 7\nmax_package_db_bytes = 8M\n"
		   "max_cow_breaks = 9\nmax_cow_bytes = 10M\n"
		   "max_import_bytes = 11K\nmax_import_ratio = 12\n"
		   "[paths]\n  catalog = /c/d.db\n\tlock_dir = /l\r\n");
	struct vu_config c = load_good();

	assert_int_equal(c.min_size, 4096);
	assert_int_equal(c.max_size, 1 << 30);
	assert_false(c.mtime_exact);
	assert_true(c.unify_setid);
	assert_int_equal(c.mode, VU_MODE_REFLINK);
	assert_list(c.exclude, "exclude *.bak|include /etc/alternatives|" DEFAULT_RULES);
	assert_list(c.trust_domains, "staff||");
	assert_int_equal(c.jobs, 3);
	assert_int_equal(c.max_depth, 5);
	assert_int_equal(c.max_files, 6);
	assert_int_equal(c.max_xattr_bytes, 7);
	assert_int_equal(c.max_package_db_bytes, 8 << 20);
	assert_int_equal(c.max_cow_breaks, 9);
	assert_int_equal(c.max_cow_bytes, 10 << 20);
	assert_int_equal(c.max_import_bytes, 11 << 10);
	assert_int_equal(c.max_import_ratio, 12);
	assert_string_equal(c.catalog, "/c/d.db");
	assert_string_equal(c.lock_dir, "/l");
	vu_config_done(&c);
}

static void every_key_bad(void **state)
{
	static const struct {
		const char *section, *key, *value, *words;
	} bad[] = {
		{"policy", "min_size", "1X", "K, M, G or T"},
		{"policy", "min_size", "0", "out of range"},
		{"policy", "max_size", "-1", "allowed are digits"},
		{"policy", "max_size", "99999999999T", "out of range"},
		{"policy", "mtime", "yes", "allowed are ignore and exact"},
		{"policy", "unify_setid", "1", "allowed are no and yes"},
		{"policy", "mode", "symlink", "allowed are link and reflink"},
		{"policy", "include", "", "allowed is a pattern"},
		{"clone", "truncate", "etc/x", "absolute path"},
		{"clone", "remove", "/*/x", "in the last part only"},
		{"policy", "exclude", "/a/../b", "no .. in patterns"},
		{"policy", "trust_domain", "a/b", "without '/'"},
		{"policy", "jobs", "1", "no such key in [policy]: allowed are min_size,"},
		{"scan", "jobs", "", "allowed are digits"},
		{"scan", "jobs", "1K", "allowed are digits"},
		{"scan", "jobs", "1025", "allowed is 0 to 1024"},
		{"limits", "max_depth", "0", "out of range"},
		{"limits", "max_files", "many", "allowed are digits"},
		{"limits", "max_xattr_bytes", "2G", "out of range"},
		{"limits", "max_package_db_bytes", "1 M", "K, M, G or T"},
		{"limits", "max_cow_breaks", "1M", "allowed are digits"},
		{"limits", "max_cow_bytes", "fast", "allowed are digits"},
		{"limits", "max_import_bytes", "0", "out of range"},
		{"limits", "max_import_ratio", "0", "out of range"},
		{"paths", "catalog", "catalog.db", "absolute"},
		{"paths", "lock_dir", "", "absolute"},
		{"paths", "lockdir", "/x", "allowed are catalog, lock_dir"},
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), "# a\n\n[%s]\n%s = %s\n[scan]\njobs = 1\n",
			 bad[i].section, bad[i].key, bad[i].value);
		write_conf(text);
		assert_bad(4, bad[i].key, bad[i].words);
	}
}

static void structure_is_checked(void **state)
{
	(void)state;
	write_conf("jobs = 1\n");
	assert_bad(1, "jobs", "before any [section]");
	write_conf("[scan]\n\n[policies]\n");
	assert_bad(3, NULL, "allowed are policy, scan, limits, clone, paths");
	write_conf("[scan\njobs = 1\n");
	assert_bad(1, NULL, "no ']'");
	write_conf("[scan] jobs = 1\n");
	assert_bad(1, NULL, "after ']'");
	write_conf("[scan]\n\njobs\n[policy]\nmin_size = x\n");
	assert_bad(3, NULL, "KEY = VALUE");
	write_conf("[policy]\nmin_size = 2M\nmax_size = 1M\n");
	assert_bad(3, "max_size", "min_size is above");
}

/* inih would read the indented line as one more value of the key above. */
static void indentation_means_nothing(void **state)
{
	(void)state;
	write_conf("[scan]\njobs = 1\n  jobs = 2\n ; c\n\t[policy]\nmin_size = 2\n");
	struct vu_config c = load_good();

	assert_int_equal(c.jobs, 2);
	assert_int_equal(c.min_size, 2);
	vu_config_done(&c);
}

static void lists_add_up_and_are_cleared(void **state)
{
	(void)state;
	write_conf("[policy]\nexclude = a\ninclude = b\nexclude =\nexclude = c\ninclude = /d e\n"
		   "trust_domain = x\ntrust_domain =\ntrust_domain = y\n");
	struct vu_config c = load_good();

	assert_list(c.exclude, "exclude c|include /d e|");
	assert_list(c.trust_domains, "y|");
	vu_config_done(&c);
	write_conf("[policy]\nexclude =\n");
	c = load_good();
	assert_list(c.exclude, "");
	vu_config_done(&c);
	write_conf("[clone]\ntruncate = /a\nremove =\nremove = /b/*\n");
	c = load_good();
	assert_list(c.reset, "truncate /etc/machine-id|truncate /a|remove /b/*|");
	vu_config_done(&c);
}

static void dropins_in_order_of_names(void **state)
{
	(void)state;
	write_conf("[scan]\njobs = 1\n[policy]\nexclude = main\nmin_size = 9\n");
	write_dropin("b.conf", "[scan]\njobs = 3\n[policy]\nexclude = b\n");
	write_dropin("10-a.conf", "[scan]\njobs = 2\n[policy]\nexclude = a\n");
	write_dropin("z.conf~", "[nonsense]\n");
	write_dropin(".hidden.conf", "[nonsense]\n");
	struct vu_config c = load_good();

	assert_int_equal(c.jobs, 3);
	assert_int_equal(c.min_size, 9);
	assert_list(c.exclude, "exclude main|exclude a|exclude b|" DEFAULT_RULES);
	vu_config_done(&c);
}

static void nothing_applies_unless_all_parse(void **state)
{
	struct vu_config c = {.jobs = 77};
	struct vu_config_error e = {0};

	(void)state;
	write_conf("[scan]\njobs = 1\n");
	write_dropin("a.conf", "[scan]\njobs = 2\n");
	write_dropin("b.conf", "[scan]\njobs = 3\njobs = x\n");
	assert_int_equal(vu_config_load(conf, rule_wrong, &c, &e), VU_CONFIG_BAD);
	assert_int_equal(c.jobs, 77);
	assert_null(c.exclude);
	assert_non_null(strstr(e.file, "/vunify.conf.d/b.conf"));
	assert_int_equal(e.line, 3);
	vu_config_error_done(&e);
}

static void files_that_cannot_be_read(void **state)
{
	(void)state;
	assert_bad(0, NULL, "No such file");
	assert_int_equal(mkdir(conf, 0755), 0);
	assert_bad(0, NULL, "Is a directory");
}

static void long_lines(void **state)
{
	char text[1024], want[300];

	(void)state;
	/* 199 bytes are fine, in full */
	snprintf(text, sizeof(text), "[policy]\nexclude =\nexclude = %0189d\n", 7);
	write_conf(text);
	struct vu_config c = load_good();

	snprintf(want, sizeof(want), "exclude %0189d|", 7);
	assert_list(c.exclude, want);
	vu_config_done(&c);
	snprintf(text, sizeof(text), "[policy]\nexclude =\nexclude = %0190d\n", 7);
	write_conf(text);
	assert_bad(3, NULL, "the line has 200 bytes: allowed are 199");
	/* the rest of a long line must not be read as a line of its own */
	snprintf(text, sizeof(text), "[scan]\n# %0300d\njobs = 4\njobs = %0500d", 1, 1);
	write_conf(text);
	assert_bad(4, NULL, "the line has 507 bytes");
}

static void garbage(void **state)
{
	static const char nul[] = "[scan]\njobs = 1\0 2\n";
	static const char bom[] = "\xef\xbb\xbf[scan]\njobs = 5";

	(void)state;
	write_bytes(conf, nul, sizeof(nul) - 1);
	assert_bad(2, NULL, "control character");
	write_conf("[scan]\n# a comment with \033[31m in it\n");
	assert_bad(2, NULL, "control character");
	write_conf("\x7f\x45\x4c\x46\x02\x01");
	assert_bad(1, NULL, "control character");
	write_conf("[scan]\n\xff\xfe\xfd\n");
	assert_bad(2, NULL, "KEY = VALUE");
	write_conf(bom);
	struct vu_config c = load_good();

	assert_int_equal(c.jobs, 5);
	vu_config_done(&c);
	write_conf("[policy]\nexclude =\nexclude = \xff\xfe\n");
	c = load_good();
	assert_list(c.exclude, "exclude \xff\xfe|");
	vu_config_done(&c);
}

static void sizes(void **state)
{
	static const char *const wrong[] = {"",	   "K",	 "-1",	 "+1",	 " 1",	 "1 ",
					    "1KK", "1k", "1.5M", "0x10", "1KiB", "1P"};
	uint64_t v = 42;

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(wrong); i++)
		assert_int_equal(vu_size_parse(wrong[i], &v), -EINVAL);
	assert_int_equal(vu_size_parse("18446744073709551616", &v), -ERANGE);
	assert_int_equal(vu_size_parse("99999999999999999999999999999", &v), -ERANGE);
	assert_int_equal(vu_size_parse("16777216T", &v), -ERANGE);
	assert_int_equal(vu_size_parse("99999999999999999999x", &v), -EINVAL);
	assert_int_equal(v, 42);
	assert_int_equal(vu_size_parse("18446744073709551615", &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(vu_size_parse("16777215T", &v), 0);
	assert_true(v == UINT64_C(16777215) << 40);
	assert_int_equal(vu_size_parse("007M", &v), 0);
	assert_int_equal(v, 7 << 20);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(defaults),
		TEST(shipped_file_says_the_defaults),
		TEST(every_key_good),
		TEST(every_key_bad),
		TEST(structure_is_checked),
		TEST(indentation_means_nothing),
		TEST(lists_add_up_and_are_cleared),
		TEST(dropins_in_order_of_names),
		TEST(nothing_applies_unless_all_parse),
		TEST(files_that_cannot_be_read),
		TEST(long_lines),
		TEST(garbage),
		TEST(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

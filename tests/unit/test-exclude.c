/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "scan/exclude.h"

static struct vu_exclude *make(char **guest, char **config)
{
	struct vu_exclude *x = NULL;
	struct vu_exclude_error e = {0};

	if (vu_exclude_new(guest, config, &x, &e))
		fail_msg("'%s': %s", e.rule, e.why);
	return x;
}

static bool one(const char *pattern, const char *path, bool is_dir)
{
	char rule[256];
	char *rules[] = {rule, NULL};

	snprintf(rule, sizeof(rule), "exclude %s", pattern);
	struct vu_exclude *x = make(rules, NULL);
	bool hit = vu_exclude_match(x, path, is_dir, NULL) != VU_EXCLUDE_NO;

	vu_exclude_free(x);
	return hit;
}

static void patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool is_dir, want;
	} t[] = {
		{"/etc", "etc", true, true},
		{"/etc", "etc", false, true},
		{"/etc", "etc/passwd", false, true},
		{"/etc", "usr/etc", true, false},
		{"/etc", "etcetera", true, false},
		{"/etc", "et", true, false},
		{"/a/b", "aXb", false, false},
		{"/a/b", "a/b", false, true},
		{"/", "", true, true},
		{"/", "a/b", false, true},
		{"/etc/", "etc", false, false},
		{"/etc/", "etc", true, true},
		{"/etc/", "etc/x", false, true},
		{"*.bak", "a.bak", false, true},
		{"*.bak", "x/y/a.bak", false, true},
		{"*.bak", "x.bak/y", false, true},
		{"*.bak", ".bak", false, true},
		{"*.bak", "a.bakx", false, false},
		{"cache", "x/cache/y", false, true},
		{"cache", "x/cachey", false, false},
		{"cache/", "x/cache", false, false},
		{"*", "", true, false},
		{"*", "a", true, true},
		{"doc/old", "doc/old", false, true},
		{"doc/old", "usr/doc/old", false, true},
		{"doc/old", "usr/mydoc/old", false, false},
		{"doc/old", "doc/x/old", false, false},
		{"/usr/*/x", "usr/a/x", false, true},
		{"/usr/*/x", "usr/a/b/x", false, false},
		{"/usr/**/x", "usr/a/b/x", false, true},
		{"/usr/**/x", "usr/x", false, true},
		{"/usr/**/x", "usr/ax", false, false},
		{"/usr/**", "usr", true, false},
		{"/usr/**", "usr/a", true, true},
		{"/u**x", "usr/a/x", false, true},
		{"**/x", "x", false, true},
		{"/a?c", "abc", false, true},
		{"/a?c", "a/c", false, false},
		{"[a-c]x", "bx", false, true},
		{"[!a-c]x", "bx", false, false},
		{"[^a-c]x", "dx", false, true},
		{"/a[!b]c", "a/c", false, false},
		{"[]]", "]", false, true},
		{"[!]a]", "]", false, false},
		{"[a\\]]", "]", false, true},
		{"[a-]", "-", false, true},
		{"[\\a-\\c]", "b", false, true},
		{"\\*", "*", false, true},
		{"\\*", "x", false, false},
		{"/a\\[b", "a[b", false, true},
		{"a*b*c", "aXbYbc", false, true},
		{"/a/**/b*c/d", "a/bc/x/bc/d", false, true},
		{"/a b", "a b", false, true},
		{"[\x80-\xff]", "\xe9", false, true},
	};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(t); i++)
		if (one(t[i].pattern, t[i].path, t[i].is_dir) != t[i].want)
			fail_msg("%s on %s: not %d", t[i].pattern, t[i].path, t[i].want);
}

static void bad_rules(void **state)
{
	static const char *const bad[] = {
		"exclude ",
		"exclude",
		"omit /a",
		"exclude a//b",
		"exclude //",
		"exclude ../a",
		"exclude /a/..",
		"exclude ./a",
		"exclude /.",
		"exclude [a",
		"exclude /a[/",
		"exclude [a/b]",
		"exclude a\\",
		"exclude a\\/",
		"exclude []",
		"exclude [!]",
		"",
		"exclude [\\",
	};
	static const char *const good[] = {"exclude .a", "include ...", "exclude /..a/b.",
					   "exclude ]"};
	struct vu_exclude *x = NULL;
	struct vu_exclude_error e;
	char longest[5000];

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(bad); i++) {
		char *copy = strdup(bad[i]);
		char *rules[] = {copy, NULL};

		e = (struct vu_exclude_error){0};
		if (vu_exclude_new(NULL, rules, &x, &e) != VU_EXCLUDE_BAD)
			fail_msg("'%s' was taken", bad[i]);
		assert_null(x);
		assert_ptr_equal(e.rule, copy);
		assert_non_null(strstr(e.why, "allowed"));
		free(copy);
	}
	for (size_t i = 0; i < VU_ARRAY_SIZE(good); i++)
		assert_int_equal(vu_exclude_check(good[i], &e), 0);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "exclude ", 8);
	longest[8 + VU_EXCLUDE_PATTERN_MAX] = 0;
	assert_int_equal(vu_exclude_check(longest, &e), 0);
	longest[8 + VU_EXCLUDE_PATTERN_MAX] = 'a';
	longest[9 + VU_EXCLUDE_PATTERN_MAX] = 0;
	assert_int_equal(vu_exclude_check(longest, &e), VU_EXCLUDE_BAD);
}

static void first_match_wins_and_guest_first(void **state)
{
	char *guest[] = {(char[]){"include /etc/a"}, NULL};
	char *config[] = {(char[]){"include /etc/b"}, (char[]){"exclude /etc"},
			  (char[]){"include /etc/c"}, (char[]){"exclude /opt"}, NULL};
	struct vu_exclude *x = make(guest, config);
	const char *rule = "";

	(void)state;
	assert_int_equal(vu_exclude_match(x, "etc", true, &rule), VU_EXCLUDE_YES_ENTER);
	assert_string_equal(rule, "exclude /etc");
	assert_int_equal(vu_exclude_match(x, "etc/a", false, &rule), VU_EXCLUDE_NO);
	assert_string_equal(rule, "include /etc/a");
	assert_int_equal(vu_exclude_match(x, "etc/a/deep", false, NULL), VU_EXCLUDE_NO);
	assert_int_equal(vu_exclude_match(x, "etc/b", true, NULL), VU_EXCLUDE_NO);
	assert_int_equal(vu_exclude_match(x, "etc/c", true, &rule), VU_EXCLUDE_YES);
	assert_int_equal(vu_exclude_match(x, "etc/x", true, NULL), VU_EXCLUDE_YES);
	assert_int_equal(vu_exclude_match(x, "opt", true, NULL), VU_EXCLUDE_YES);
	assert_int_equal(vu_exclude_match(x, "usr", true, &rule), VU_EXCLUDE_NO);
	assert_null(rule);
	vu_exclude_free(x);
}

static void only_what_can_match_is_entered(void **state)
{
	char *rules[] = {(char[]){"include /var/lib/*/keep"},
			 (char[]){"include /srv/a/**/b"},
			 (char[]){"exclude /var"},
			 (char[]){"exclude /srv"},
			 (char[]){"exclude /tmp"},
			 NULL};
	struct vu_exclude *x = make(NULL, rules);

	(void)state;
	assert_int_equal(vu_exclude_match(x, "var", true, NULL), VU_EXCLUDE_YES_ENTER);
	assert_int_equal(vu_exclude_match(x, "var/lib", true, NULL), VU_EXCLUDE_YES_ENTER);
	assert_int_equal(vu_exclude_match(x, "var/lib/x", true, NULL), VU_EXCLUDE_YES_ENTER);
	assert_int_equal(vu_exclude_match(x, "var/lib/x/keep", true, NULL), VU_EXCLUDE_NO);
	assert_int_equal(vu_exclude_match(x, "var/lib/x/y", true, NULL), VU_EXCLUDE_YES);
	assert_int_equal(vu_exclude_match(x, "var/cache", true, NULL), VU_EXCLUDE_YES);
	assert_int_equal(vu_exclude_match(x, "srv/a/x/y/z", true, NULL), VU_EXCLUDE_YES_ENTER);
	assert_int_equal(vu_exclude_match(x, "srv/c", true, NULL), VU_EXCLUDE_YES);
	assert_int_equal(vu_exclude_match(x, "tmp", true, NULL), VU_EXCLUDE_YES);
	assert_int_equal(vu_exclude_match(x, "var", false, NULL), VU_EXCLUDE_YES);
	vu_exclude_free(x);
}

/* With rules like the built-in ones, no name below the root's own is ever compared. */
static void most_directories_need_no_comparison(void **state)
{
	char *rules[] = {(char[]){"exclude /etc"}, (char[]){"exclude /var"},
			 (char[]){"exclude /usr/local"}, NULL};
	struct vu_exclude *x = make(NULL, rules);
	struct vu_exclude_dir root, usr, lib, etc, opt;

	(void)state;
	vu_exclude_root(x, &root);
	assert_false(root.files_same);
	vu_exclude_enter(x, &root, "", "usr", &usr);
	assert_false(usr.files_same);
	assert_int_equal(vu_exclude_file(x, &usr, "usr", "local"), VU_EXCLUDE_YES);
	assert_int_equal(vu_exclude_file(x, &usr, "usr", "loca"), VU_EXCLUDE_NO);
	vu_exclude_enter(x, &usr, "usr", "lib", &lib);
	assert_true(lib.files_same && lib.dirs_same);
	assert_int_equal(lib.verdict, VU_EXCLUDE_NO);
	/* neither path nor name is looked at */
	assert_int_equal(vu_exclude_file(x, &lib, NULL, NULL), VU_EXCLUDE_NO);
	vu_exclude_enter(x, &lib, NULL, NULL, &lib);
	assert_true(lib.files_same);
	vu_exclude_enter(x, &root, "", "etc", &etc);
	assert_true(etc.files_same && etc.dirs_same);
	assert_int_equal(etc.verdict, VU_EXCLUDE_YES);
	assert_int_equal(vu_exclude_file(x, &etc, NULL, NULL), VU_EXCLUDE_YES);
	vu_exclude_enter(x, &root, "", "opt", &opt);
	assert_true(opt.files_same && opt.dirs_same);
	vu_exclude_free(x);
}

static void no_rules(void **state)
{
	struct vu_exclude *x = make(NULL, NULL);
	struct vu_exclude_dir root;

	(void)state;
	vu_exclude_root(x, &root);
	assert_true(root.files_same && root.dirs_same);
	assert_int_equal(vu_exclude_match(x, "a/b", false, NULL), VU_EXCLUDE_NO);
	vu_exclude_free(x);
	assert_null(vu_exclude_free(NULL));
}

/* The pattern language said again, as plainly as can be: by trying everything. */
static bool naive(const char *p, const char *s, bool at_start)
{
	if (p[0] == '*' && p[1] == '*') {
		const char *q = p + strspn(p, "*");

		if (at_start && *q == '/') {
			if (naive(q + 1, s, true))
				return true;
			for (; *s; s++)
				if (*s == '/' && naive(q + 1, s + 1, true))
					return true;
			return false;
		}
		for (;; s++) {
			if (naive(q, s, false))
				return true;
			if (!*s)
				return false;
		}
	}
	if (p[0] == '*') {
		for (;; s++) {
			if (naive(p + 1, s, false))
				return true;
			if (!*s || *s == '/')
				return false;
		}
	}
	if (!*p || !*s)
		return !*p && !*s;
	return (*p == '?' ? *s != '/' : *p == *s) && naive(p + 1, s + 1, *p == '/');
}

static bool naive_rule(const char *rule, const char *path, bool is_dir)
{
	char p[64], *pattern = p;

	strcpy(p, rule + 8);
	size_t n = strlen(p);

	if (n > 1 && p[n - 1] == '/') {
		if (!is_dir)
			return false;
		p[n - 1] = 0;
	}
	if (*p == '/')
		return naive(p + 1, path, true);
	if (strchr(p, '/')) {
		char any[80];

		snprintf(any, sizeof(any), "**/%s", p);
		return naive(any, path, true);
	}
	const char *slash = strrchr(path, '/');

	return *path && naive(pattern, slash ? slash + 1 : path, true);
}

/* The first rule that matches the path or a directory above it. */
static bool naive_excluded(char **rules, const char *path, bool is_dir)
{
	for (; *rules; rules++) {
		char part[64] = "";

		if (naive_rule(*rules, "", !*path ? is_dir : true))
			return **rules == 'e';
		for (const char *p = path; *p; p++) {
			strncat(part, p, 1);
			if ((p[1] == '/' || !p[1]) &&
			    naive_rule(*rules, part, p[1] == '/' || is_dir))
				return **rules == 'e';
		}
	}
	return false;
}

static void random_rule(char *rule)
{
	static const char *const bit[] = {"a", "b", "*", "**", "?", "/", "/", "a"};
	struct vu_exclude_error e;

	do {
		strcpy(rule, rand() % 2 ? "exclude " : "include ");
		for (int i = rand() % 7 + 1; i; i--)
			strcat(rule, bit[rand() % 8]);
	} while (vu_exclude_check(rule, &e));
}

struct random {
	struct vu_exclude *x;
	char **rules;
	unsigned n_skipped; /* excluded directories whose inside was looked at all the same */
};

/* All paths of the letters a and b down to some depth, as the walk would meet them. */
static void try_below(struct random *r, const struct vu_exclude_dir *dir, const char *path,
		      int depth)
{
	static const char *const names[] = {"a", "b", "ab", "ba"};

	assert_int_equal(dir->verdict != VU_EXCLUDE_NO, naive_excluded(r->rules, path, true));
	assert_int_equal(dir->verdict, vu_exclude_match(r->x, path, true, NULL));
	for (size_t i = 0; i < VU_ARRAY_SIZE(names) && depth; i++) {
		char child[64];
		struct vu_exclude_dir sub;

		snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", names[i]);
		bool file = vu_exclude_file(r->x, dir, path, names[i]) != VU_EXCLUDE_NO;

		if (file != naive_excluded(r->rules, child, false))
			fail_msg("%s, rules %s, %s, %s", child, r->rules[0], r->rules[1],
				 r->rules[2]);
		assert_int_equal(file, vu_exclude_match(r->x, child, false, NULL));
		vu_exclude_enter(r->x, dir, path, names[i], &sub);
		try_below(r, &sub, child, depth - 1);
		if (dir->verdict == VU_EXCLUDE_YES) {
			r->n_skipped++;
			assert_true(file && sub.verdict == VU_EXCLUDE_YES);
		}
	}
}

static void random_rules_against_the_plain_reading(void **state)
{
	struct random r = {0};

	(void)state;
	srand(1);
	for (int i = 0; i < 4000; i++) {
		char text[3][64];
		char *rules[] = {text[0], text[1], text[2], NULL};
		struct vu_exclude_dir root;

		for (int j = 0; j < 3; j++)
			random_rule(text[j]);
		r.rules = rules;
		r.x = make(NULL, rules);
		vu_exclude_root(r.x, &root);
		try_below(&r, &root, "", 4);
		vu_exclude_free(r.x);
	}
	assert_true(r.n_skipped > 1000);
}

/* Would not end in this universe if the matcher tried everything. */
static void no_exponential_time(void **state)
{
	char path[20001], pattern[300] = "/";

	(void)state;
	for (int i = 0; i < 20; i++)
		strcat(pattern, i % 4 == 3 ? "a**a*" : "a*a*");
	strcat(pattern, "b");
	for (size_t i = 0; i < sizeof(path) - 1; i++)
		path[i] = i % 250 == 249 ? '/' : 'a';
	path[sizeof(path) - 2] = 'a';
	path[sizeof(path) - 1] = 0;
	assert_false(one(pattern, path, false));
}

static void lock_files(void **state)
{
	static const char *const yes[] = {"lock",   "LOCK",  "lock-frontend", ".lock",
					  "a.lock", "x.lck", "sshd.pid",      ".#x"};
	static const char *const no[] = {"locks", "Lock",   "block",   "a.lock.bak", "pid",
					 "lck",	  "lock.c", "padlock", "#x",	     ""};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(yes); i++)
		assert_true(vu_exclude_lock_file(yes[i]));
	for (size_t i = 0; i < VU_ARRAY_SIZE(no); i++)
		assert_false(vu_exclude_lock_file(no[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns),
		cmocka_unit_test(bad_rules),
		cmocka_unit_test(first_match_wins_and_guest_first),
		cmocka_unit_test(only_what_can_match_is_entered),
		cmocka_unit_test(most_directories_need_no_comparison),
		cmocka_unit_test(no_rules),
		cmocka_unit_test(random_rules_against_the_plain_reading),
		cmocka_unit_test(no_exponential_time),
		cmocka_unit_test(lock_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

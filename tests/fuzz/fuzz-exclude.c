/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules: those of the guest, one a line, an empty line, those of the configuration, an empty line, and a
 * path. What compiles decides as the pattern language says, told again here by trying everything, and
 * the walk's way (directory by directory) gives what the question's way (the whole path) does.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "scan/exclude.h"

#define RULES 8
#define BYTES 48

static const char *pattern_end, *path_end;
static int8_t known[BYTES + 8][BYTES + 1][2];
static const char *pattern_begin, *path_begin;

static bool matches(const char *p, const char *s, bool at_start);

/* Any number of bytes (dirs: of whole directories) and then q. */
static bool matches_after(const char *q, const char *s, bool slashes)
{
	for (;; s++) {
		if (matches(q, s, false))
			return true;
		if (s == path_end || (!slashes && *s == '/'))
			return false;
	}
}

static bool matches_below(const char *q, const char *s)
{
	if (matches(q, s, true))
		return true;
	for (; s < path_end; s++)
		if (*s == '/' && matches(q, s + 1, true))
			return true;
	return false;
}

static bool in_set(const char **p, char ch)
{
	unsigned char c = (unsigned char)ch;
	const char *q = *p + 1;
	bool negate = *q == '!' || *q == '^', hit = false;

	q += negate;
	for (const char *first = q; q == first || *q != ']';) {
		unsigned char from, to;

		q += *q == '\\';
		from = to = (unsigned char)*q++;
		if (*q == '-' && q[1] != ']') {
			q += q[1] == '\\' ? 2 : 1;
			to = (unsigned char)*q++;
		}
		hit |= from <= c && c <= to;
	}
	*p = q + 1;
	return hit != negate && c != '/';
}

static bool try(const char *p, const char *s, bool at_start)
{
	if (p == pattern_end)
		return s == path_end;
	if (*p == '*') {
		const char *q = p;

		while (q < pattern_end && *q == '*')
			q++;
		if (q - p > 1 && at_start && q < pattern_end && *q == '/')
			return matches_below(q + 1, s);
		return matches_after(q, s, q - p > 1);
	}
	if (s == path_end)
		return false;
	if (*p == '[')
		return in_set(&p, *s) && matches(p, s + 1, false);
	if (*p == '?')
		return *s != '/' && matches(p + 1, s + 1, false);
	p += *p == '\\';
	return *p == *s && matches(p + 1, s + 1, *p == '/');
}

static bool matches(const char *p, const char *s, bool at_start)
{
	int8_t *k = &known[p - pattern_begin][s - path_begin][at_start];

	if (!*k)
		*k = try(p, s, at_start) ? 1 : -1;
	return *k > 0;
}

/* Does the rule match this very path? */
static bool rule_matches(const char *rule, const char *path, size_t len, bool is_dir)
{
	char pattern[BYTES + 8];
	const char *p = rule + 8, *last = path;
	size_t n = strlen(p);
	bool anchored = *p == '/';

	p += anchored;
	n -= anchored;
	/* the '/' of "\/" cannot be the last byte: such a rule is refused */
	if (n && p[n - 1] == '/') {
		if (!is_dir)
			return false;
		n--;
	}
	bool whole = anchored || memchr(p, '/', n);

	for (const char *s = path; s < path + len; s++)
		if (*s == '/')
			last = s + 1;
	if (!whole && !len)
		return false;
	snprintf(pattern, sizeof(pattern), "%s%.*s", whole && !anchored ? "**/" : "", (int)n, p);
	memset(known, 0, sizeof(known));
	pattern_begin = pattern;
	pattern_end = pattern + strlen(pattern);
	path_begin = whole ? path : last;
	path_end = path + len;
	return matches(pattern, path_begin, true);
}

/* The first rule that matches the path or what is above it decides. */
static bool naive(char *const *rules, const char *path, bool is_dir)
{
	size_t len = strlen(path);

	for (; *rules; rules++)
		for (size_t n = 0; n <= len; n++) {
			bool whole = n == len;

			if ((whole || path[n] == '/' || !n) &&
			    rule_matches(*rules, path, n, !whole || is_dir))
				return (*rules)[0] == 'e';
		}
	return false;
}

/* The walk's way: each directory entered from the one above it. */
static enum vu_exclude_verdict walk(const struct vu_exclude *x, const char *path, bool is_dir)
{
	char dir[BYTES + 1] = "", name[BYTES + 1];
	struct vu_exclude_dir d;

	vu_exclude_root(x, &d);
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		memcpy(name, p, n);
		name[n] = 0;
		if (!p[n] && !is_dir)
			return vu_exclude_file(x, &d, dir, name);
		/* what need not be entered excludes all below */
		if (d.verdict == VU_EXCLUDE_YES)
			return VU_EXCLUDE_YES;
		vu_exclude_enter(x, &d, dir, name, &d);
		memcpy(dir, path, (size_t)(p + n - path));
		dir[p + n - path] = 0;
		p += n + (p[n] == '/');
	}
	return d.verdict;
}

static bool is_path(const char *s)
{
	return strlen(s) <= BYTES && *s != '/' && !strstr(s, "//") &&
	       (!*s || s[strlen(s) - 1] != '/');
}

static size_t take_rules(struct input *in, char **rules)
{
	size_t n = 0;
	char *s;

	while (in->n && (s = take_until(in, '\n'))) {
		if (!*s || n == RULES || strlen(s) > BYTES) {
			free(s);
			break;
		}
		rules[n++] = s;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	char *rules[2 * RULES + 1] = {0}, *config[RULES + 1] = {0};
	bool is_dir = take_byte(&in) & 1;
	size_t n = take_rules(&in, rules), m = take_rules(&in, config);
	_cleanup_free_ char *path = take_until(&in, 0);
	struct vu_exclude *x = NULL;
	struct vu_exclude_error e = {0};
	const char *rule = NULL;
	int r = vu_exclude_new(rules, config, &x, &e);

	is_dir = is_dir || !*path; /* the root */
	CHECK(r == 0 || (r == VU_EXCLUDE_BAD && e.rule && strstr(e.why, "allowed")));
	for (size_t i = 0; i < m; i++)
		rules[n + i] = config[i];
	if (!r && is_path(path)) {
		bool want = naive(rules, path, is_dir);
		enum vu_exclude_verdict v = vu_exclude_match(x, path, is_dir, &rule);

		CHECK((v != VU_EXCLUDE_NO) == want);
		CHECK(!want || rule);
		CHECK((walk(x, path, is_dir) != VU_EXCLUDE_NO) == want);
	}
	vu_exclude_free(x);
	for (size_t i = 0; i < n + m; i++)
		free(rules[i]);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "The first rule that matches the path or a directory above it" is carried down as a number: the
 * smallest rule met so far. Below that directory only rules before it can still change anything, so
 * the deeper the walk, the fewer rules are asked; and a directory where none of them can match a name
 * says so, and its names are not compared at all.
 *
 * Patterns are the admin's, but names are the guest's: the matcher must not take exponential time.
 * It keeps one place to go back to for '*' and one for '**': when a second star of a kind is reached,
 * whatever an earlier one could still match is matched by the later one as well ('*' ends at '/', and
 * where a pattern has a '/' between two of them, there is only one place for the first to end). So
 * the time is bounded by pattern * text for '*', and once more by text for '**'.
 */
#include "scan/exclude.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum kind {
	KIND_NAME,	  /* literal, the last component */
	KIND_NAME_SUFFIX, /* '*' and a literal, the last component */
	KIND_NAME_GLOB,	  /* the last component */
	KIND_PATH,	  /* literal, the whole path */
	KIND_PATH_GLOB,	  /* the whole path */
};

struct rule {
	char *text;    /* owned; as given */
	char *pattern; /* owned; without slashes at its ends, literals without '\' */
	size_t len;
	uint32_t n_comps;  /* components of the pattern; 0: the root */
	uint32_t n_single; /* components before the first that holds a double star */
	enum kind kind;
	bool include;
	bool dir_only;
};

struct vu_exclude {
	struct rule *rules; /* owned */
	uint32_t n;
};

#define RULES_MAX (UINT32_C(1) << 20)

/* A path in two parts, so that none has to be put together: dir '/' name; dir_len 0: name alone. */
struct text {
	const char *dir;
	const char *name;
	size_t dir_len;
	size_t name_len;
	size_t len;
};

static struct text text_of(const char *dir, const char *name)
{
	struct text t = {.dir = dir, .name = name};

	t.dir_len = strlen(dir);
	t.name_len = strlen(name);
	t.len = t.dir_len ? t.dir_len + 1 + t.name_len : t.name_len;
	return t;
}

static inline char text_at(const struct text *t, size_t i)
{
	if (!t->dir_len)
		return t->name[i];
	if (i < t->dir_len)
		return t->dir[i];
	return i == t->dir_len ? '/' : t->name[i - t->dir_len - 1];
}

/* The end of the first n components of t, and how many there are if fewer. */
static size_t text_prefix(const struct text *t, uint32_t n, uint32_t *ret_n)
{
	uint32_t seen = 0;
	size_t i = 0;

	for (; i < t->len && seen < n; i++)
		if (text_at(t, i) == '/' && ++seen == n)
			break;
	if (i == t->len && t->len && seen < n)
		seen++;
	*ret_n = seen;
	return i;
}

/* The set at p ('[' itself). Returns what follows it; *ret_hit: c is in it. p was checked. */
static const char *match_set(const char *p, unsigned char c, bool *ret_hit)
{
	bool negate = p[1] == '!' || p[1] == '^', hit = false;

	p += negate ? 2 : 1;
	for (bool first = true; first || *p != ']'; first = false) {
		unsigned char lo, hi;

		p += *p == '\\';
		lo = hi = (unsigned char)*p++;
		if (p[0] == '-' && p[1] != ']') {
			p += p[1] == '\\' ? 2 : 1;
			hi = (unsigned char)*p++;
		}
		hit |= lo <= c && c <= hi;
	}
	*ret_hit = hit != negate && c != '/';
	return p + 1;
}

/* One byte against the pattern at p. Returns what follows in the pattern, or NULL: no match. */
static const char *match_one(const char *p, char c)
{
	bool hit;

	switch (*p) {
	case '?':
		return c == '/' ? NULL : p + 1;
	case '[':
		p = match_set(p, (unsigned char)c, &hit);
		return hit ? p : NULL;
	case '\\':
		p++;
		break;
	}
	return *p == c ? p + 1 : NULL;
}

struct star {
	const char *p; /* what follows the star in the pattern, NULL: no star yet */
	size_t i;      /* where in the text that was tried last */
	bool dirs;     /* star-star-slash: only whole directories are skipped */
};

/* Takes the stars at *p (before end, inside the pattern that begins at begin); false: there are none. */
static bool take_stars(const char *begin, const char **p, const char *end, size_t i,
		       struct star *one, struct star *two)
{
	const char *q = *p;

	while (q < end && *q == '*')
		q++;
	if (q == *p)
		return false;
	if (q - *p == 1) {
		*one = (struct star){q, i, false};
	} else {
		bool dirs = q < end && *q == '/' && (*p == begin || (*p)[-1] == '/');

		q += dirs;
		*two = (struct star){q, i, dirs};
		*one = (struct star){0};
	}
	*p = q;
	return true;
}

/* Lets a star match more of the text; false: it cannot. */
static bool extend(const struct text *t, size_t from, size_t len, struct star *s)
{
	if (!s->p)
		return false;
	if (!s->dirs) {
		s->i++;
		return s->i <= len;
	}
	while (s->i < len && text_at(t, from + s->i) != '/')
		s->i++;
	s->i++;
	return s->i < len;
}

/* Does the pattern p .. end match len bytes of the text from from on? */
static bool glob(const char *p, const char *end, const struct text *t, size_t from, size_t len)
{
	const char *begin = p, *next;
	struct star one = {0}, two = {0};
	size_t i = 0;

	while (i < len || p < end) {
		if (p < end && take_stars(begin, &p, end, i, &one, &two))
			continue;
		next = p < end && i < len ? match_one(p, text_at(t, from + i)) : NULL;
		if (next) {
			p = next;
			i++;
		} else if (one.p && one.i < len && text_at(t, from + one.i) != '/') {
			i = ++one.i;
			p = one.p;
		} else if (extend(t, from, len, &two)) {
			one = (struct star){0};
			i = two.i;
			p = two.p;
		} else {
			return false;
		}
	}
	return true;
}

/* Do the first t->len bytes of the literal pattern, which has at least so many, equal the text? */
static bool literal_begins(const struct rule *r, const struct text *t)
{
	const char *name = r->pattern + t->len - t->name_len;

	return !memcmp(name, t->name, t->name_len) && (!t->dir_len || name[-1] == '/') &&
	       !memcmp(r->pattern, t->dir, t->dir_len);
}

/* Does the rule match this very path? Directories above it were asked on the way down. */
static bool rule_matches(const struct rule *r, const struct text *t, bool is_dir)
{
	const char *end = r->pattern + r->len;

	if ((r->dir_only && !is_dir) || (!t->name_len && r->kind < KIND_PATH))
		return false;
	switch (r->kind) {
	case KIND_NAME:
		return r->len == t->name_len && !memcmp(r->pattern, t->name, r->len);
	case KIND_NAME_SUFFIX:
		return r->len <= t->name_len &&
		       !memcmp(r->pattern, t->name + t->name_len - r->len, r->len);
	case KIND_NAME_GLOB:
		return glob(r->pattern, end, t, t->len - t->name_len, t->name_len);
	case KIND_PATH:
		return r->len == t->len && literal_begins(r, t);
	case KIND_PATH_GLOB:
		return glob(r->pattern, end, t, 0, t->len);
	}
	return false;
}

enum below {
	BELOW_NEVER,
	BELOW_DEEPER,
	BELOW_CHILD
};

static enum below literal_below(const struct rule *r, const struct text *t)
{
	if (t->len >= r->len || (t->len && r->pattern[t->len] != '/') || !literal_begins(r, t))
		return BELOW_NEVER;
	return strchr(r->pattern + t->len + (t->len > 0), '/') ? BELOW_DEEPER : BELOW_CHILD;
}

/* The end of the first n components of the pattern; n is not 0. */
static const char *pattern_prefix(const struct rule *r, uint32_t n)
{
	const char *p = r->pattern, *end = p + r->len;

	for (; p < end; p++)
		if (*p == '/' && --n == 0)
			break;
	return p;
}

/* Where below the directory t could the rule match: among its children, only deeper, never? */
static enum below may_match_below(const struct rule *r, const struct text *t)
{
	uint32_t depth, single;

	if (r->kind < KIND_PATH)
		return BELOW_CHILD;
	if (r->kind == KIND_PATH)
		return literal_below(r, t);
	size_t end = text_prefix(t, r->n_single, &single);

	if (single && !glob(r->pattern, pattern_prefix(r, single), t, 0, end))
		return BELOW_NEVER;
	if (r->n_single < r->n_comps && single == r->n_single)
		return BELOW_CHILD; /* a double star reaches down to here */
	text_prefix(t, UINT32_MAX, &depth);
	if (depth >= r->n_comps)
		return BELOW_NEVER;
	return depth + 1 == r->n_comps ? BELOW_CHILD : BELOW_DEEPER;
}

static void describe(const struct vu_exclude *x, uint32_t rule, const struct text *t,
		     struct vu_exclude_dir *ret)
{
	bool excluded = rule < x->n && !x->rules[rule].include, enter = false;
	struct vu_exclude_dir d = {.rule = rule, .files_same = true, .dirs_same = true};

	for (uint32_t i = 0; i < rule; i++) {
		const struct rule *r = &x->rules[i];
		enum below below = may_match_below(r, t);

		enter |= r->include && below != BELOW_NEVER;
		if (below == BELOW_CHILD)
			d.files_same &= r->dir_only;
		/* a directory on the way to a match has to be told from one beside it */
		d.dirs_same &= below == BELOW_NEVER;
	}
	d.files = excluded ? VU_EXCLUDE_YES : VU_EXCLUDE_NO;
	d.verdict = excluded && enter ? VU_EXCLUDE_YES_ENTER : d.files;
	*ret = d;
}

/* The first rule that matches t itself, if one before the rule `before` does; else `before`. */
static uint32_t first_match(const struct vu_exclude *x, uint32_t before, const struct text *t,
			    bool is_dir)
{
	for (uint32_t i = 0; i < before; i++)
		if (rule_matches(&x->rules[i], t, is_dir))
			return i;
	return before;
}

void vu_exclude_root(const struct vu_exclude *x, struct vu_exclude_dir *ret_dir)
{
	struct text t = text_of("", "");

	describe(x, first_match(x, x->n, &t, true), &t, ret_dir);
}

void vu_exclude_enter(const struct vu_exclude *x, const struct vu_exclude_dir *dir,
		      const char *path, const char *name, struct vu_exclude_dir *ret_dir)
{
	if (dir->dirs_same) {
		*ret_dir = *dir;
		return;
	}
	struct text t = text_of(path, name);

	describe(x, first_match(x, dir->rule, &t, true), &t, ret_dir);
}

enum vu_exclude_verdict vu_exclude_file_slow(const struct vu_exclude *x,
					     const struct vu_exclude_dir *dir, const char *path,
					     const char *name)
{
	struct text t = text_of(path, name);
	uint32_t rule = first_match(x, dir->rule, &t, false);

	return rule < x->n && !x->rules[rule].include ? VU_EXCLUDE_YES : VU_EXCLUDE_NO;
}

enum vu_exclude_verdict vu_exclude_match(const struct vu_exclude *x, const char *relpath,
					 bool is_dir, const char **ret_rule)
{
	struct text t = text_of("", "");
	struct vu_exclude_dir d;
	uint32_t rule = first_match(x, x->n, &t, true);

	for (const char *p = relpath; *p;) {
		const char *slash = strchrnul(p, '/');

		t = (struct text){.dir = relpath, .name = p};
		t.dir_len = p == relpath ? 0 : (size_t)(p - relpath - 1);
		t.name_len = (size_t)(slash - p);
		t.len = (size_t)(slash - relpath);
		rule = first_match(x, rule, &t, *slash || is_dir);
		p = *slash ? slash + 1 : slash;
	}
	describe(x, rule, &t, &d);
	if (ret_rule)
		*ret_rule = rule < x->n ? x->rules[rule].text : NULL;
	return is_dir ? d.verdict : d.files;
}

/* The ']' of the set that begins at p ('['), or NULL. */
static const char *end_of_set(const char *p, const char **ret_why)
{
	p += p[1] == '!' || p[1] == '^' ? 2 : 1;
	for (bool first = true; *p && (first || *p != ']'); first = false, p++) {
		p += p[0] == '\\' && p[1];
		if (*p == '/') {
			*ret_why = "'/' in [...]: allowed is any other byte";
			return NULL;
		}
	}
	*ret_why = "'[' without ']': allowed is a set [...], or \\[ for the byte itself";
	return *p ? p : NULL;
}

/* The next element of the pattern, where p is not its end; NULL: it is wrong, and *ret_why says why. */
static const char *next_element(const char *p, const char **ret_why)
{
	switch (*p) {
	case '\\':
		*ret_why = "'\\' at the end or before '/': allowed is \\ and any other byte";
		return !p[1] || p[1] == '/' ? NULL : p + 2;
	case '[':
		p = end_of_set(p, ret_why);
		return p ? p + 1 : NULL;
	case '/':
		*ret_why = "\"//\": allowed is a single '/' between names";
		return p[1] == '/' ? NULL : p + 1;
	default:
		return p + 1;
	}
}

static bool is_dots(const char *p)
{
	size_t n = strcspn(p, "/");

	return (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.');
}

/* NULL when it is a pattern, else why not. */
static const char *check_pattern(const char *p)
{
	const char *why = NULL, *begin = p;

	if (!*p)
		return "no pattern: allowed is \"exclude PATTERN\" or \"include PATTERN\"";
	if (strlen(p) > VU_EXCLUDE_PATTERN_MAX)
		return "pattern too long: allowed are 4095 bytes";
	while (*p) {
		if ((p == begin || p[-1] == '/') && is_dots(p))
			return "\".\" or \"..\": allowed are names, seen from the guest's root";
		p = next_element(p, &why);
		if (!p)
			return why;
	}
	return NULL;
}

static const char *pattern_of(const char *rule, bool *ret_include)
{
	*ret_include = !strncmp(rule, "include ", 8);
	return *ret_include || !strncmp(rule, "exclude ", 8) ? rule + 8 : NULL;
}

int vu_exclude_check(const char *rule, struct vu_exclude_error *ret_err)
{
	bool include;
	const char *pattern = pattern_of(rule, &include);
	const char *why = check_pattern(pattern ? pattern : "");

	if (!why)
		return 0;
	*ret_err = (struct vu_exclude_error){.rule = rule, .why = why};
	return VU_EXCLUDE_BAD;
}

/* Counts components, those before a double star, and tells whether the pattern is a literal. */
static bool measure(struct rule *r)
{
	bool literal = true, twice = false;
	const char *why;

	r->n_comps = r->len > 0;
	r->n_single = 0;
	for (const char *p = r->pattern, *end = p + r->len; p < end; p = next_element(p, &why)) {
		literal &= *p != '*' && *p != '?' && *p != '[';
		twice |= p[0] == '*' && p[1] == '*';
		if (*p == '/') {
			r->n_single += !twice;
			r->n_comps++;
		}
	}
	r->n_single += r->len && !twice;
	return literal;
}

static void unescape(struct rule *r)
{
	char *to = r->pattern;

	for (const char *p = r->pattern; *p; p++) {
		p += *p == '\\';
		*to++ = *p;
	}
	*to = 0;
	r->len = (size_t)(to - r->pattern);
}

/* A star and a literal: compared from the end. */
static bool is_suffix(const struct rule *r)
{
	return r->pattern[0] == '*' && !strpbrk(r->pattern + 1, "*?[\\");
}

/* Compiles a rule that was checked. */
static int compile(const char *text, struct rule *r)
{
	const char *p = text + strlen("exclude "); /* "include " is as long */
	size_t n = strlen(p);
	bool anchored = *p == '/';

	p += anchored;
	n -= anchored;
	r->dir_only = n && p[n - 1] == '/';
	n -= r->dir_only;
	bool path = anchored || memchr(p, '/', n);

	r->include = *text == 'i';
	r->text = strdup(text);
	if (asprintf(&r->pattern, "%s%.*s", path && !anchored ? "**/" : "", (int)n, p) < 0)
		r->pattern = NULL;
	if (!r->text || !r->pattern)
		return -ENOMEM;
	r->len = strlen(r->pattern);
	if (measure(r)) {
		unescape(r);
		r->kind = path ? KIND_PATH : KIND_NAME;
	} else if (!path && is_suffix(r)) {
		memmove(r->pattern, r->pattern + 1, r->len--);
		r->kind = KIND_NAME_SUFFIX;
	} else {
		r->kind = path ? KIND_PATH_GLOB : KIND_NAME_GLOB;
	}
	return 0;
}

static int count(char *const *rules, size_t *n, struct vu_exclude_error *ret_err)
{
	for (; rules && *rules; rules++, ++*n)
		if (vu_exclude_check(*rules, ret_err))
			return VU_EXCLUDE_BAD;
	return 0;
}

static int add_all(struct vu_exclude *x, char *const *rules)
{
	int r = 0;

	for (; rules && *rules && !r; rules++)
		r = compile(*rules, &x->rules[x->n++]);
	return r;
}

static void exclude_free_p(struct vu_exclude **x)
{
	vu_exclude_free(*x);
}

int vu_exclude_new(char *const *guest_rules, char *const *config_rules, struct vu_exclude **ret_x,
		   struct vu_exclude_error *ret_err)
{
	vu_cleanup(exclude_free_p) struct vu_exclude *x = NULL;
	size_t n = 0;
	int r = count(guest_rules, &n, ret_err);

	if (!r)
		r = count(config_rules, &n, ret_err);
	if (r)
		return r;
	if (n > RULES_MAX)
		return -E2BIG;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->rules = calloc(n + 1, sizeof(*x->rules));
	if (!x->rules)
		return -ENOMEM;
	r = add_all(x, guest_rules);
	if (!r)
		r = add_all(x, config_rules);
	if (r)
		return r;
	*ret_x = vu_take_ptr(x);
	return 0;
}

struct vu_exclude *vu_exclude_free(struct vu_exclude *x)
{
	if (!x)
		return NULL;
	for (uint32_t i = 0; i < x->n; i++) {
		free(x->rules[i].text);
		free(x->rules[i].pattern);
	}
	free(x->rules);
	free(x);
	return NULL;
}

bool vu_exclude_lock_file(const char *name)
{
	static const char *const suffixes[] = {".lock", ".lck", ".pid"};
	size_t n = strlen(name);

	if (!strncmp(name, ".#", 2) || !strcmp(name, "lock") || !strcmp(name, "LOCK") ||
	    !strcmp(name, "lock-frontend"))
		return true;
	for (size_t i = 0; i < VU_ARRAY_SIZE(suffixes); i++) {
		size_t len = strlen(suffixes[i]);

		if (n >= len && !memcmp(name + n - len, suffixes[i], len))
			return true;
	}
	return false;
}

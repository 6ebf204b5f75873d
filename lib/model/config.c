/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inih splits lines into section, key and value; everything that decides is here. Lines come from a
 * reader of our own: it counts them (inih tells its handler no line number), refuses what inih would
 * silently cut or misread (long lines, control characters, unknown sections without keys), and takes
 * indentation away, which inih would otherwise read as "more of the key above".
 *
 * Rules: first match wins, so those of the files stand before the built-in ones, in the order in which
 * they were read; `exclude =` drops all before it, the built-in ones included.
 */
#include "model/config.h"

#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "model/reset.h"
#include "model/size.h"
#include "model/strings.h"

#ifndef VU_SYSCONFDIR
#define VU_SYSCONFDIR "/etc"
#endif
#define DEFAULT_FILE VU_SYSCONFDIR "/vunify/vunify.conf"
#define LINE_MAX_BYTES 200 /* Debian's INI_MAX_LINE, with its NUL: one less fits */

static const char *const default_rules[] = {
	"exclude /etc", "exclude /var",	 "exclude /home", "exclude /root",
	"exclude /tmp", "exclude /run",	 "exclude /srv",  "exclude /boot",
	"exclude /dev", "exclude /proc", "exclude /sys",
};

struct parse {
	struct vu_config *c;
	struct vu_config_error *err;
	const char *file;
	FILE *f;
	unsigned line;
	unsigned size_line; /* where min_size or max_size was last set */
	char *size_file;    /* owned */
	bool drop_defaults; /* `exclude =` was met */
	const char *(*rule_wrong)(const char *rule);
	bool bad;  /* err is filled */
	int fatal; /* negative errno */
};

enum kind {
	KIND_SIZE,
	KIND_COUNT,
	KIND_CHOICE,
	KIND_PATH,
	KIND_RULE,
	KIND_RESET,
	KIND_DOMAIN
};

struct key {
	const char *section;
	const char *name;
	enum kind kind;
	size_t offset; /* of the field in struct vu_config */
	size_t bytes;  /* of the field */
	uint64_t min;
	uint64_t max;
	const char *choice[3]; /* the words for 0, 1 and 2 */
};

#define FIELD(f) offsetof(struct vu_config, f), sizeof(((struct vu_config *)0)->f)

static const struct key keys[] = {
	{"policy", "min_size", KIND_SIZE, FIELD(min_size), 1, INT64_MAX, {0}},
	{"policy", "max_size", KIND_SIZE, FIELD(max_size), 1, INT64_MAX, {0}},
	{"policy", "mtime", KIND_CHOICE, FIELD(mtime_exact), 0, 1, {"ignore", "exact"}},
	{"policy", "unify_setid", KIND_CHOICE, FIELD(unify_setid), 0, 1, {"no", "yes"}},
	{"policy", "mode", KIND_CHOICE, FIELD(mode), 0, 1, {"link", "reflink"}},
	{"policy", "moment", KIND_CHOICE, FIELD(moment), 0, 2, {"auto", "freeze", "lease"}},
	{"policy", "exclude", KIND_RULE, FIELD(exclude), 0, 0, {0}},
	{"policy", "include", KIND_RULE, FIELD(exclude), 0, 0, {0}},
	{"policy", "trust_domain", KIND_DOMAIN, FIELD(trust_domains), 0, 0, {0}},
	{"scan", "jobs", KIND_COUNT, FIELD(jobs), 0, 1024, {0}},
	{"limits", "max_depth", KIND_COUNT, FIELD(max_depth), 1, 1000000, {0}},
	{"limits", "max_files", KIND_COUNT, FIELD(max_files), 1, 1000000000, {0}},
	{"limits", "max_xattr_bytes", KIND_SIZE, FIELD(max_xattr_bytes), 0, 1 << 30, {0}},
	{"limits", "max_package_db_bytes", KIND_SIZE, FIELD(max_package_db_bytes), 0, 1 << 30, {0}},
	{"limits", "max_cow_breaks", KIND_COUNT, FIELD(max_cow_breaks), 0, 1000000, {0}},
	{"limits", "max_cow_bytes", KIND_SIZE, FIELD(max_cow_bytes), 0, INT64_MAX, {0}},
	{"limits", "max_import_bytes", KIND_SIZE, FIELD(max_import_bytes), 1, INT64_MAX, {0}},
	{"limits", "max_import_ratio", KIND_COUNT, FIELD(max_import_ratio), 1, 1000000, {0}},
	{"clone", "truncate", KIND_RESET, FIELD(reset), 0, 0, {0}},
	{"clone", "remove", KIND_RESET, FIELD(reset), 0, 0, {0}},
	{"paths", "catalog", KIND_PATH, FIELD(catalog), 0, 0, {0}},
	{"paths", "lock_dir", KIND_PATH, FIELD(lock_dir), 0, 0, {0}},
};

static int add_default_rules(struct vu_config *c)
{
	int r = 0;

	for (size_t i = 0; i < VU_ARRAY_SIZE(default_rules) && !r; i++)
		r = vu_strings_add(&c->exclude, "", default_rules[i]);
	return r;
}

static int add_default_reset(struct vu_config *c)
{
	int r = vu_strings_clear(&c->reset);

	for (const char *const *d = vu_reset_defaults; *d && !r; d++)
		r = vu_strings_add(&c->reset, "", *d);
	return r;
}

/* The defaults, but for the rules. */
static int begin(struct vu_config *c)
{
	*c = (struct vu_config){
		.min_size = 1,
		.max_size = UINT64_C(16) << 40,
		.mtime_exact = true,
		.mode = VU_MODE_LINK,
		.max_depth = 4096,
		.max_files = 10000000,
		.max_xattr_bytes = 1 << 20,
		.max_package_db_bytes = 64 << 20,
		.max_import_bytes = UINT64_C(1) << 40,
		.max_import_ratio = 250,
		.catalog = strdup("/var/lib/vunify/catalog.db"),
		.lock_dir = strdup("/run/vunify"),
	};
	if (!c->catalog || !c->lock_dir || vu_strings_clear(&c->exclude) ||
	    vu_strings_clear(&c->trust_domains) || add_default_reset(c)) {
		vu_config_done(c);
		return -ENOMEM;
	}
	return 0;
}

int vu_config_default(struct vu_config *ret_c)
{
	struct vu_config c;
	int r = begin(&c);

	r = r ? r : add_default_rules(&c);
	if (r)
		vu_config_done(&c);
	else
		*ret_c = c;
	return r;
}

void vu_config_done(struct vu_config *c)
{
	vu_strings_free(c->exclude);
	vu_strings_free(c->trust_domains);
	vu_strings_free(c->reset);
	free(c->catalog);
	free(c->lock_dir);
	*c = (struct vu_config){0};
}

void vu_config_error_done(struct vu_config_error *e)
{
	free(e->file);
	free(e->key);
	free(e->why);
	*e = (struct vu_config_error){0};
}

/* Fills p->err, unless there is an error already; why is consumed, NULL meaning no memory. */
static void fail_consume(struct parse *p, const char *file, unsigned line, const char *key,
			 char *why)
{
	if (p->bad || p->fatal || !why) {
		if (!why && !p->fatal)
			p->fatal = -ENOMEM;
		free(why);
		return;
	}
	*p->err = (struct vu_config_error){.line = line, .why = why};
	p->err->file = strdup(file);
	p->err->key = key ? strdup(key) : NULL;
	p->bad = true;
	if (!p->err->file || (key && !p->err->key))
		p->fatal = -ENOMEM;
}

/* Says what is wrong with the line being read; always false, which is what the handler returns. */
__attribute__((format(printf, 3, 4))) static bool fail(struct parse *p, const char *key,
						       const char *format, ...)
{
	char *why = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&why, format, ap) < 0)
		why = NULL;
	va_end(ap);
	fail_consume(p, p->file, p->line, key, why);
	return false;
}

static bool fatal(struct parse *p, int r)
{
	if (r && !p->fatal)
		p->fatal = r;
	return !r;
}

/* The names of all keys of a section, or of all sections, for messages. */
static char *known(const char *section)
{
	char *all = strdup("");

	for (size_t i = 0; i < VU_ARRAY_SIZE(keys) && all; i++) {
		bool again = i && !strcmp(keys[i].section, keys[i - 1].section);
		char *longer = NULL;

		if (section ? strcmp(keys[i].section, section) != 0 : again)
			continue;
		if (asprintf(&longer, "%s%s%s", all, *all ? ", " : "",
			     section ? keys[i].name : keys[i].section) < 0)
			longer = NULL;
		free(all);
		all = longer;
	}
	return all;
}

static void put_number(struct vu_config *c, const struct key *k, uint64_t v)
{
	char *field = (char *)c + k->offset;
	uint32_t v32 = (uint32_t)v;
	uint8_t v8 = (uint8_t)v;

	if (k->bytes == sizeof(v))
		memcpy(field, &v, sizeof(v));
	else if (k->bytes == sizeof(v32))
		memcpy(field, &v32, sizeof(v32));
	else
		memcpy(field, &v8, sizeof(v8));
}

static bool set_number(struct parse *p, const struct key *k, const char *value)
{
	bool size = k->kind == KIND_SIZE;
	uint64_t v;
	int r = vu_size_parse(value, &v);

	if (r == -EINVAL || (!r && !size && value[strspn(value, "0123456789")]))
		return fail(p, k->name, "'%s' is no %s: allowed are digits%s", value,
			    size ? "size" : "number",
			    size ? " with an optional K, M, G or T behind (powers of 1024)" : "");
	if (r || v < k->min || v > k->max)
		return fail(p, k->name, "'%s' is out of range: allowed is %llu to %llu", value,
			    (unsigned long long)k->min, (unsigned long long)k->max);
	put_number(p->c, k, v);
	if (k->offset != offsetof(struct vu_config, min_size) &&
	    k->offset != offsetof(struct vu_config, max_size))
		return true;
	free(p->size_file);
	p->size_file = strdup(p->file);
	p->size_line = p->line;
	return p->size_file ? true : fatal(p, -ENOMEM);
}

static bool set_choice(struct parse *p, const struct key *k, const char *value)
{
	for (unsigned i = 0; i < VU_ARRAY_SIZE(k->choice); i++)
		if (k->choice[i] && !strcmp(value, k->choice[i])) {
			put_number(p->c, k, i);
			return true;
		}
	return fail(p, k->name, "'%s' is not known: allowed are %s%s%s and %s", value, k->choice[0],
		    k->choice[2] ? ", " : "", k->choice[2] ? k->choice[1] : "",
		    k->choice[k->choice[2] ? 2 : 1]);
}

static bool set_path(struct parse *p, const struct key *k, const char *value)
{
	char **field = (char **)(void *)((char *)p->c + k->offset);

	if (*value != '/')
		return fail(p, k->name,
			    "'%s' is no absolute path: allowed is one that begins "
			    "with '/'",
			    value);
	char *copy = strdup(value);

	if (!copy)
		return fatal(p, -ENOMEM);
	free(*field);
	*field = copy;
	return true;
}

static bool add_rule(struct parse *p, const struct key *k, const char *value)
{
	bool exclude = !strcmp(k->name, "exclude");

	if (*value) {
		_cleanup_free_ char *rule = NULL;
		const char *why = NULL;

		if (asprintf(&rule, "%s %s", k->name, value) < 0)
			return fatal(p, -ENOMEM);
		if (p->rule_wrong && (why = p->rule_wrong(rule)))
			return fail(p, k->name, "'%s' is no pattern: %s", value, why);
		return fatal(p, vu_strings_add(&p->c->exclude, "", rule));
	}
	if (!exclude)
		return fail(p, k->name,
			    "empty: allowed is a pattern (`exclude =` is what clears "
			    "the list of rules)");
	p->drop_defaults = true;
	return fatal(p, vu_strings_clear(&p->c->exclude));
}

/* Both keys fill one list, and each clears what is its own. */
static bool add_reset(struct parse *p, const struct key *k, const char *value)
{
	_cleanup_free_ char *prefix = NULL;
	const char *why = *value ? vu_reset_wrong(value) : NULL;

	if (why)
		return fail(p, k->name, "'%s': %s", value, why);
	if (asprintf(&prefix, "%s ", k->name) < 0) {
		prefix = NULL;
		return fatal(p, -ENOMEM);
	}
	if (*value)
		return fatal(p, vu_strings_add(&p->c->reset, prefix, value));
	vu_strings_drop(p->c->reset, prefix);
	return true;
}

/* "" in quotes is the default domain: nothing at all clears the list. */
static bool add_domain(struct parse *p, const struct key *k, const char *value)
{
	if (!*value)
		return fatal(p, vu_strings_clear(&p->c->trust_domains));
	if (strchr(value, '/'))
		return fail(p, k->name,
			    "'%s' is no domain: allowed is a name without '/', or \"\" "
			    "for the default domain",
			    value);
	return fatal(p,
		     vu_strings_add(&p->c->trust_domains, "", strcmp(value, "\"\"") ? value : ""));
}

static bool set(struct parse *p, const struct key *k, const char *value)
{
	switch (k->kind) {
	case KIND_SIZE:
	case KIND_COUNT:
		return set_number(p, k, value);
	case KIND_CHOICE:
		return set_choice(p, k, value);
	case KIND_PATH:
		return set_path(p, k, value);
	case KIND_RULE:
		return add_rule(p, k, value);
	case KIND_RESET:
		return add_reset(p, k, value);
	case KIND_DOMAIN:
		return add_domain(p, k, value);
	}
	return fatal(p, -EINVAL);
}

static bool fail_section(struct parse *p, const char *section)
{
	_cleanup_free_ char *all = known(NULL);

	return fail(p, NULL, "no such section [%s]: allowed are %s", section, all ? all : "others");
}

/* ini_handler: one key. Returns false where p holds an error. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
	struct parse *p = user;

	if (p->bad || p->fatal)
		return false;
	if (!*section)
		return fail(p, name, "stands before any [section]");
	for (size_t i = 0; i < VU_ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].section, section) && !strcmp(keys[i].name, name))
			return set(p, &keys[i], value);
	_cleanup_free_ char *all = known(section);

	if (!all)
		return fatal(p, -ENOMEM);
	if (!*all)
		return fail_section(p, section);
	return fail(p, name, "no such key in [%s]: allowed are %s", section, all);
}

/*
 * Reads a line without its newline to s, of which bytes above size - 1 are dropped. Returns its whole
 * length; -1 at the end of the file. *ret_garbage: the line holds a control character.
 */
static ssize_t read_line(FILE *f, char *s, size_t size, bool *ret_garbage)
{
	size_t n = 0;
	int c;

	*ret_garbage = false;
	for (; (c = getc(f)) != EOF && c != '\n'; n++) {
		if (n < size - 1)
			s[n] = (char)c;
		if ((c < ' ' && c != '\t' && c != '\r') || c == 127) {
			*ret_garbage = true;
			break;
		}
	}
	s[VU_MIN(n, size - 1)] = 0;
	return c == EOF && !n ? -1 : (ssize_t)n;
}

/* A [section] line: inih takes anything, and forgets a section without keys. */
static bool check_section(struct parse *p, const char *s)
{
	const char *end = strchr(s, ']');

	if (!end)
		return fail(p, NULL, "'%s' has no ']': allowed is [section]", s);
	const char *rest = end + 1 + strspn(end + 1, " \t\r");

	if (*rest && *rest != ';' && *rest != '#')
		return fail(p, NULL, "text after ']': allowed is a comment");
	_cleanup_free_ char *name = strndup(s + 1, (size_t)(end - s - 1)), *all = NULL;

	if (!name)
		return fatal(p, -ENOMEM);
	all = known(name);
	if (!all)
		return fatal(p, -ENOMEM);
	return *all ? true : fail_section(p, name);
}

/* ini_reader: the next line, or NULL at the end and after an error. */
static char *on_line(char *s, int num, void *stream)
{
	struct parse *p = stream;
	char line[LINE_MAX_BYTES];
	bool garbage;

	if (p->bad || p->fatal)
		return NULL;
	ssize_t n = read_line(p->f, line, sizeof(line), &garbage);

	if (n < 0)
		return NULL;
	p->line++;
	const char *text = line + strspn(line, " \t\r");
	bool comment = *text == '#' || *text == ';';

	if (garbage)
		fail(p, NULL, "holds a control character: allowed is text");
	else if (!comment && ((size_t)n >= sizeof(line) || (int)strlen(text) >= num))
		fail(p, NULL, "the line has %zd bytes: allowed are %d (lists take one item a line)",
		     n, VU_MIN(LINE_MAX_BYTES, num) - 1);
	else if (*text == '[')
		check_section(p, text);
	/* comments are taken away here: they may be as long as they like */
	return p->bad || p->fatal ? NULL : strcpy(s, comment ? "" : text);
}

static void parse_stream(struct parse *p)
{
	int r = ini_parse_stream(on_line, p, on_key, p);

	if (r == -2)
		fatal(p, -ENOMEM);
	else if (r > 0 && (!p->bad || (unsigned)r < p->err->line)) {
		/* inih goes on after a line that it cannot read: so that line was met first */
		if (p->bad)
			vu_config_error_done(p->err);
		p->bad = false;
		p->line = (unsigned)r;
		fail(p, NULL,
		     "neither a section nor a key: allowed are [section], KEY = VALUE "
		     "and # comments");
	}
	if (ferror(p->f)) {
		p->line = 0;
		fail(p, NULL, "cannot be read: %s", strerror(errno));
	}
}

static void parse_file(struct parse *p, const char *file, bool may_be_absent)
{
	_cleanup_fclose_ FILE *f = fopen(file, "re");

	p->file = file;
	p->line = 0;
	if (!f && errno == ENOENT && may_be_absent)
		return;
	if (!f && errno == ENOMEM)
		return (void)fatal(p, -ENOMEM);
	if (!f) {
		fail(p, NULL, "cannot be opened: %s", strerror(errno));
		return;
	}
	p->f = f;
	parse_stream(p);
	p->f = NULL;
}

static int is_dropin(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && !strcmp(d->d_name + n - 5, ".conf");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void parse_dropins(struct parse *p, const char *file)
{
	_cleanup_free_ char *dir = NULL;
	const char *slash = strrchr(file, '/');
	struct dirent **entries = NULL;

	if (asprintf(&dir, "%.*svunify.conf.d", slash ? (int)(slash - file + 1) : 0, file) < 0) {
		dir = NULL;
		fatal(p, -ENOMEM);
		return;
	}
	int n = scandir(dir, &entries, is_dropin, by_name);

	if (n < 0 && errno == ENOMEM)
		fatal(p, -ENOMEM);
	else if (n < 0 && errno != ENOENT && errno != ENOTDIR) {
		p->file = dir;
		p->line = 0;
		fail(p, NULL, "cannot be read: %s", strerror(errno));
	}
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0) {
			path = NULL;
			fatal(p, -ENOMEM);
		} else if (!p->bad && !p->fatal) {
			parse_file(p, path, false);
		}
		free(entries[i]);
	}
	free(entries);
	p->file = NULL;
}

static void finish(struct parse *p)
{
	if (!p->bad && !p->fatal && p->size_file && p->c->min_size > p->c->max_size)
		fail_consume(p, p->size_file, p->size_line, "max_size",
			     strdup("min_size is above max_size: allowed is at most max_size"));
	if (!p->bad && !p->fatal && !p->drop_defaults)
		fatal(p, add_default_rules(p->c));
}

int vu_config_load(const char *file, const char *(*rule_wrong)(const char *rule),
		   struct vu_config *ret_c, struct vu_config_error *ret_err)
{
	struct vu_config c;
	struct vu_config_error err = {0};
	struct parse p = {.c = &c, .err = &err, .rule_wrong = rule_wrong};
	int r = begin(&c);

	if (r)
		return r;
	parse_file(&p, file ? file : DEFAULT_FILE, !file);
	if (!p.bad && !p.fatal)
		parse_dropins(&p, file ? file : DEFAULT_FILE);
	finish(&p);
	free(p.size_file);
	if (!p.bad && !p.fatal) {
		*ret_c = c;
		return 0;
	}
	vu_config_done(&c);
	if (p.fatal) {
		vu_config_error_done(&err);
		return p.fatal;
	}
	*ret_err = err;
	return VU_CONFIG_BAD;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/size.h"

struct parse {
	const struct vu_opt_set *sets;
	size_t n;
	struct vu_opt_error *err;
};

__attribute__((format(printf, 3, 4))) static int bad(struct vu_opt_error *e, const char *todo,
						     const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&e->what, fmt, ap) < 0)
		e->what = NULL;
	va_end(ap);
	e->todo = todo ? strdup(todo) : NULL;
	return e->what ? VU_OPTIONS_BAD : -ENOMEM;
}

void vu_opt_error_done(struct vu_opt_error *e)
{
	free(e->what);
	free(e->todo);
	*e = (struct vu_opt_error){0};
}

size_t vu_options_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), w = lb + 1;
	_cleanup_free_ size_t *d = calloc(la + 1, w * sizeof(*d));

	if (!d)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		d[j] = j;
	for (size_t i = 1; i <= la; i++) {
		d[i * w] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t *c = &d[i * w + j];

			*c = d[(i - 1) * w + j - 1] + (a[i - 1] != b[j - 1]);
			*c = VU_MIN(*c, d[(i - 1) * w + j] + 1);
			*c = VU_MIN(*c, d[i * w + j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				*c = VU_MIN(*c, d[(i - 2) * w + j - 2] + 1);
		}
	}
	return d[la * w + lb];
}

bool vu_options_near(const char *typed, size_t distance)
{
	return distance <= 3 && distance * 2 <= strlen(typed);
}

static int unknown_long(const struct parse *p, const char *name, size_t len)
{
	_cleanup_free_ char *typed = strndup(name, len);
	_cleanup_free_ char *todo = NULL;
	const char *best = NULL;
	size_t best_d = SIZE_MAX;

	/* What is longer than any option is not compared: that would take for ever. */
	if (!typed)
		return -ENOMEM;
	for (size_t s = 0; s < p->n && len < 64; s++)
		for (const struct vu_opt *o = p->sets[s].opts; o && o->name; o++) {
			size_t d = o->help ? vu_options_distance(typed, o->name) : SIZE_MAX;

			if (d < best_d) {
				best_d = d;
				best = o->name;
			}
		}
	if (best && vu_options_near(typed, best_d) &&
	    asprintf(&todo, "did you mean '--%s'?", best) < 0)
		return -ENOMEM;
	return bad(p->err, todo, "there is no option '--%s'", typed);
}

static const struct vu_opt *find_long(const struct parse *p, const char *name, size_t len,
				      char **ret_base)
{
	for (size_t s = 0; s < p->n; s++)
		for (const struct vu_opt *o = p->sets[s].opts; o && o->name; o++)
			if (strlen(o->name) == len && !memcmp(o->name, name, len)) {
				*ret_base = p->sets[s].base;
				return o;
			}
	return NULL;
}

static const struct vu_opt *find_short(const struct parse *p, char c, char **ret_base)
{
	for (size_t s = 0; s < p->n; s++)
		for (const struct vu_opt *o = p->sets[s].opts; o && o->name; o++)
			if (o->short_name && o->short_name == c) {
				*ret_base = p->sets[s].base;
				return o;
			}
	return NULL;
}

static int set_list(struct vu_opt_list *l, const char *value)
{
	const char **v = reallocarray(l->v, l->n + 2, sizeof(*v));

	if (!v)
		return -ENOMEM;
	l->v = v;
	v[l->n++] = value;
	v[l->n] = NULL;
	return 0;
}

static int set_choice(struct vu_opt_error *e, const struct vu_opt *o, const char *value, int *ret)
{
	size_t len = strlen(value);
	int i = 1;

	for (const char *c = o->choices; c; i++) {
		const char *end = strchrnul(c, '|');

		if ((size_t)(end - c) == len && !memcmp(c, value, len)) {
			*ret = i;
			return 0;
		}
		c = *end ? end + 1 : NULL;
	}
	return bad(e, NULL, "option '--%s' is %s, not '%s'", o->name, o->choices, value);
}

static int set_number(struct vu_opt_error *e, const struct vu_opt *o, const char *value,
		      struct vu_opt_number *ret)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || errno || n < o->min || n > o->max)
		return bad(e, NULL,
			   "option '--%s' is a number from %" PRIu64 " to %" PRIu64 ", not '%s'",
			   o->name, o->min, o->max, value);
	*ret = (struct vu_opt_number){.value = n, .set = true};
	return 0;
}

static int set_size(struct vu_opt_error *e, const struct vu_opt *o, const char *value,
		    struct vu_opt_number *ret)
{
	uint64_t n;

	if (vu_size_parse(value, &n))
		return bad(
			e, NULL,
			"option '--%s' is a size in bytes, or with K, M, G or T behind, not '%s'",
			o->name, value);
	*ret = (struct vu_opt_number){.value = n, .set = true};
	return 0;
}

static int set_value(struct vu_opt_error *e, const struct vu_opt *o, char *base, const char *value)
{
	void *to = base + o->offset;

	switch (o->kind) {
	case VU_OPT_FLAG:
		*(bool *)to = true;
		return 0;
	case VU_OPT_STRING:
		*(const char **)to = value;
		return 0;
	case VU_OPT_LIST:
		return set_list(to, value);
	case VU_OPT_CHOICE:
		return set_choice(e, o, value, to);
	case VU_OPT_NUMBER:
		return set_number(e, o, value, to);
	case VU_OPT_SIZE:
		return set_size(e, o, value, to);
	}
	return -EINVAL;
}

/* *at is the option; moves on to the value where that is an argument of its own. */
static int parse_long(const struct parse *p, char ***at)
{
	const char *name = **at + 2, *eq = strchr(name, '='), *value = eq ? eq + 1 : NULL;
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	char *base = NULL;
	const struct vu_opt *o = find_long(p, name, len, &base);

	if (!o)
		return unknown_long(p, name, len);
	if (o->kind == VU_OPT_FLAG && eq)
		return bad(p->err, NULL, "option '--%s' takes no value", o->name);
	if (o->kind != VU_OPT_FLAG && !value) {
		value = (*at)[1];
		if (!value)
			return bad(p->err, NULL, "option '--%s' wants a value: %s", o->name,
				   o->choices ? o->choices : o->arg);
		(*at)++;
	}
	return set_value(p->err, o, base, value);
}

static int parse_short(const struct parse *p, char ***at)
{
	for (const char *c = **at + 1; *c; c++) {
		char *base = NULL;
		const struct vu_opt *o = find_short(p, *c, &base);
		const char *value = c[1] ? c + 1 : (*at)[1];
		int r;

		if (!o)
			return bad(p->err, NULL, "there is no option '-%c'", *c);
		if (o->kind == VU_OPT_FLAG) {
			set_value(p->err, o, base, NULL);
			continue;
		}
		if (!value)
			return bad(p->err, NULL, "option '-%c' wants a value: %s", *c, o->arg);
		r = set_value(p->err, o, base, value);
		if (!c[1])
			(*at)++;
		return r;
	}
	return 0;
}

int vu_options_parse(char **argv, bool until_operand, const struct vu_opt_set *sets, size_t n,
		     size_t *ret_n, struct vu_opt_error *ret_err)
{
	struct parse p = {.sets = sets, .n = n, .err = ret_err};
	char **out = argv, **at;
	bool ended = false;
	int r = 0;

	for (at = argv; *at; at++) {
		if (!ended && !strcmp(*at, "--")) {
			ended = true;
			continue;
		}
		if (ended || **at != '-' || !(*at)[1]) {
			if (until_operand)
				break;
			*out++ = *at;
			continue;
		}
		r = (*at)[1] == '-' ? parse_long(&p, &at) : parse_short(&p, &at);
		if (r)
			return r;
	}
	if (!until_operand)
		*out = NULL;
	*ret_n = (size_t)((until_operand ? at : out) - argv);
	return 0;
}

void vu_options_done(const struct vu_opt *opts, void *base)
{
	for (const struct vu_opt *o = opts; o && o->name; o++)
		if (o->kind == VU_OPT_LIST) {
			struct vu_opt_list *l = (void *)((char *)base + o->offset);

			free(l->v);
			*l = (struct vu_opt_list){0};
		}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options as data, and the parser that they drive: long and short ones, "--opt=value" and
 * "--opt value", "-j4" and "-j 4", "-qv", "--" ends them. Values are checked here and written into
 * the caller's struct. Knows nothing of commands; prints nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vu_opt_kind {
	VU_OPT_FLAG,   /* bool */
	VU_OPT_STRING, /* const char *, borrowed from argv */
	VU_OPT_LIST,   /* struct vu_opt_list: each use adds one */
	VU_OPT_CHOICE, /* int: 0 while not given, else 1 + index in choices */
	VU_OPT_NUMBER, /* struct vu_opt_number */
	VU_OPT_SIZE,   /* struct vu_opt_number, bytes, with an optional K, M, G or T */
};

struct vu_opt {
	const char *name; /* long, without dashes */
	char short_name;  /* or 0 */
	enum vu_opt_kind kind;
	const char *arg;     /* what help calls the value */
	const char *choices; /* VU_OPT_CHOICE: "exact|ignore" */
	const char *help;    /* one line; NULL: not shown anywhere */
	size_t offset;	     /* where the value goes, from the struct's begin */
	uint64_t min, max;   /* VU_OPT_NUMBER */
};

struct vu_opt_number {
	uint64_t value;
	bool set;
};

struct vu_opt_list {
	const char **v; /* owned array of borrowed strings, NULL-terminated; NULL while empty */
	size_t n;
};

/* Options and the struct that they write to. */
struct vu_opt_set {
	const struct vu_opt *opts; /* ends with a zeroed one; or NULL */
	void *base;
};

/* What is wrong; both malloc'ed. */
struct vu_opt_error {
	char *what;
	char *todo; /* or NULL */
};

enum vu_options_e {
	VU_OPTIONS_BAD = 1
};

/*
 * Parses argv (NULL-terminated) with the n sets, earlier ones first. Operands are moved to the front
 * of argv in their order, followed by NULL; ret_n is their number. With until_operand it stops at
 * the first operand: then argv from ret_n on, its first the operand, is untouched, and ret_n counts
 * what was parsed. Returns 0, VU_OPTIONS_BAD with ret_err filled, or -ENOMEM.
 */
int vu_options_parse(char **argv, bool until_operand, const struct vu_opt_set *sets, size_t n,
		     size_t *ret_n, struct vu_opt_error *ret_err);

/* Frees what the values of opts own. */
void vu_options_done(const struct vu_opt *opts, void *base);

void vu_opt_error_done(struct vu_opt_error *e);

/*
 * How many changes (a letter more, less, other, two swapped) lead from a to b; SIZE_MAX without
 * memory.
 */
size_t vu_options_distance(const char *a, const char *b);

/* Is a name at this distance near enough to be suggested for what was typed? */
bool vu_options_near(const char *typed, size_t distance);

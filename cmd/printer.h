/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one way to stdout: rows of typed cells, which become a table for people (libsmartcols, sizes
 * in IEC units, hostile names escaped) or JSON (jansson, bytes, names lossless as json.h says). One
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum vu_column_type {
	VU_COLUMN_TEXT,	   /* s */
	VU_COLUMN_NAME,	   /* s; chosen by a guest */
	VU_COLUMN_COUNT,   /* u */
	VU_COLUMN_SIZE,	   /* u, bytes */
	VU_COLUMN_TIME,	   /* u, nanoseconds since the epoch; 0: never */
	VU_COLUMN_SECONDS, /* d */
	VU_COLUMN_BOOL,	   /* u */
};

struct vu_column {
	const char *name; /* in the table's head, and for --columns */
	const char *key;  /* in JSON */
	enum vu_column_type type;
	bool hidden; /* not in the table unless --columns names it */
};

/* One cell; which member counts is said by the column. NULL names and none are left empty. */
struct vu_cell {
	const char *s;
	uint64_t u;
	double d;
	bool none;
};

struct vu_printer_options {
	FILE *out;
	bool json;
	bool no_legend;
	const char *columns; /* "name,name,..." or NULL */
};

struct vu_printer;

enum vu_printer_e {
	VU_PRINTER_COLUMNS = 1
};

/*
 * A printer for rows of columns (ends with a zeroed one; borrowed, as o's strings are). list is the
 * JSON key of the array of rows. Returns 0; VU_PRINTER_COLUMNS when o->columns names one that is
 * not there, with ret_bad its name and the names there are (malloc'ed); or -ENOMEM.
 */
int vu_printer_new(const struct vu_printer_options *o, const char *list,
		   const struct vu_column *columns, struct vu_printer **ret, char **ret_bad);
struct vu_printer *vu_printer_free(struct vu_printer *p);

/* Adds a row; cells in the order of the columns. What cannot be added shows up in _end. */
void vu_printer_row(struct vu_printer *p, const struct vu_cell *cells);

/* The row of totals: the last of the table, and the object "total" of the JSON. */
void vu_printer_total(struct vu_printer *p, const struct vu_cell *cells);

/* Prints it all. Returns 0 or a negative errno. */
int vu_printer_end(struct vu_printer *p);

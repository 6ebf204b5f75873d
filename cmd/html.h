/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing a page of HTML that is complete in itself: its style is in it, it has no script, and it tells the
 * browser to load nothing and to run nothing, whatever is in it. Light, dark, narrow and printed it is
 * readable. Names that a guest chose go through vu_html_text or a cell; all else is the caller's own text.
 * Errors of f are the caller's to see (ferror).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The head, and the body's begin. title: own text. And the end of both. */
void vu_html_begin(FILE *f, const char *title);
void vu_html_end(FILE *f);

/* Any bytes, as vu_escape shows them, so that they are nothing but text, also in an attribute. */
void vu_html_text(FILE *f, const char *s);

struct vu_html_head {
	const char *text; /* own */
	bool number;	  /* its cells are */
};

/* A table that a screen reader knows as one at any width; where it is narrow, each row is a block of lines. */
struct vu_html_table {
	FILE *f;			  /* borrowed */
	const struct vu_html_head *heads; /* borrowed */
	size_t n;
	size_t at; /* the cell that comes next */
};

void vu_html_table_begin(struct vu_html_table *t, FILE *f, const char *caption,
			 const struct vu_html_head *heads, size_t n);
void vu_html_row_begin(struct vu_html_table *t, bool total);
void vu_html_row_end(struct vu_html_table *t);
void vu_html_table_end(struct vu_html_table *t);

/* The cells of a row, as many as there are heads. The first is the row's head. NULL, or not known: a dash. */
void vu_html_cell_text(struct vu_html_table *t, const char *s);
void vu_html_cell_size(struct vu_html_table *t, uint64_t bytes, bool known);
void vu_html_cell_count(struct vu_html_table *t, uint64_t n, bool known);

/* Around a cell whose content the caller writes. */
void vu_html_cell_begin(struct vu_html_table *t);
void vu_html_cell_end(struct vu_html_table *t);

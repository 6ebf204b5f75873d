/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Colours do not stand alone: beside each strip is the number of the copy that it is of. */
#include "cmd/mem-page-library.h"

#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/html-figure.h"
#include "cmd/html.h"

#define CELLS_MAX 512 /* of a strip */
#define COLOURS 8     /* of copies; then they begin anew */
#define NAMES_MAX 24  /* of guests that have a copy */

/* The copy that most of n pages are of; 0 where most are not in memory. */
static uint64_t copy_of_most(const uint64_t *copy, size_t n)
{
	uint64_t best = 0;
	size_t most = 0;

	for (size_t i = 0; i < n; i++) {
		size_t same = 0;

		for (size_t k = 0; k < n; k++)
			same += copy[k] == copy[i];
		if (same > most) {
			most = same;
			best = copy[i];
		}
	}
	return best;
}

static void strip(FILE *f, const struct vu_library_guest *g, size_t per)
{
	size_t n = (size_t)g->pages, cells = (n + per - 1) / per, begin = 0;
	uint64_t current = 0;

	for (size_t i = 0; i <= cells; i++) {
		size_t left = i < cells ? n - i * per : 0;
		uint64_t c = left ? copy_of_most(g->copy + i * per, VU_MIN(left, per)) : 0;
		char class[] = "c1";

		if (c == current && i < cells)
			continue;
		class[1] = (char)('1' + (current - 1) % COLOURS);
		if (current)
			vu_figure_bar(f, class, (double)begin, 0, 1, (double)(i - begin));
		begin = i;
		current = c;
	}
}

static void library_row(FILE *f, const struct vu_library *l, size_t i, size_t per)
{
	const struct vu_library_guest *g = &l->guests[i];
	uint64_t cells = (l->pages + per - 1) / per;
	char desc[128];

	vu_figure_row_begin(f, g->name);
	if (!g->path || g->err) {
		fprintf(f, "<div class=\"dim\">%s</div><div class=\"val\"></div></div>\n",
			g->err ? "could not be looked at" : "has no such file");
		return;
	}
	snprintf(desc, sizeof(desc),
		 "%" PRIu64 " of %" PRIu64 " pages in memory, %" PRIu64 " of them shared",
		 g->resident, g->pages, g->resident - g->alone);
	vu_figure_svg_begin(f, "strip", (double)cells, 1, 'p', i, g->name, desc);
	strip(f, g, per);
	fputs("</svg><div class=\"val num\">", f);
	if (g->main)
		fprintf(f, "copy %" PRIu64, g->main);
	else
		fputs("not in memory", f);
	fputs("</div></div>\n", f);
}

static const struct vu_html_head library_heads[] = {
	{"Guest", false}, {"File", false},  {"Pages", true}, {"In memory", true},
	{"Alone", true},  {"Shared", true}, {"Copy", true},
};

static void library_table(FILE *f, const struct vu_library *l)
{
	struct vu_html_table t;

	vu_html_table_begin(&t, f, "The numbers of the figure, in pages", library_heads,
			    VU_ARRAY_SIZE(library_heads));
	for (size_t i = 0; i < l->n_guests; i++) {
		const struct vu_library_guest *g = &l->guests[i];
		bool known = g->path && !g->err;

		vu_html_row_begin(&t, false);
		vu_html_cell_text(&t, g->name);
		vu_html_cell_text(&t, g->err ? strerror(-g->err) : g->path);
		vu_html_cell_count(&t, g->pages, known);
		vu_html_cell_count(&t, g->resident, known);
		vu_html_cell_count(&t, g->alone, known);
		vu_html_cell_count(&t, g->resident - g->alone, known);
		vu_html_cell_count(&t, g->main, g->main);
		vu_html_row_end(&t);
	}
	vu_html_table_end(&t);
}

static void copy_guests(FILE *f, const struct vu_library *l, uint64_t copy)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_guests; i++) {
		if (l->guests[i].main != copy)
			continue;
		if (n++ >= NAMES_MAX)
			continue;
		fputs(n > 1 ? ", " : "", f);
		vu_html_text(f, l->guests[i].name);
	}
	if (n > NAMES_MAX)
		fprintf(f, " and %zu more", n - NAMES_MAX);
}

static const struct vu_html_head copy_heads[] = {
	{"Copy", false},
	{"Pages in memory", true},
	{"Guests that have it", false},
};

/* Of each copy the guests that have it, and its pages. */
static void copy_table(FILE *f, const struct vu_library *l)
{
	struct vu_html_table t;

	vu_html_table_begin(&t, f, "Who shares it with whom", copy_heads,
			    VU_ARRAY_SIZE(copy_heads));
	for (size_t i = 0; i < l->n_guests; i++) {
		const struct vu_library_guest *g = &l->guests[i];
		char number[32];
		bool first = g->main;

		for (size_t k = 0; first && k < i; k++)
			first = l->guests[k].main != g->main;
		if (!first)
			continue;
		snprintf(number, sizeof(number), "copy %" PRIu64, g->main);
		vu_html_row_begin(&t, false);
		vu_html_cell_text(&t, number);
		vu_html_cell_count(&t, g->resident, true);
		vu_html_cell_begin(&t);
		copy_guests(f, l, g->main);
		vu_html_cell_end(&t);
		vu_html_row_end(&t);
	}
	vu_html_table_end(&t);
}

static void library_text(FILE *f, const struct vu_library *l, size_t per)
{
	char physical[VU_SIZE_TEXT], each[VU_SIZE_TEXT];

	fprintf(f,
		"<p>%" PRIu64 " physical page%s (%s) stand%s for %" PRIu64
		" (%s) that copies of their own would take. The same colour, and the same number of the "
		"copy, is the same physical page. ",
		l->physical, vu_plural(l->physical),
		vu_size_text(l->physical * l->page_bytes, physical), l->physical == 1 ? "s" : "",
		l->resident, vu_size_text(l->resident * l->page_bytes, each));
	if (per > 1)
		fprintf(f, "A cell of the strip is %zu pages, and shows what most of them are. ",
			per);
	if (l->cut)
		fprintf(f, "The file is longer: only its first %" PRIu64 " pages are shown. ",
			l->pages);
	fputs("Shown is the file that is at its place now, and what of it is in the page cache; what "
	      "processes hold of a replaced one stands below.</p>\n",
	      f);
}

void vu_mem_page_library(FILE *f, const struct vu_library *l, const char *path)
{
	size_t per = (size_t)(l->pages / CELLS_MAX + (l->pages % CELLS_MAX != 0));

	fputs("<h2>Physical pages of ", f);
	if (path) {
		fputs("<code>", f);
		vu_html_text(f, path);
		fputs("</code>", f);
	} else {
		fputs("the C library", f);
	}
	fputs("</h2>\n", f);
	if (l->hidden || !l->pages) {
		fputs(l->hidden ? "<p>The kernel hides which physical pages there are.</p>\n"
				: "<p>No guest has one at a place where it is looked for.</p>\n",
		      f);
		return;
	}
	library_text(f, l, per);
	fputs("<figure><figcaption class=\"dim\">A strip for each guest, from the file\xe2\x80\x99s "
	      "first page to its last; what is not in memory is left empty.</figcaption>\n"
	      "<div class=\"bars\" role=\"list\">\n",
	      f);
	for (size_t i = 0; i < l->n_guests; i++)
		library_row(f, l, i, per);
	fputs("</div></figure>\n", f);
	copy_table(f, l);
	library_table(f, l);
}

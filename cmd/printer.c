/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/printer.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/json.h"

struct vu_printer {
	struct vu_printer_options o;
	const char *list;
	const struct vu_column *columns;
	size_t n_columns;
	size_t *shown; /* indices of columns in their order; owned */
	size_t n_shown;
	struct libscols_table *table;
	struct vu_json *json; /* owned */
	int err;
};

static int bad_column(const struct vu_printer *p, const char *name, size_t len, char **ret_bad)
{
	size_t size = 0;
	FILE *f = open_memstream(ret_bad, &size);

	if (!f)
		return -ENOMEM;
	fprintf(f, "there is no column '%.*s': there are", (int)len, name);
	for (size_t i = 0; i < p->n_columns; i++)
		fprintf(f, "%s %s", i ? "," : "", p->columns[i].name);
	return fclose(f) ? -ENOMEM : VU_PRINTER_COLUMNS;
}

static bool same(const char *a, const char *b, size_t len)
{
	return strlen(a) == len && !strncasecmp(a, b, len);
}

static int show(struct vu_printer *p, size_t column)
{
	size_t *shown = reallocarray(p->shown, p->n_shown + 1, sizeof(*shown));

	if (!shown)
		return -ENOMEM;
	p->shown = shown;
	shown[p->n_shown++] = column;
	return 0;
}

static int choose_columns(struct vu_printer *p, char **ret_bad)
{
	int r = 0;

	if (!p->o.columns) {
		for (size_t i = 0; i < p->n_columns && !r; i++)
			if (p->o.json || !p->columns[i].hidden)
				r = show(p, i);
		return r;
	}
	for (const char *c = p->o.columns; c && !r;) {
		size_t len = strcspn(c, ","), i = 0;

		while (i < p->n_columns && !same(p->columns[i].name, c, len) &&
		       !same(p->columns[i].key, c, len))
			i++;
		if (i == p->n_columns)
			return bad_column(p, c, len, ret_bad);
		r = show(p, i);
		c = c[len] ? c + len + 1 : NULL;
	}
	return r;
}

static bool right_aligned(enum vu_column_type t)
{
	return t == VU_COLUMN_COUNT || t == VU_COLUMN_SIZE || t == VU_COLUMN_SECONDS;
}

static bool coloured(const struct vu_printer *p)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && *no) && term && strcmp(term, "dumb") && isatty(fileno(p->o.out));
}

static int make_table(struct vu_printer *p)
{
	bool bold = coloured(p);

	p->table = scols_new_table();
	if (!p->table)
		return -ENOMEM;
	scols_table_set_stream(p->table, p->o.out);
	scols_table_enable_noheadings(p->table, p->o.no_legend);
	scols_table_enable_colors(p->table, bold);
	scols_table_enable_nowrap(p->table, 1);
	/* The names are escaped already; libsmartcols would escape the backslashes again. */
	scols_table_enable_noencoding(p->table, 1);
	for (size_t i = 0; i < p->n_shown; i++) {
		const struct vu_column *c = &p->columns[p->shown[i]];
		struct libscols_column *col = scols_table_new_column(
			p->table, c->name, 0, right_aligned(c->type) ? SCOLS_FL_RIGHT : 0);

		if (!col)
			return -ENOMEM;
		if (bold)
			scols_cell_set_color(scols_column_get_header(col), "\033[1m");
	}
	return 0;
}

int vu_printer_new(const struct vu_printer_options *o, const char *list,
		   const struct vu_column *columns, struct vu_printer **ret, char **ret_bad)
{
	struct vu_printer *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->o = *o;
	p->list = list;
	p->columns = columns;
	while (columns[p->n_columns].name)
		p->n_columns++;
	r = choose_columns(p, ret_bad);
	if (!r && o->json) {
		p->json = vu_json_new();
		vu_json_count(p->json, "schema", VU_SCHEMA);
		vu_json_array(p->json, list);
	} else if (!r) {
		r = make_table(p);
	}
	if (r) {
		vu_printer_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

struct vu_printer *vu_printer_free(struct vu_printer *p)
{
	if (!p)
		return NULL;
	scols_unref_table(p->table);
	vu_json_free(p->json);
	free(p->shown);
	free(p);
	return NULL;
}

static void put_json(struct vu_json *j, const struct vu_column *c, const struct vu_cell *v)
{
	char buf[VU_TIME_TEXT];

	if (v->none) {
		vu_json_text(j, c->key, NULL);
		return;
	}
	switch (c->type) {
	case VU_COLUMN_TEXT:
	case VU_COLUMN_NAME:
		vu_json_name(j, c->key, v->s);
		break;
	case VU_COLUMN_COUNT:
	case VU_COLUMN_SIZE:
		vu_json_count(j, c->key, v->u);
		break;
	case VU_COLUMN_TIME:
		vu_json_text(j, c->key, v->u ? vu_time_text(v->u, true, buf) : NULL);
		break;
	case VU_COLUMN_SECONDS:
		vu_json_seconds(j, c->key, v->d);
		break;
	case VU_COLUMN_BOOL:
		vu_json_bool(j, c->key, v->u != 0);
		break;
	}
}

static struct vu_json *json_row(const struct vu_printer *p, const struct vu_cell *cells)
{
	struct vu_json *j = vu_json_new();

	for (size_t i = 0; i < p->n_shown; i++)
		put_json(j, &p->columns[p->shown[i]], &cells[p->shown[i]]);
	return j;
}

/* The text of a cell for people; malloc'ed, NULL without memory. */
static char *cell_text(enum vu_column_type t, const struct vu_cell *v)
{
	char buf[VU_TIME_TEXT];
	char *text = NULL;

	if (v->none)
		return strdup("");
	switch (t) {
	case VU_COLUMN_TEXT:
	case VU_COLUMN_NAME:
		return vu_escape(v->s ? v->s : "", vu_escape_locale_utf8());
	case VU_COLUMN_COUNT:
		return asprintf(&text, "%" PRIu64, v->u) < 0 ? NULL : text;
	case VU_COLUMN_SIZE:
		return strdup(vu_size_text(v->u, buf));
	case VU_COLUMN_TIME:
		return strdup(v->u ? vu_time_text(v->u, false, buf) : "never");
	case VU_COLUMN_SECONDS:
		return asprintf(&text, "%.1f s", v->d) < 0 ? NULL : text;
	case VU_COLUMN_BOOL:
		return strdup(v->u ? "yes" : "no");
	}
	return NULL;
}

static void table_row(struct vu_printer *p, const struct vu_cell *cells)
{
	struct libscols_line *line = scols_table_new_line(p->table, NULL);

	for (size_t i = 0; line && i < p->n_shown; i++) {
		char *text = cell_text(p->columns[p->shown[i]].type, &cells[p->shown[i]]);

		if (!text || scols_line_refer_data(line, i, text)) {
			free(text);
			p->err = -ENOMEM;
			return;
		}
	}
	if (!line)
		p->err = -ENOMEM;
}

void vu_printer_row(struct vu_printer *p, const struct vu_cell *cells)
{
	if (p->json)
		vu_json_append(p->json, p->list, json_row(p, cells));
	else if (p->table)
		table_row(p, cells);
}

void vu_printer_total(struct vu_printer *p, const struct vu_cell *cells)
{
	if (p->json)
		vu_json_put(p->json, "total", json_row(p, cells));
	else if (p->table)
		table_row(p, cells);
}

int vu_printer_end(struct vu_printer *p)
{
	if (p->err)
		return p->err;
	if (p->o.json)
		return vu_json_print(p->json, p->o.out);
	return scols_print_table(p->table) < 0 ? -EIO : 0;
}

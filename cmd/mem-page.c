/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/mem-page.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/html-figure.h"
#include "cmd/html.h"
#include "cmd/mem-page-library.h"

#define SERVICES_MAX 200 /* that are shown */

/* ---- before and now ---- */

/* Of a guest, or of all of them; in bytes. */
struct amount {
	double own, fair_shared, anon, before, now;
	uint64_t shared; /* with copies of its own it would be this */
	uint64_t processes;
};

static struct amount amount_of(const struct vu_mem_guest *g, double page)
{
	const struct vu_pages_guest *m = &g->pages;
	struct amount a = {.processes = m->processes};

	if (!g->known)
		return a;
	a.own = (double)m->file_own * page;
	a.fair_shared = (m->file_fair - (double)m->file_own) * page;
	a.anon = m->anon_fair * page;
	a.shared = m->file_shared * (uint64_t)page;
	a.before = (double)(m->file_own + m->file_shared + m->anon) * page;
	a.now = (m->file_fair + m->anon_fair) * page;
	return a;
}

static struct amount amount_of_all(const struct vu_mem *m)
{
	struct amount sum = {0};

	for (size_t i = 0; i < m->n_guests; i++) {
		struct amount a = amount_of(&m->guests[i], (double)m->page_bytes);

		sum.own += a.own;
		sum.fair_shared += a.fair_shared;
		sum.anon += a.anon;
		sum.shared += a.shared;
		sum.before += a.before;
		sum.now += a.now;
		sum.processes += a.processes;
	}
	return sum;
}

static uint64_t whole(double bytes)
{
	return bytes > 0 ? (uint64_t)(bytes + 0.5) : 0;
}

static void tile(FILE *f, const char *head, const char *text)
{
	fprintf(f, "<div><dt>%s</dt><dd class=\"num\">%s</dd></div>\n", head, text);
}

static void write_summary(FILE *f, const struct vu_mem_page *p)
{
	struct amount a = amount_of_all(p->mem);
	char text[VU_SIZE_TEXT + 32], number[VU_SIZE_TEXT];

	fprintf(f, "<p class=\"dim\">%zu guest%s with %" PRIu64 " process%s on <code>",
		p->mem->n_guests, vu_plural(p->mem->n_guests), a.processes,
		a.processes == 1 ? "" : "es");
	vu_html_text(f, p->host);
	fprintf(f, "</code>, %s, vunify %s</p>\n<dl>\n", p->time, VU_VERSION);
	if (!p->mem->hidden) {
		tile(f, "With copies of their own", vu_size_text(whole(a.before), text));
		tile(f, "Now", vu_size_text(whole(a.now), text));
		snprintf(text, sizeof(text), "%s <small>%.0f %%</small>",
			 vu_size_text(whole(a.before - a.now), number),
			 a.before > 0 ? 100 * (a.before - a.now) / a.before : 0);
		tile(f, "Saved by sharing", text);
	}
	if (!p->stale->hidden)
		tile(f, "Restarts would free", vu_size_text(p->stale->held_bytes, text));
	fputs("</dl>\n", f);
}

static void guest_bars(FILE *f, const struct vu_mem_guest *g, size_t i, double most, double page)
{
	struct amount a = amount_of(g, page);
	double x, scale = most > 0 ? VU_FIGURE_SCALE / most : 0;
	char before[VU_SIZE_TEXT], now[VU_SIZE_TEXT], desc[2 * VU_SIZE_TEXT + 32];

	vu_figure_row_begin(f, g->name);
	if (!g->known || !a.processes) {
		fprintf(f, "<div class=\"dim\">%s</div><div class=\"val\"></div></div>\n",
			g->known ? "has no processes" : "unknown");
		return;
	}
	snprintf(desc, sizeof(desc), "before %s, now %s", vu_size_text(whole(a.before), before),
		 vu_size_text(whole(a.now), now));
	vu_figure_svg_begin(f, "two", VU_FIGURE_SCALE, 26, 'g', i, g->name, desc);
	vu_figure_bar(f, "was", 0, 0, 12, a.before * scale);
	x = vu_figure_bar(f, "own", 0, 14, 12, a.own * scale);
	x = vu_figure_bar(f, "shared", x, 14, 12, a.fair_shared * scale);
	vu_figure_bar(f, "anon", x, 14, 12, a.anon * scale);
	fprintf(f, "</svg><div class=\"val num\">%s \xe2\x86\x92 %s</div></div>\n", before, now);
}

static const struct vu_html_head guest_heads[] = {
	{"Guest", false}, {"Processes", true}, {"Before", true},
	{"Now", true},	  {"Saved", true},     {"Alone", true},
	{"Shared", true}, {"Its share", true}, {"Anonymous", true},
};

static void guest_cells(struct vu_html_table *t, const char *name, const struct amount *a,
			bool known, bool total)
{
	vu_html_row_begin(t, total);
	vu_html_cell_text(t, name);
	vu_html_cell_count(t, a->processes, true);
	vu_html_cell_size(t, whole(a->before), known);
	vu_html_cell_size(t, whole(a->now), known);
	vu_html_cell_size(t, whole(a->before - a->now), known);
	vu_html_cell_size(t, whole(a->own), known);
	vu_html_cell_size(t, a->shared, known);
	vu_html_cell_size(t, whole(a->fair_shared), known);
	vu_html_cell_size(t, whole(a->anon), known);
	vu_html_row_end(t);
}

static void guest_table(FILE *f, const struct vu_mem *m)
{
	struct amount all = amount_of_all(m);
	struct vu_html_table t;

	vu_html_table_begin(
		&t, f,
		"The numbers of the figure. Of files: what it has alone, what others have "
		"too, and its share of that; of anonymous memory: its share",
		guest_heads, VU_ARRAY_SIZE(guest_heads));
	for (size_t i = 0; i < m->n_guests; i++) {
		struct amount a = amount_of(&m->guests[i], (double)m->page_bytes);

		guest_cells(&t, m->guests[i].name, &a, m->guests[i].known, false);
	}
	guest_cells(&t, "all", &all, !m->hidden && !m->n_unknown, true);
	vu_html_table_end(&t);
}

static void write_guests(FILE *f, const struct vu_mem *m)
{
	double most = 0;

	fputs("<h2>Before and now, guest by guest</h2>\n", f);
	if (m->hidden) {
		fputs("<p>The kernel hides which physical pages there are (CAP_SYS_ADMIN was missing): "
		      "what guests have and share is unknown.</p>\n",
		      f);
		return;
	}
	for (size_t i = 0; i < m->n_guests; i++)
		most = VU_MAX(most, amount_of(&m->guests[i], (double)m->page_bytes).before);
	fputs("<p>What processes of the guests have mapped, counted in physical pages. "
	      "<strong>Before</strong> is what the very same pages would take if each guest had its own "
	      "of each; it is no measurement of an earlier time. <strong>Now</strong> is what they take: "
	      "of a page that <i>k</i> guests have, each has one <i>k</i>-th. Pages that are shared count "
	      "as such however that came about.</p>\n"
	      "<figure><figcaption><ul class=\"legend\">\n",
	      f);
	vu_figure_key(f, "was", "before: all of it in copies of its own");
	vu_figure_key(f, "own", "now: pages of files that it alone has");
	vu_figure_key(f, "shared", "now: its share of pages of files that others have too");
	vu_figure_key(f, "anon", "now: anonymous memory");
	fputs("</ul></figcaption>\n<div class=\"bars\" role=\"list\">\n", f);
	for (size_t i = 0; i < m->n_guests; i++)
		guest_bars(f, &m->guests[i], i, most, (double)m->page_bytes);
	fputs("</div></figure>\n", f);
	guest_table(f, m);
	if (m->n_unknown)
		fprintf(f,
			"<p>Of %zu guest%s it is unknown: a process holds its memory map locked.</p>\n",
			m->n_unknown, vu_plural(m->n_unknown));
	if (m->total.truncated)
		fputs("<p>Guests share pages in too many different ways: shares are not exact.</p>\n",
		      f);
}

/* ---- restarts ---- */

static void service_row(FILE *f, const struct vu_stale_service *s, size_t i, double most)
{
	char held[VU_SIZE_TEXT], freed[VU_SIZE_TEXT], desc[2 * VU_SIZE_TEXT + 48];
	double scale = most > 0 ? VU_FIGURE_SCALE / most : 0;

	fputs("<div class=\"row\" role=\"listitem\"><div>", f);
	vu_html_text(f, s->guest);
	fputs(": ", f);
	vu_html_text(f, s->name);
	fputs("</div>", f);
	snprintf(desc, sizeof(desc), "holds %s, of which %s come free if it alone restarts",
		 vu_size_text(s->held_bytes, held), vu_size_text(s->freed_bytes, freed));
	vu_figure_svg_begin(f, "one", VU_FIGURE_SCALE, 1, 's', i, s->name, desc);
	double x = vu_figure_bar(f, "shared", 0, 0, 1, (double)s->freed_bytes * scale);

	vu_figure_bar(f, "anon", x, 0, 1, (double)(s->held_bytes - s->freed_bytes) * scale);
	fprintf(f, "</svg><div class=\"val num\">%s of %s</div></div>\n", freed, held);
}

static const struct vu_html_head service_heads[] = {
	{"Guest", false},  {"Service", false}, {"Processes", true}, {"Same", true},
	{"Changed", true}, {"Removed", true},  {"Held", true},	    {"Freed alone", true},
};

static void service_table(FILE *f, const struct vu_stale *s, size_t n)
{
	struct vu_html_table t;

	vu_html_table_begin(
		&t, f,
		"The numbers of the figure, and the replaced files that are held: of the same "
		"content now (unified), of a changed one (upgraded), or removed",
		service_heads, VU_ARRAY_SIZE(service_heads));
	for (size_t i = 0; i < n; i++) {
		const struct vu_stale_service *v = &s->services[i];

		vu_html_row_begin(&t, false);
		vu_html_cell_text(&t, v->guest);
		vu_html_cell_text(&t, v->name);
		vu_html_cell_count(&t, v->processes, true);
		vu_html_cell_count(&t, v->kind[VU_HOLDERS_SAME].files, true);
		vu_html_cell_count(&t, v->kind[VU_HOLDERS_CHANGED].files, true);
		vu_html_cell_count(&t, v->kind[VU_HOLDERS_REMOVED].files, true);
		vu_html_cell_size(&t, v->held_bytes, true);
		vu_html_cell_size(&t, v->freed_bytes, true);
		vu_html_row_end(&t);
	}
	vu_html_table_end(&t);
}

static void write_stale(FILE *f, const struct vu_stale *s)
{
	size_t n = VU_MIN(s->n_services, SERVICES_MAX);
	uint64_t most = 0;
	char held[VU_SIZE_TEXT];

	fputs("<h2>What restarts would bring</h2>\n", f);
	if (s->hidden || !n) {
		fputs(s->hidden ? "<p>The kernel does not show what is mapped: it is unknown.</p>\n"
				: "<p>Nothing: no service holds a file that was replaced.</p>\n",
		      f);
		return;
	}
	for (size_t i = 0; i < n; i++)
		most = VU_MAX(most, s->services[i].held_bytes);
	fprintf(f,
		"<p>Services that run on hold files in memory that were replaced since, by unifying or by "
		"an upgrade: <strong>%s</strong>, which come free when all of them have restarted.</p>\n"
		"<figure><figcaption><ul class=\"legend\">\n",
		vu_size_text(s->held_bytes, held));
	vu_figure_key(f, "shared", "comes free if this service alone restarts");
	vu_figure_key(f, "anon", "held, and by others too");
	fputs("</ul></figcaption>\n<div class=\"bars\" role=\"list\">\n", f);
	for (size_t i = 0; i < n; i++)
		service_row(f, &s->services[i], i, (double)most);
	fputs("</div></figure>\n", f);
	service_table(f, s, n);
	if (s->n_services > n)
		fprintf(f, "<p>And %zu more: see <code>vunify stale</code>.</p>\n",
			s->n_services - n);
	if (s->truncated)
		fputs("<p>A guest holds more than is looked at: the list is not complete.</p>\n",
		      f);
}

void vu_mem_page_write(FILE *f, const struct vu_mem_page *p)
{
	vu_html_begin(f, "Memory of guests");
	write_summary(f, p);
	write_guests(f, p->mem);
	vu_mem_page_library(f, p->library, p->path);
	write_stale(f, p->stale);
	vu_html_end(f);
}

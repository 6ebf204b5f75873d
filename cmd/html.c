/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy in the head (Content-Security-Policy) is a second wall: if a name ever got through as markup, it could
 * still neither run nor load anything. Rows that are blocks keep their roles, which browsers take from tables
 * that are displayed as something else.
 */
#include "cmd/html.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "cmd/escape.h"

/* Contrast with the background: text 4.5 at least, what is drawn 3 (WCAG 2.1 AA), in both schemes. */
static const char style[] =
	":root{color-scheme:light dark;--bg:#fff;--fg:#1c1f23;--dim:#57606a;--line:#d0d7de;"
	"--none:#eaeef2;--own:#b3541e;--shared:#2e7d32;--anon:#6e7781;--was:#4a6fa5;"
	"--c1:#2e7d32;--c2:#b3541e;--c3:#1f6fb4;--c4:#8e44ad;--c5:#b02a56;--c6:#00767a;"
	"--c7:#7a6a00;--c8:#5a5f66}\n"
	"@media screen and (prefers-color-scheme:dark){:root{--bg:#15181c;--fg:#e6e9ec;"
	"--dim:#a5afb9;--line:#3a424b;--none:#2a3037;--own:#ffa657;--shared:#5fc26b;"
	"--anon:#8b96a1;--was:#7aa7e8;--c1:#5fc26b;--c2:#ffa657;--c3:#6cb6ff;--c4:#d2a8ff;"
	"--c5:#ff7b93;--c6:#56d4dd;--c7:#e3c341;--c8:#b1bac4}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0 auto;padding:1rem;max-width:72rem;background:var(--bg);color:var(--fg);"
	"font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\n"
	"h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}\n"
	"h2{font-size:1.25rem;line-height:1.3;margin:2.5rem 0 .5rem}\n"
	"p{max-width:48rem;margin:.5rem 0}.dim{color:var(--dim)}\n"
	"code{font-family:ui-monospace,monospace;font-size:.92em}\n"
	"dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;"
	"margin:1.25rem 0}\n"
	"dl div{border:1px solid var(--line);border-radius:.4rem;padding:.6rem .8rem}\n"
	"dt{color:var(--dim);font-size:.9rem}dd{margin:0;font-size:1.35rem;font-weight:600}"
	"dd small{font-size:.9rem;font-weight:400;color:var(--dim);white-space:nowrap}\n"
	"figure{margin:1rem 0}figcaption{margin-bottom:.5rem}\n"
	".legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;"
	"margin:.5rem 0 1rem;font-size:.9rem}\n"
	".legend li{display:flex;align-items:center;gap:.45rem}\n"
	".legend svg{flex:none;width:.9rem;height:.9rem;border:1px solid var(--line)}\n"
	".bars{display:grid;grid-template-columns:fit-content(14rem) minmax(0,1fr) max-content;"
	"gap:.45rem .75rem;align-items:center}\n"
	".row{display:contents}.row svg{display:block;width:100%}\n"
	".num{font-variant-numeric:tabular-nums}.val{font-size:.9rem;color:var(--dim)}\n"
	".two{height:1.7rem}.strip{height:1.2rem;background:var(--none)}.one{height:1rem}\n"
	".own{fill:var(--own)}.shared{fill:var(--shared)}.anon{fill:var(--anon)}"
	".was{fill:var(--was)}.none{fill:var(--none)}\n"
	".c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}"
	".c5{fill:var(--c5)}.c6{fill:var(--c6)}.c7{fill:var(--c7)}.c8{fill:var(--c8)}\n"
	".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem;margin:1rem 0}\n"
	"caption{text-align:left;color:var(--dim);padding-bottom:.3rem}\n"
	"th,td{text-align:left;vertical-align:top;padding:.3rem .45rem;"
	"border-bottom:1px solid var(--line)}\n"
	"thead th{color:var(--dim);font-weight:600}tbody th{font-weight:400;min-width:7rem}"
	"td:not(.n){min-width:6rem}\n"
	"td.n,th.n{text-align:right;overflow-wrap:normal;font-variant-numeric:tabular-nums}"
	"td.n{white-space:nowrap}\n"
	"tr.total>*{font-weight:600;border-top:2px solid var(--line)}\n"
	"@media screen and (max-width:48rem){\n"
	".bars{grid-template-columns:minmax(0,1fr);gap:0}.row svg{margin:.15rem 0 .8rem}"
	".row svg{order:3}.row{display:grid;grid-template-columns:minmax(0,1fr)}\n"
	"thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}\n"
	"table,caption,tbody{display:block}tr{display:block;border:1px solid var(--line);"
	"border-radius:.4rem;padding:.3rem .6rem;margin:.5rem 0}\n"
	"tr.total>*{border-top:0}tbody th{display:block;font-weight:600;padding:.15rem 0;border:0}\n"
	"td,td.n{display:flex;justify-content:space-between;gap:1rem;padding:.1rem 0;border:0;"
	"text-align:right;white-space:normal}\n"
	"td::before{content:attr(data-head);color:var(--dim);text-align:left;"
	"overflow-wrap:normal}}\n"
	"@media print{*{print-color-adjust:exact;-webkit-print-color-adjust:exact}"
	"body{max-width:none;padding:0;font-size:10pt}.row svg,tr,dl div{break-inside:avoid}"
	"h2{break-after:avoid}}\n";

void vu_html_begin(FILE *f, const char *title)
{
	fprintf(f,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" "
		"content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<title>%s</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>%s</h1>\n",
		title, style, title);
}

void vu_html_end(FILE *f)
{
	fputs("</main>\n</body>\n</html>\n", f);
}

void vu_html_text(FILE *f, const char *s)
{
	_cleanup_free_ char *text = vu_escape(s, true);

	for (const char *c = text ? text : "?"; *c; c++) {
		switch (*c) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\'':
			fputs("&#39;", f);
			break;
		default:
			fputc(*c, f);
		}
	}
}

void vu_html_table_begin(struct vu_html_table *t, FILE *f, const char *caption,
			 const struct vu_html_head *heads, size_t n)
{
	*t = (struct vu_html_table){.f = f, .heads = heads, .n = n};
	fprintf(f,
		"<div class=\"wide\"><table role=\"table\">\n<caption>%s</caption>\n<thead role=\"rowgroup\"><tr role=\"row\">",
		caption);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "<th role=\"columnheader\" scope=\"col\"%s>%s</th>",
			heads[i].number ? " class=\"n\"" : "", heads[i].text);
	fputs("</tr></thead>\n<tbody role=\"rowgroup\">\n", f);
}

void vu_html_row_begin(struct vu_html_table *t, bool total)
{
	t->at = 0;
	fprintf(t->f, "<tr role=\"row\"%s>", total ? " class=\"total\"" : "");
}

void vu_html_row_end(struct vu_html_table *t)
{
	fputs("</tr>\n", t->f);
}

void vu_html_table_end(struct vu_html_table *t)
{
	fputs("</tbody>\n</table></div>\n", t->f);
}

void vu_html_cell_begin(struct vu_html_table *t)
{
	if (t->at)
		fprintf(t->f, "<td role=\"cell\"%s data-head=\"%s\"><span>",
			t->heads[t->at].number ? " class=\"n\"" : "", t->heads[t->at].text);
	else
		fputs("<th role=\"rowheader\" scope=\"row\"><span>", t->f);
}

void vu_html_cell_end(struct vu_html_table *t)
{
	fputs(t->at++ ? "</span></td>" : "</span></th>", t->f);
}

void vu_html_cell_text(struct vu_html_table *t, const char *s)
{
	vu_html_cell_begin(t);
	if (s)
		vu_html_text(t->f, s);
	else
		fputs("\xe2\x80\x93", t->f); /* en dash */
	vu_html_cell_end(t);
}

void vu_html_cell_size(struct vu_html_table *t, uint64_t bytes, bool known)
{
	char size[VU_SIZE_TEXT];

	vu_html_cell_begin(t);
	fputs(known ? vu_size_text(bytes, size) : "\xe2\x80\x93", t->f);
	vu_html_cell_end(t);
}

void vu_html_cell_count(struct vu_html_table *t, uint64_t n, bool known)
{
	vu_html_cell_begin(t);
	if (known)
		fprintf(t->f, "%" PRIu64, n);
	else
		fputs("\xe2\x80\x93", t->f);
	vu_html_cell_end(t);
}

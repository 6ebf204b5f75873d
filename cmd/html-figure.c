/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/html-figure.h"

#include "cmd/html.h"

void vu_figure_row_begin(FILE *f, const char *name)
{
	fputs("<div class=\"row\" role=\"listitem\"><div>", f);
	vu_html_text(f, name);
	fputs("</div>", f);
}

void vu_figure_svg_begin(FILE *f, const char *class, double width, int height, char figure,
			 size_t i, const char *name, const char *desc)
{
	fprintf(f,
		"<svg class=\"%s\" viewBox=\"0 0 %.0f %d\" preserveAspectRatio=\"none\" role=\"img\" "
		"aria-labelledby=\"%ct%zu %cd%zu\"><title id=\"%ct%zu\">",
		class, width, height, figure, i, figure, i, figure, i);
	vu_html_text(f, name);
	fprintf(f, "</title><desc id=\"%cd%zu\">%s</desc>", figure, i, desc);
}

double vu_figure_bar(FILE *f, const char *class, double x, int y, int height, double width)
{
	if (width > 0)
		fprintf(f, "<rect class=\"%s\" x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\"/>",
			class, x, y, width, height);
	return x + width;
}

void vu_figure_key(FILE *f, const char *class, const char *text)
{
	fprintf(f,
		"<li><svg aria-hidden=\"true\"><rect class=\"%s\" width=\"100%%\" "
		"height=\"100%%\"/></svg>%s</li>\n",
		class, text);
}

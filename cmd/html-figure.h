/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bars of a page of HTML (cmd/html.h): rows of a name, a picture and what it amounts to. Only the bars are SVG,
 * stretched to the width that there is; all text is HTML, so that it keeps its size where that is narrow.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define VU_FIGURE_SCALE 1000.0 /* width of a bar, in its own units */

static inline const char *vu_plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* <div class="row">, of a list that the caller has begun, with the name in it. */
void vu_figure_row_begin(FILE *f, const char *name);

/*
 * The picture, which the caller ends (</svg>), with what it shows for those who do not see it: the name, and
 * desc, an own text. figure: a letter for the figure; i: the row's number; both for its id.
 */
void vu_figure_svg_begin(FILE *f, const char *class, double width, int height, char figure,
			 size_t i, const char *name, const char *desc);

/* A part of a bar; none without a width. Returns where it ends. */
double vu_figure_bar(FILE *f, const char *class, double x, int y, int height, double width);

/* An item of the legend; text: own. */
void vu_figure_key(FILE *f, const char *class, const char *text);

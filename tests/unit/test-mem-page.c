/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page of mem --html, of made-up guests: what is escaped, added up, drawn and said to be unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The face is no library: what is tested of it is compiled here. */
#include "cmd/escape.c"
#include "cmd/html-figure.c"
#include "cmd/html.c"
#include "cmd/mem-page-library.c"
#include "cmd/mem-page.c"

#define PAGE 4096
#define MIB_PAGES (1024 * 1024 / PAGE)

struct made {
	struct vu_mem_guest guest[3];
	struct vu_library_guest in[3];
	uint64_t copy[3][2048];
	struct vu_mem mem;
	struct vu_library library;
	struct vu_stale stale;
	char *text; /* owned: the page */
};

static char names[3][32] = {"<b>one&", "two\xff", "three"};
static char lib[] = "lib/x\"<u>";

static void make(struct made *m)
{
	*m = (struct made){
		.mem = {.guests = m->guest, .n_guests = 3, .page_bytes = PAGE},
		.library = {.guests = m->in, .n_guests = 3, .page_bytes = PAGE},
	};
	for (int i = 0; i < 3; i++) {
		m->guest[i] = (struct vu_mem_guest){
			.name = names[i],
			.known = true,
			.pages = {.processes = 1,
				  .file_own = MIB_PAGES,
				  .file_shared = 3 * MIB_PAGES,
				  .file_fair = 2 * MIB_PAGES,
				  .anon = 2 * MIB_PAGES,
				  .anon_fair = MIB_PAGES},
		};
		m->in[i] = (struct vu_library_guest){.name = names[i], .copy = m->copy[i]};
	}
}

static void show(struct made *m, const char *path)
{
	const struct vu_mem_page p = {
		.mem = &m->mem,
		.library = &m->library,
		.stale = &m->stale,
		.path = path,
		.host = "<host>",
		.time = "now",
	};
	size_t n;

	free(m->text);
	FILE *f = open_memstream(&m->text, &n);

	assert_non_null(f);
	vu_mem_page_write(f, &p);
	assert_int_equal(fclose(f), 0);
}

static void has(const struct made *m, const char *what)
{
	if (!strstr(m->text, what))
		fail_msg("no '%s' in: %s", what, m->text);
}

static void hasnt(const struct made *m, const char *what)
{
	if (strstr(m->text, what))
		fail_msg("'%s' in: %s", what, m->text);
}

static void test_text(void **state)
{
	char *text;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	vu_html_text(f, "a<b>&\"'\n\x01\xff\xe2\x80\xae\xc3\xa4");
	fclose(f);
	assert_string_equal(text, "a&lt;b&gt;&amp;&quot;&#39;\\n\\x01\\xff\\xe2\\x80\\xae\xc3\xa4");
	free(text);
}

static void test_names_are_text(void **state)
{
	struct made m;

	(void)state;
	make(&m);
	m.in[0].path = lib;
	m.in[0].pages = m.library.pages = 1;
	show(&m, lib);
	has(&m, "&lt;b&gt;one&amp;");
	has(&m, "two\\xff");
	has(&m, "lib/x&quot;&lt;u&gt;");
	has(&m, "&lt;host&gt;");
	hasnt(&m, "<b>");
	hasnt(&m, "<u>");
	free(m.text);
}

static void test_sums(void **state)
{
	struct made m;

	(void)state;
	make(&m);
	show(&m, NULL);
	has(&m, "<dd class=\"num\">18.0 MiB</dd>");
	has(&m, "<dd class=\"num\">9.0 MiB</dd>");
	has(&m, "9.0 MiB <small>50 %</small>");
	has(&m, "before 6.0 MiB, now 3.0 MiB");
	/* all of them; own, shared, the share of that, anonymous: each an equal part of now */
	has(&m, "class=\"own\" x=\"0.00\" y=\"14\" width=\"166.67\"");
	has(&m, "class=\"shared\" x=\"166.67\" y=\"14\" width=\"166.67\"");
	has(&m, "class=\"anon\" x=\"333.33\" y=\"14\" width=\"166.67\"");
	free(m.text);
}

static void test_unknown(void **state)
{
	struct made m;

	(void)state;
	make(&m);
	m.guest[1].known = false;
	m.mem.n_unknown = 1;
	m.guest[2].pages = (struct vu_pages_guest){0};
	show(&m, NULL);
	has(&m, ">unknown<");
	has(&m, ">has no processes<");
	has(&m, "Of 1 guest it is unknown");
	has(&m, "No guest has one");
	has(&m, "no service holds");
	m.mem.hidden = m.library.hidden = m.stale.hidden = true;
	show(&m, NULL);
	has(&m, "what guests have and share is unknown");
	hasnt(&m, "MiB");
	hasnt(&m, "<dt>");
	free(m.text);
}

static void strip_of(struct made *m, int guest, const uint64_t *copies, size_t n)
{
	m->in[guest].path = lib;
	m->in[guest].pages = n;
	m->library.pages = VU_MAX(m->library.pages, n);
	memcpy(m->in[guest].copy, copies, n * sizeof(*copies));
}

static void test_strips(void **state)
{
	static const uint64_t one[] = {1, 1, 0, 1, 1, 1}, two[] = {2, 9, 0};
	struct made m;

	(void)state;
	make(&m);
	strip_of(&m, 0, one, 6);
	strip_of(&m, 1, two, 3);
	m.in[0].main = m.in[1].main = 1;
	m.in[0].resident = 5;
	show(&m, lib);
	has(&m, "viewBox=\"0 0 6 1\"");
	has(&m, "<rect class=\"c1\" x=\"0.00\" y=\"0\" width=\"2.00\" height=\"1\"/>"
		"<rect class=\"c1\" x=\"3.00\" y=\"0\" width=\"3.00\" height=\"1\"/></svg>");
	/* the ninth copy has the colour of the first */
	has(&m, "<rect class=\"c2\" x=\"0.00\" y=\"0\" width=\"1.00\" height=\"1\"/>"
		"<rect class=\"c1\" x=\"1.00\" y=\"0\" width=\"1.00\" height=\"1\"/></svg>");
	has(&m, "<span>&lt;b&gt;one&amp;, two\\xff</span>");
	has(&m, ">has no such file<");
	free(m.text);
}

/* 2048 pages are 512 cells of 4: each is what most of its pages are. */
static void test_long_strip(void **state)
{
	uint64_t pages[2048];
	struct made m;

	(void)state;
	for (size_t i = 0; i < 2048; i++)
		pages[i] = i < 1024 ? 1 : i % 4 ? 3 : 0;
	pages[5] = 2;
	make(&m);
	strip_of(&m, 0, pages, 2048);
	m.library.cut = true;
	show(&m, lib);
	has(&m, "viewBox=\"0 0 512 1\"");
	has(&m, "<rect class=\"c1\" x=\"0.00\" y=\"0\" width=\"256.00\" height=\"1\"/>"
		"<rect class=\"c3\" x=\"256.00\" y=\"0\" width=\"256.00\" height=\"1\"/></svg>");
	has(&m, "A cell of the strip is 4 pages");
	has(&m, "only its first 2048 pages");
	free(m.text);
}

static void test_services(void **state)
{
	static char unit[] = "x<.service";
	struct vu_stale_service s[SERVICES_MAX + 2];
	struct made m;

	(void)state;
	make(&m);
	for (size_t i = 0; i < VU_ARRAY_SIZE(s); i++)
		s[i] = (struct vu_stale_service){.guest = names[0],
						 .name = unit,
						 .held_bytes = 2 << 20,
						 .freed_bytes = 1 << 20};
	m.stale.services = s;
	m.stale.n_services = VU_ARRAY_SIZE(s);
	m.stale.held_bytes = 5 << 20;
	show(&m, NULL);
	has(&m, "<dd class=\"num\">5.0 MiB</dd>");
	has(&m, "holds 2.0 MiB, of which 1.0 MiB come free");
	has(&m, "x&lt;.service");
	has(&m, "And 2 more");
	free(m.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	 cmocka_unit_test(test_names_are_text),
		cmocka_unit_test(test_sums),	 cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_strips),	 cmocka_unit_test(test_long_strip),
		cmocka_unit_test(test_services),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which guest it is: each fact alone, against each other, and while the container is being made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "cow/handoff-guest.h"

/* Directories: the host's root, the guests' (inode numbers are the same on two file systems), and another. */
#define HOST                                                                                       \
	{                                                                                          \
		1, 2                                                                               \
	}
#define WEB1                                                                                       \
	{                                                                                          \
		8, 100                                                                             \
	}
#define WEB2                                                                                       \
	{                                                                                          \
		8, 200                                                                             \
	}
#define FAR                                                                                        \
	{                                                                                          \
		9, 100                                                                             \
	}
#define ELSEWHERE                                                                                  \
	{                                                                                          \
		7, 700                                                                             \
	}
#define NONE                                                                                       \
	{                                                                                          \
		0, 0                                                                               \
	}

static char web1[] = "web1", web2[] = "web2", far[] = "far", host[] = "host";
static struct vu_guest all[] = {
	{.name = (char[]){"lost"}}, /* not found in this run: dev and ino are 0 */
	{.name = host, .dev = 1, .ino = 2},   {.name = web1, .dev = 8, .ino = 100},
	{.name = web2, .dev = 8, .ino = 200}, {.name = far, .dev = 9, .ino = 100},
};
static const struct vu_guests guests = {all, VU_ARRAY_SIZE(all)};

#define NOT_YET VU_HANDOFF_NOT_YET
#define NO_GUEST VU_HANDOFF_NO_GUEST
#define BY_ROOT VU_HANDOFF_BY_ROOT
#define BY_INIT VU_HANDOFF_BY_INIT

struct row {
	struct vu_handoff_dir root, init_root;
	const char *metadata;
	int making, want; /* want: while it is made; what is found then is found also later */
	const char *name;
	enum vu_handoff_by by;
	bool contradicted;
};

static const struct row rows[] = {
	/* the process's root, whatever else is said */
	{WEB1, NONE, NULL, 0, 0, web1, BY_ROOT, false},
	{FAR, NONE, NULL, 0, 0, far, BY_ROOT, false},
	{WEB1, WEB2, "web2", 0, 0, web1, BY_ROOT, true},
	{WEB1, WEB1, "web1", 1, 0, web1, BY_ROOT, false},
	{WEB1, NONE, "no guest", 0, 0, web1, BY_ROOT, false},
	{WEB1, ELSEWHERE, NULL, 0, 0, web1, BY_ROOT, false},
	/* the container's */
	{HOST, WEB2, "web1", 0, 0, web2, BY_INIT, true},
	{NONE, WEB2, NULL, 0, 0, web2, BY_INIT, false},
	{NONE, WEB2, NULL, 1, 0, web2, BY_INIT, false},
	/* nowhere yet */
	{HOST, HOST, NULL, 1, NOT_YET, NULL, 0, false},
	{HOST, HOST, "web2", 1, NOT_YET, NULL, 0, false},
	{HOST, HOST, NULL, 0, NO_GUEST, NULL, 0, false},
	{HOST, NONE, "web2", 0, NO_GUEST, NULL, 0, false},
	{NONE, NONE, "web2", 0, NOT_YET, NULL, 0, false},
	{NONE, HOST, NULL, 0, NOT_YET, NULL, 0, false},
	{NONE, ELSEWHERE, "web1", 0, NO_GUEST, NULL, 0, false},
	/* somewhere else: no name makes it a guest */
	{ELSEWHERE, WEB1, "web1", 0, NO_GUEST, NULL, 0, false},
	{ELSEWHERE, WEB1, "web1", 1, NOT_YET, NULL, 0, false},
	{HOST, ELSEWHERE, "web1", 0, NO_GUEST, NULL, 0, false},
	/* half the same */
	{{9, 200}, NONE, NULL, 0, NO_GUEST, NULL, 0, false},
	{{1, 100}, NONE, NULL, 0, NO_GUEST, NULL, 0, false},
	{{8, 2}, NONE, NULL, 0, NO_GUEST, NULL, 0, false},
	/* the host is a guest, but never this one */
	{HOST, HOST, "host", 0, NO_GUEST, NULL, 0, false},
	{HOST, HOST, "host", 1, NOT_YET, NULL, 0, false},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++) {
		const struct row *w = &rows[i];
		struct vu_handoff_facts f = {HOST, w->root, w->init_root, w->metadata, w->making};
		struct vu_handoff_found found = {77, BY_INIT, false};
		int r = vu_handoff_guest(&f, &guests, &found);

		if (r != w->want)
			fail_msg("row %zu: %d, not %d", i, r, w->want);
		if (r) {
			assert_int_equal(found.guest, 77);
			continue;
		}
		if (strcmp(all[found.guest].name, w->name) || found.by != w->by ||
		    found.contradicted != w->contradicted)
			fail_msg("row %zu: %s by %d, %d", i, all[found.guest].name, found.by,
				 found.contradicted);
	}
}

static void test_no_guests(void **state)
{
	const struct vu_guests none = {NULL, 0};
	struct vu_handoff_facts f = {HOST, WEB1, NONE, "web1", false};
	struct vu_handoff_found found;

	(void)state;
	assert_int_equal(vu_handoff_guest(&f, &none, &found), NO_GUEST);
	f.creating = true;
	assert_int_equal(vu_handoff_guest(&f, &none, &found), NOT_YET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

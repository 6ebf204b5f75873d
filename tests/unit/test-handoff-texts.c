/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is decoded of messages of OCI runtimes: which are none, and their limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "cow/handoff.h"

#define TOP(rest) "{\"fds\":[\"seccompFd\"]," rest "}"
#define OF_STATE(state) TOP("\"pid\":1,\"state\":" state)

struct text {
	const char *text;
	int want;
	const char *why;
};

static int parse(const char *text, size_t size, struct vu_handoff **ret, const char **ret_why)
{
	size_t which = 77;
	int r = vu_handoff_parse(text, size, 1, ret, &which, ret_why);

	assert_int_equal(which, r ? 77 : 0);
	return r;
}

static void test_texts(void **state)
{
	static const char no_pid[] = "has a pid that is none", no_id[] = "has no id of a container",
			  no_json[] = "is no JSON",
			  no_pid_in[] = "has a pid of the container that is none",
			  no_metadata[] = "has metadata that is no text";
	static const struct text rows[] = {
		{OF_STATE("{\"id\":\"a\"}"), 0, NULL},
		{OF_STATE("{\"id\":\"a\",\"bundle\":null,\"pid\":0}"), 0, NULL},
		{OF_STATE("{\"id\":\"../\\u001b[2J\\n\"}"), 0, NULL},
		{OF_STATE("{\"id\":\"\xc3\xa4\"}"), 0, NULL},
		{OF_STATE("{\"id\":\"a\",\"bundle\":\"\"}"), 0, NULL},
		{TOP("\"state\":{\"id\":\"a\"}"), 0, NULL},
		{TOP("\"pid\":4194304,\"state\":{\"id\":\"a\"}"), 0, NULL},
		{"", VU_HANDOFF_MALFORMED, no_json},
		{"[]", VU_HANDOFF_MALFORMED, "is no object"},
		{"7", VU_HANDOFF_MALFORMED, no_json},
		{"{}", VU_HANDOFF_MALFORMED, "names no descriptors"},
		{OF_STATE("{\"id\":\"a\"}") "{}", VU_HANDOFF_MALFORMED, no_json},
		{OF_STATE("{\"id\":\"a\",\"id\":\"b\"}"), VU_HANDOFF_MALFORMED, no_json},
		{OF_STATE("{\"id\":\"a\\u0000b\"}"), VU_HANDOFF_MALFORMED, no_json},
		{OF_STATE("{\"id\":\"\xff\"}"), VU_HANDOFF_MALFORMED, no_json},
		{OF_STATE("{\"id\":\"\xc0\xaf\"}"), VU_HANDOFF_MALFORMED, no_json},
		{OF_STATE("{\"id\":\"\\ud800\"}"), VU_HANDOFF_MALFORMED, no_json},
		{OF_STATE("{\"id\":\"\"}"), VU_HANDOFF_MALFORMED, no_id},
		{OF_STATE("{\"id\":7}"), VU_HANDOFF_MALFORMED, no_id},
		{OF_STATE("{}"), VU_HANDOFF_MALFORMED, no_id},
		{OF_STATE("7"), VU_HANDOFF_MALFORMED, "has no state"},
		{TOP("\"pid\":1"), VU_HANDOFF_MALFORMED, "has no state"},
		{TOP("\"pid\":-1,\"state\":{\"id\":\"a\"}"), VU_HANDOFF_MALFORMED, no_pid},
		{TOP("\"pid\":1.0,\"state\":{\"id\":\"a\"}"), VU_HANDOFF_MALFORMED, no_pid},
		{TOP("\"pid\":\"1\",\"state\":{\"id\":\"a\"}"), VU_HANDOFF_MALFORMED, no_pid},
		{TOP("\"pid\":4194305,\"state\":{\"id\":\"a\"}"), VU_HANDOFF_MALFORMED, no_pid},
		{TOP("\"pid\":4294967297,\"state\":{\"id\":\"a\"}"), VU_HANDOFF_MALFORMED, no_pid},
		{OF_STATE("{\"id\":\"a\",\"pid\":-1}"), VU_HANDOFF_MALFORMED, no_pid_in},
		{OF_STATE("{\"id\":\"a\",\"pid\":[]}"), VU_HANDOFF_MALFORMED, no_pid_in},
		{OF_STATE("{\"id\":\"a\",\"bundle\":{}}"), 0, NULL},
		{TOP("\"pid\":1,\"metadata\":[],\"state\":{\"id\":\"a\"}"), VU_HANDOFF_MALFORMED,
		 no_metadata},
	};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++) {
		struct vu_handoff *h = NULL;
		const char *why = NULL;
		int r = parse(rows[i].text, strlen(rows[i].text), &h, &why);

		if (r != rows[i].want || !why != !rows[i].why || (why && strcmp(why, rows[i].why)))
			fail_msg("%s: %d, %s", rows[i].text, r, why ? why : "well");
		assert_int_equal(!h, r != 0);
		assert_true(!h || h->listener == -EBADF);
		vu_handoff_free(h);
	}
}

/* With "exec" in a container that runs; and what the fields are then. */
static void test_exec(void **state)
{
	static const char text[] = TOP("\"pid\":50,\"state\":{\"id\":\"a\",\"status\":\"running\","
				       "\"pid\":40,\"bundle\":\"/b\"}");
	struct vu_handoff *h = NULL;
	const char *why = NULL;

	(void)state;
	assert_int_equal(parse(text, strlen(text), &h, &why), 0);
	assert_int_equal(h->pid, 50);
	assert_int_equal(h->init, 40);
	assert_false(h->creating);
	assert_null(h->metadata);
	vu_handoff_free(h);
}

/* The same by crun 1.8.1, which does not know. */
static void test_crun_exec(void **state)
{
	static const char text[] =
		TOP("\"pid\": 0, \"metadata\": \"web1\", \"state\": {\"id\": \"a\", "
		    "\"status\": \"running\", \"pid\": 0, \"bundle\": \".\"}");
	struct vu_handoff *h = NULL;
	const char *why = NULL;

	(void)state;
	assert_int_equal(parse(text, strlen(text), &h, &why), 0);
	assert_true(!h->pid && !h->init && !h->creating);
	assert_string_equal(h->metadata, "web1");
	vu_handoff_free(h);
}

/* A text with something of this length in it. */
static int parse_long(const char *before, const char *fill, size_t n, const char *after)
{
	struct vu_handoff *h = NULL;
	const char *why;
	char *text = malloc(strlen(before) + n * strlen(fill) + strlen(after) + 1), *p = text;
	int r;

	assert_non_null(text);
	p = stpcpy(p, before);
	for (size_t i = 0; i < n; i++)
		p = stpcpy(p, fill);
	p = stpcpy(p, after);
	r = parse(text, (size_t)(p - text), &h, &why);
	vu_handoff_free(h);
	free(text);
	return r;
}

static void test_limits(void **state)
{
	static const char whole[] = OF_STATE("{\"id\":\"a\"}");
	static const char id[] = "{\"fds\":[\"seccompFd\"],\"pid\":1,\"state\":{\"id\":\"";
	static const char deep[] =
		"{\"fds\":[\"seccompFd\"],\"pid\":1,\"state\":{\"id\":\"a\",\"x\":";

	(void)state;
	assert_int_equal(parse_long(id, "a", VU_HANDOFF_ID_MAX, "\"}}"), 0);
	assert_int_equal(parse_long(id, "a", VU_HANDOFF_ID_MAX + 1, "\"}}"), VU_HANDOFF_MALFORMED);
	assert_int_equal(parse_long(deep, "[", 60000, "}}"), VU_HANDOFF_MALFORMED);
	/* a NUL behind it is no end */
	assert_int_equal(
		parse(whole, sizeof(whole), &(struct vu_handoff *){NULL}, &(const char *){NULL}),
		VU_HANDOFF_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_crun_exec),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

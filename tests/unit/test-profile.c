/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The profiles, read as runtimes read them: for each system call that has a name, what their rules decide is
 * what the filter's own program returns.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include "base/cleanup.h"
#include "cow/filter.h"
#include "cow/profile.h"

#include "bpf-run.h"

#define ALLOW SECCOMP_RET_ALLOW
#define NOTIFY SECCOMP_RET_USER_NOTIF

static const uint64_t tried[][6] = {
	{0},
	{1, 0x1000, O_RDWR},
	{1, O_RDWR, O_TRUNC},
	{1, O_RDWR | O_EXCL, 0x200},
	{1, O_RDWR | O_CLOEXEC, O_RDWR | O_CLOEXEC},
	{1, O_WRONLY | O_CLOEXEC, O_WRONLY | O_CLOEXEC},
	{1, O_WRONLY | O_NOCTTY, O_WRONLY | O_NOCTTY},
	{1, O_WRONLY | O_NOCTTY | O_CLOEXEC, O_WRONLY | O_NOCTTY | O_CLOEXEC},
	{1, O_WRONLY | O_NOCTTY | O_CLOEXEC | O_CREAT, O_WRONLY | O_NOCTTY | O_CLOEXEC | O_CREAT},
	{1, O_RDWR | O_CREAT, O_RDWR | O_CREAT},
	{1, O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_CREAT | O_EXCL},
	{1, UINT64_C(0x100000000), UINT64_C(0x100000000)},
	{1, UINT64_C(0x140086602), 0},
	{1, 0x40046602, 0},
	{1, 0x401c5820, 0},
	{1, 0x80086601, 0},
	{1, 0x5401, 0},
};

/* ---- OCI ---- */

static bool holds(json_t *test, const uint64_t args[6])
{
	uint64_t arg = args[json_integer_value(json_object_get(test, "index"))];
	uint64_t value = (uint64_t)json_integer_value(json_object_get(test, "value"));
	uint64_t two = (uint64_t)json_integer_value(json_object_get(test, "valueTwo"));
	const char *op = json_string_value(json_object_get(test, "op"));

	assert_non_null(op);
	if (!strcmp(op, "SCMP_CMP_MASKED_EQ"))
		return (arg & value) == two;
	assert_string_equal(op, "SCMP_CMP_NE");
	return arg != value;
}

static bool names(json_t *entry, const char *name)
{
	json_t *list = json_object_get(entry, "names");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (!strcmp(json_string_value(json_array_get(list, i)), name))
			return true;
	return false;
}

static uint32_t action_of(json_t *entry)
{
	const char *action = json_string_value(json_object_get(entry, "action"));

	assert_non_null(action);
	if (!strcmp(action, "SCMP_ACT_NOTIFY"))
		return NOTIFY;
	assert_string_equal(action, "SCMP_ACT_ERRNO");
	return SECCOMP_RET_ERRNO | (uint32_t)json_integer_value(json_object_get(entry, "errnoRet"));
}

static uint32_t decide_oci(const void *arg, const char *name, const uint64_t args[6])
{
	json_t *list = json_object_get((const json_t *)arg, "syscalls");

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *entry = json_array_get(list, i), *tests = json_object_get(entry, "args");
		bool hit = names(entry, name);

		for (size_t k = 0; k < json_array_size(tests); k++)
			hit &= holds(json_array_get(tests, k), args);
		if (hit)
			return action_of(entry);
	}
	return ALLOW;
}

/* ---- LXC ---- */

static uint32_t decide_lxc(const void *arg, const char *name, const uint64_t args[6])
{
	size_t len = strlen(name);
	char op[32];

	for (const char *l = arg; *l; l = strchr(l, '\n') + 1) {
		unsigned long long value, mask;
		unsigned index, error = 0;

		if (strncmp(l, name, len) || l[len] != ' ')
			continue;
		const char *open = strchr(l, '['), *end = strchr(l, '\n');
		uint32_t action = sscanf(l + len, " errno %u", &error) == 1
					  ? SECCOMP_RET_ERRNO | error
					  : NOTIFY;

		assert_true(error || !strncmp(l + len, " notify", 7));
		if (!open || open > end)
			return action;
		/* as get_seccomp_arg_value of LXC does it */
		_cleanup_free_ char *test = strndup(open, strcspn(open, "]"));
		int n = sscanf(test, "[%i,%lli,%30[^0-9^,],%lli", (int *)&index,
			       (long long *)&value, op, (long long *)&mask);

		if (n == 4 && !strcmp(op, "SCMP_CMP_MASKED_EQ") && (args[index] & mask) == value)
			return action;
		if (n == 3 && !strcmp(op, "SCMP_CMP_NE") && args[index] != value)
			return action;
		assert_true(n == 3 || n == 4);
	}
	return ALLOW;
}

/* ---- both ---- */

typedef uint32_t decide_fn(const void *arg, const char *name, const uint64_t args[6]);

/* What LXC itself opens before anybody answers. */
static bool is_own_open(const char *name, uint64_t flags)
{
	return !strcmp(name, "openat") &&
	       (flags == O_RDWR || flags == (O_WRONLY | O_NOCTTY | O_CLOEXEC));
}

static void compare(unsigned flags, decide_fn *decide, const void *arg, bool lxc)
{
	struct vu_filter *f = NULL;
	unsigned notified = 0;

	assert_int_equal(vu_filter_new(0, flags, &f), 0);
	for (int nr = 0; nr < 500; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(seccomp_arch_native(), nr);

		if (!name)
			continue;
		for (size_t i = 0; i < VU_ARRAY_SIZE(tried); i++) {
			uint32_t got = decide(arg, name, tried[i]);
			uint32_t want = bpf_run(f, seccomp_arch_native(), nr, tried[i]);

			if (lxc && is_own_open(name, tried[i][2]))
				want = ALLOW;
			if (got != want)
				fail_msg("%s, arguments %zu: %x, not %x", name, i, got, want);
			notified += got == NOTIFY;
		}
		free(name);
	}
	assert_true(notified > 200);
	vu_filter_free(f);
}

/* libseccomp of today cannot name these. */
static const char *const unnamed[] = {"setxattrat", "removexattrat", "file_setattr"};

static json_t *make_oci(unsigned flags, const char *metadata)
{
	char *text = NULL;

	assert_int_equal(vu_profile_oci(flags, "/run/vunify/cow.sock", metadata, &text), 0);
	json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	free(text);
	assert_non_null(o);
	return o;
}

static void test_oci(void **state)
{
	(void)state;
	for (unsigned flags = 0; flags <= VU_FILTER_DESCRIPTORS; flags++) {
		json_t *o = make_oci(flags, "web1");

		compare(flags, decide_oci, o, false);
		for (size_t i = 0; i < VU_ARRAY_SIZE(unnamed); i++)
			assert_int_equal(decide_oci(o, unnamed[i], tried[0]), NOTIFY);
		json_decref(o);
	}
}

static void test_oci_head(void **state)
{
	json_t *o = make_oci(0, "web1");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(o, "defaultAction")),
			    "SCMP_ACT_ALLOW");
	assert_string_equal(json_string_value(json_object_get(o, "listenerPath")),
			    "/run/vunify/cow.sock");
	assert_string_equal(json_string_value(json_object_get(o, "listenerMetadata")), "web1");
	assert_int_equal(json_array_size(json_object_get(o, "architectures")), 2);
	json_decref(o);
	o = make_oci(0, NULL);
	assert_null(json_object_get(o, "listenerMetadata"));
	json_decref(o);
}

static void test_oci_bad_text(void **state)
{
	char *text = NULL;

	(void)state;
	assert_int_equal(vu_profile_oci(0, "/run/\xff", NULL, &text), -EINVAL);
	assert_int_equal(vu_profile_oci(0, "/run/x", "\xff", &text), -EINVAL);
	assert_null(text);
}

static void test_lxc(void **state)
{
	(void)state;
	for (unsigned flags = 0; flags <= VU_FILTER_DESCRIPTORS; flags++) {
		char *text = NULL;

		assert_int_equal(vu_profile_lxc(flags, &text), 0);
		assert_int_equal(strncmp(text, "2\ndenylist\n", 11), 0);
		compare(flags, decide_lxc, text, true);
		for (size_t i = 0; i < VU_ARRAY_SIZE(unnamed); i++)
			assert_int_equal(decide_lxc(text, unnamed[i], tried[0]), NOTIFY);
		free(text);
	}
}

/* Each pair of flags, with each access mode. */
static void test_lxc_opens(void **state)
{
	struct vu_filter *f = NULL;
	char *text = NULL;

	(void)state;
	assert_int_equal(vu_filter_new(0, 0, &f), 0);
	assert_int_equal(vu_profile_lxc(0, &text), 0);
	int nr = seccomp_syscall_resolve_name("openat");

	for (uint64_t a = 1; a <= 020000000; a <<= 1) {
		for (uint64_t b = a; b <= 020000000; b <<= 1) {
			for (uint64_t mode = 0; mode <= O_ACCMODE; mode++) {
				uint64_t args[6] = {1, 0x1000, mode | (a & ~077) | (b & ~077)};
				uint32_t want =
					is_own_open("openat", args[2])
						? ALLOW
						: bpf_run(f, seccomp_arch_native(), nr, args);

				if (decide_lxc(text, "openat", args) != want)
					fail_msg("flags %o", (unsigned)args[2]);
			}
		}
	}
	free(text);
	vu_filter_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oci),	     cmocka_unit_test(test_oci_head),
		cmocka_unit_test(test_oci_bad_text), cmocka_unit_test(test_lxc),
		cmocka_unit_test(test_lxc_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

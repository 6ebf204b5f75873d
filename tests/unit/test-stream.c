/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stream of members, and the names that they may have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "archive/member-path.h"
#include "archive/stream.h"
#include "base/cleanup.h"

static int rewound(int fd)
{
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* What is put in comes out, members above the buffers' size too. */
static void back_and_forth(void **state)
{
	_cleanup_fd_ int fd = memfd_create("stream", MFD_CLOEXEC);
	_cleanup_free_ char *big = calloc(1, 3 << 20);
	const struct vu_digest digest = {{1, 2, 3}};
	struct vu_xattr_list x = {0};
	struct vu_stream_out out;
	struct vu_stream_in in;
	struct vu_stream_item it;
	const char *name;
	const void *value;
	size_t at = 0, len;

	(void)state;
	assert_non_null(big);
	memset(big, 'b', 3 << 20);
	assert_int_equal(vu_xattr_list_add(&x, "user.a", "1", 1, 100), 0);
	assert_int_equal(vu_xattr_list_add(&x, "user.empty", NULL, 0, 100), 0);
	assert_int_equal(vu_xattr_list_add(&x, "user.b", big, 80, 100), -E2BIG);
	const struct vu_member m = {
		.mode = 0100644,
		.uid = 7,
		.mtime_sec = -5,
		.mtime_nsec = 999999999,
		.hashed = true,
		.size = UINT64_MAX,
		.path = "a\nb",
		.link = "",
		.xattrs = x.data,
		.xattrs_bytes = x.len,
	};

	assert_int_equal(vu_stream_out_init(&out, fd), 0);
	assert_int_equal(vu_stream_put_member(&out, &m), 0);
	assert_int_equal(vu_stream_put_data(&out, 77, big, 3 << 20), 0);
	assert_int_equal(vu_stream_put_end(&out, NULL), 0);
	assert_int_equal(vu_stream_put_end(&out, &digest), 0);
	assert_int_equal(vu_stream_put_last(&out, "why", true), 0);
	vu_stream_out_done(&out);
	assert_int_equal(vu_stream_in_init(&in, rewound(fd)), 0);
	assert_int_equal(vu_stream_next(&in, &it), 0);
	assert_int_equal(it.kind, VU_STREAM_MEMBER);
	assert_string_equal(it.member.path, "a\nb");
	assert_int_equal(it.member.mtime_sec, -5);
	assert_true(it.member.hashed && !it.member.hard);
	assert_true(it.member.size == UINT64_MAX);
	assert_true(vu_member_xattr(&it.member, &at, &name, &value, &len));
	assert_string_equal(name, "user.a");
	assert_int_equal(len, 1);
	assert_true(vu_member_xattr(&it.member, &at, &name, &value, &len));
	assert_string_equal(name, "user.empty");
	assert_int_equal(len, 0);
	assert_false(vu_member_xattr(&it.member, &at, &name, &value, &len));
	for (uint64_t want = 77; want < 77 + (3 << 20); want += it.len) {
		assert_int_equal(vu_stream_next(&in, &it), 0);
		assert_int_equal(it.kind, VU_STREAM_DATA);
		assert_true(it.at == want && *(const char *)it.data == 'b');
	}
	assert_int_equal(vu_stream_next(&in, &it), 0);
	assert_int_equal(it.kind, VU_STREAM_END);
	assert_null(it.digest);
	assert_int_equal(vu_stream_next(&in, &it), 0);
	assert_int_equal(it.kind, VU_STREAM_END);
	assert_memory_equal(it.digest, &digest, sizeof(digest));
	assert_int_equal(vu_stream_next(&in, &it), 0);
	assert_int_equal(it.kind, VU_STREAM_FAILED);
	assert_true(it.refused);
	assert_string_equal(it.text, "why");
	assert_int_equal(vu_stream_next(&in, &it), -EPIPE);
	vu_stream_in_done(&in);
	free(x.data);
}

static int first_item(const void *bytes, size_t n)
{
	_cleanup_fd_ int fd = memfd_create("stream", MFD_CLOEXEC);
	struct vu_stream_in in;
	struct vu_stream_item it;

	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(vu_stream_in_init(&in, rewound(fd)), 0);
	int r = vu_stream_next(&in, &it);

	vu_stream_in_done(&in);
	return r;
}

/* A process that was taken over may write anything. */
static void hostile(void **state)
{
	uint32_t w[64] = {0};

	(void)state;
	w[0] = 99; /* no kind */
	assert_int_equal(first_item(w, 8), -EPROTO);
	w[0] = VU_STREAM_DATA;
	w[1] = UINT32_MAX; /* larger than any item */
	assert_int_equal(first_item(w, 8), -EPROTO);
	w[1] = 8; /* an offset, and nothing */
	assert_int_equal(first_item(w, 16), -EPROTO);
	w[0] = VU_STREAM_END;
	assert_int_equal(first_item(w, 16), -EPROTO);
	w[0] = VU_STREAM_FAILED;
	w[1] = 1; /* no text */
	assert_int_equal(first_item(w, 9), -EPROTO);
	w[0] = VU_STREAM_MEMBER;
	w[1] = 4; /* cut */
	assert_int_equal(first_item(w, 12), -EPROTO);
	/* lengths that do not add up, and one that wraps */
	w[1] = 64;
	w[2 + 11] = 7;
	assert_int_equal(first_item(w, 8 + 64), -EPROTO);
	for (unsigned i = 11; i < 14; i++) {
		memset(&w[2], 0, 64);
		w[2 + i] = UINT32_MAX - 1;
		assert_int_equal(first_item(w, 8 + 64), -EPROTO);
	}
	assert_int_equal(first_item(w, 3), -EPIPE);
}

static void names(void **state)
{
	static const struct {
		const char *name, *path;
	} good[] = {
		{"a", "a"},	    {"./a", "a"},
		{"a/", "a"},	    {"./", ""},
		{".", ""},	    {"", ""},
		{"a//b", "a/b"},    {"a/./b/.", "a/b"},
		{"...", "..."},	    {"..a/b..", "..a/b.."},
		{"a/...", "a/..."},
	};
	static const char *const bad[] = {"/",	  "/a",	    "//",     "..",	"../a",
					  "a/..", "a/../b", "./../a", "a/b/c/d"};
	char path[VU_MEMBER_PATH_MAX + 1], *longest = malloc(6000);

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(good); i++) {
		assert_null(vu_member_path(good[i].name, 3, path));
		assert_string_equal(path, good[i].path);
	}
	for (size_t i = 0; i < VU_ARRAY_SIZE(bad); i++)
		assert_non_null(vu_member_path(bad[i], 3, path));
	/* 4095 bytes are taken, and what fits behind taking components away */
	memset(longest, 'x', 6000);
	for (size_t i = 100; i < 6000; i += 100)
		longest[i] = '/';
	longest[VU_MEMBER_PATH_MAX] = 0;
	assert_null(vu_member_path(longest, 1000, path));
	assert_string_equal(path, longest);
	longest[VU_MEMBER_PATH_MAX] = 'x';
	longest[VU_MEMBER_PATH_MAX + 1] = 0;
	assert_non_null(vu_member_path(longest, 1000, path));
	free(longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(back_and_forth),
		cmocka_unit_test(hostile),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The notes of slips: a name of the directory, a NUL, and the text of a note. Only names that objects
 * have are told; who was seen is told once each, and stands in the text.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "link/slip.h"

int __wrap_vu_pool_part_open(const struct vu_pool *p, const char *name, bool make);

int __wrap_vu_pool_part_open(const struct vu_pool *p, const char *name, bool make)
{
	(void)p;
	CHECK(!strcmp(name, "slipped") && !make);
	return openat(scratch_fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int told(void *arg, const struct vu_key *key)
{
	char name[VU_KEY_NAME_MAX];
	char **expected = arg;

	vu_key_name(key, name);
	CHECK(*expected && !strncmp(*expected, name, strlen(name)));
	CHECK(!(*expected)[strlen(name)] || !strcmp(*expected + strlen(name), ".copy"));
	*expected = NULL;
	return 0;
}

static void check_name(char *name)
{
	char *expected = name;

	if (!*name || strchr(name, '/') || strlen(name) > 255 || !strcmp(name, ".") ||
	    !strcmp(name, ".."))
		return;
	put_file_at(scratch_fd(), name, "", 0);
	CHECK(!vu_slip_each(NULL, told, &expected));
	CHECK(!unlinkat(scratch_fd(), name, 0));
}

/* A key's name with anything behind it. */
static void check_suffix(const char *suffix)
{
	static const struct vu_key key = {.generation = 3};
	char name[300];

	vu_key_name(&key, name);
	snprintf(name + strlen(name), sizeof(name) - strlen(name), "%.100s", suffix);
	check_name(name);
}

static void check_note(const struct input *in)
{
	static const struct vu_key key;
	struct vu_slip_seen seen[VU_SLIP_SEEN_MAX];
	char name[VU_KEY_NAME_MAX];
	size_t lines = 0;

	vu_key_name(&key, name);
	put_file_at(scratch_fd(), name, in->p, in->n);
	for (size_t i = 0; i < in->n; i++)
		lines += in->p[i] == '\n';
	int n = vu_slip_seen(NULL, &key, seen, VU_ARRAY_SIZE(seen));

	CHECK(n >= 0 && (size_t)n <= VU_ARRAY_SIZE(seen) && (size_t)n <= lines);
	for (int i = 0; i < n; i++) {
		CHECK(seen[i].holds || seen[i].waited);
		for (int k = 0; k < i; k++)
			CHECK(seen[k].root_ino != seen[i].root_ino);
	}
	CHECK(!vu_slip_forget(NULL, &key));
}

/* What is written down is what is read. */
static void check_round_trip(struct input in)
{
	static const struct vu_key key;
	struct vu_slip_seen seen[VU_SLIP_SEEN_MAX];
	_cleanup_free_ char *text = NULL;
	uint64_t root[8] = {0};
	bool holds[8];
	size_t size = 0, n = take_byte(&in) % 8;
	FILE *f = open_memstream(&text, &size);
	char name[VU_KEY_NAME_MAX];

	CHECK(f);
	for (size_t i = 0; i < n; i++) {
		root[i] = take_number(&in);
		holds[i] = take_byte(&in) & 1;
		fprintf(f, "%s %ju\n", holds[i] ? "holds" : "waited", (uintmax_t)root[i]);
	}
	CHECK(!fclose(f));
	vu_key_name(&key, name);
	put_file_at(scratch_fd(), name, text, size);
	int got = vu_slip_seen(NULL, &key, seen, VU_ARRAY_SIZE(seen));

	for (size_t i = 0; i < n; i++) {
		bool found = false;

		for (int k = 0; k < got; k++)
			found |= seen[k].root_ino == root[i] &&
				 (holds[i] ? seen[k].holds : seen[k].waited);
		CHECK(found);
	}
	CHECK(!vu_slip_forget(NULL, &key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	_cleanup_free_ char *name = take_until(&in, 0);

	check_name(name);
	check_suffix(name);
	check_note(&in);
	check_round_trip(in);
	return 0;
}

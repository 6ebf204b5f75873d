/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzzers share. Each is one file with one LLVMFuzzerTestOneInput, built with -Dfuzz=true and
 * run by tests/fuzz/run-fuzzers. A property that does not hold aborts, which libFuzzer takes for a
 * crash and keeps the input.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what);  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* What is left of the input. */
struct input {
	const uint8_t *p;
	size_t n;
};

static inline uint8_t take_byte(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

static inline uint64_t take_number(struct input *in)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | take_byte(in);
	return v;
}

/* All up to the byte end (which is taken too), or all that is left. malloc'ed, with a NUL behind it. */
static inline char *take_until(struct input *in, char end)
{
	const uint8_t *stop = memchr(in->p, end, in->n);
	size_t n = stop ? (size_t)(stop - in->p) : in->n;
	char *s = malloc(n + 1);

	CHECK(s);
	memcpy(s, in->p, n);
	s[n] = 0;
	in->p += n + (stop != NULL);
	in->n -= n + (stop != NULL);
	return s;
}

static inline void put_file_at(int dirfd, const char *name, const void *p, size_t n)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	close(fd);
}

/* A directory of this process, made once; whoever set TMPDIR removes it. */
static inline int scratch_fd(void)
{
	static char path[4096];
	static int fd = -1;

	if (fd < 0) {
		const char *top = getenv("TMPDIR");

		snprintf(path, sizeof(path), "%s/fuzz.XXXXXX", top ? top : "/tmp");
		CHECK(mkdtemp(path));
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		CHECK(fd >= 0);
	}
	return fd;
}

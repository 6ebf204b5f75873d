/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process with memory of known content, for tests of what counts it: page-pattern [ROOT]. It takes ROOT as its
 * root directory, says "ready", and then does what the lines of its stdin say, each answered with "done" (or why not):
 *
 *   fill COPIES ZEROS UNIQUE SEED   pages of private memory: of one content, of zeros, each of its own
 *   huge SEED                       2 MiB in a huge page if there are any, all pages of one content; says how many bytes are
 *   sparse                          a terabyte, of which one page is there
 *   shared PAGES                    pages of shared memory, full of one content
 *   fork                            a child with the same memory, which ends with it
 *   change                          writes into every page that was filled, what was there
 *   where                           the address of what was filled last
 *
 * Its end is the end of stdin.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PAGES_MAX (1UL << 22)

static size_t page;
static char *filled;
static size_t n_filled;

static char *map(size_t bytes, int flags, int advice)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		printf("%s\n", strerror(errno));
		exit(1);
	}
	madvise(p, bytes, advice);
	return p;
}

/* Never zero, and never twice the same for one seed. */
static void write_page(char *p, uint64_t seed, uint64_t i)
{
	uint64_t x = (seed << 32) + i + 1;

	for (size_t k = 0; k < page; k += sizeof(x))
		memcpy(p + k, &x, sizeof(x));
}

static void fill(size_t copies, size_t zeros, size_t unique, uint64_t seed)
{
	if (copies > PAGES_MAX || zeros > PAGES_MAX || unique > PAGES_MAX)
		exit(1);
	n_filled = copies + zeros + unique;
	filled = map(n_filled * page + page, MAP_PRIVATE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < copies; i++)
		write_page(filled + i * page, 0xc0de, 1);
	for (size_t i = copies; i < copies + zeros; i++)
		*(volatile char *)(filled + i * page) = 0;
	for (size_t i = copies + zeros; i < n_filled; i++)
		write_page(filled + i * page, seed, i - copies - zeros);
}

static void huge(uint64_t seed)
{
	size_t size = 2UL << 20, there = 0;
	char *p = map(2 * size, MAP_PRIVATE, MADV_NOHUGEPAGE), line[256];

	p += size - (uintptr_t)p % size;
	madvise(p, size, MADV_HUGEPAGE);
	for (size_t i = 0; i < size; i += page)
		write_page(p + i, seed, 0);
	FILE *f = fopen("/proc/self/smaps_rollup", "r");

	while (f && fgets(line, sizeof(line), f))
		(void)sscanf(line, "AnonHugePages: %zu", &there);
	if (f)
		fclose(f);
	printf("%zu ", there * 1024);
}

static void change(void)
{
	for (size_t i = 0; i < n_filled; i++) {
		volatile char *p = filled + i * page;

		*p = *p;
	}
}

/* It has written what it writes (its stack) when this returns. */
static void fork_child(void)
{
	int fds[2];
	char c = 0;

	if (pipe(fds))
		exit(1);
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		c = write(fds[1], &c, 1) == 1;
		for (;;)
			pause();
	}
	if (read(fds[0], &c, 1) != 1)
		exit(1);
}

static void act(const char *line)
{
	size_t a = 0, b = 0, c = 0, d = 0;

	if (sscanf(line, "fill %zu %zu %zu %zu", &a, &b, &c, &d) == 4)
		fill(a, b, c, d);
	else if (sscanf(line, "huge %zu", &a) == 1)
		huge(a);
	else if (!strcmp(line, "sparse\n"))
		*map(1UL << 40, MAP_PRIVATE | MAP_NORESERVE, MADV_NOHUGEPAGE) = 1;
	else if (sscanf(line, "shared %zu", &a) == 1 && a < PAGES_MAX)
		memset(map(a * page + page, MAP_SHARED, MADV_NORMAL), 1, a * page);
	else if (!strcmp(line, "fork\n"))
		fork_child();
	else if (!strcmp(line, "change\n"))
		change();
	else if (!strcmp(line, "where\n"))
		printf("%lx ", (unsigned long)(uintptr_t)filled);
	puts("done");
	fflush(stdout);
}

/* What stdio has is each process' own: else it would be equal in some of them, for a while. */
static void own_buffers(void)
{
	static _Alignas(4096) char in[4096], out[4096];
	pid_t pid = getpid();

	memcpy(in + sizeof(in) - sizeof(pid), &pid, sizeof(pid));
	memcpy(out + sizeof(out) - sizeof(pid), &pid, sizeof(pid));
	setvbuf(stdin, in, _IOFBF, sizeof(in) - sizeof(pid));
	setvbuf(stdout, out, _IOFBF, sizeof(out) - sizeof(pid));
}

int main(int argc, char **argv)
{
	char line[256];

	page = (size_t)sysconf(_SC_PAGESIZE);
	own_buffers();
	if (argc > 1 && (chroot(argv[1]) || chdir("/")))
		return 1;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		act(line);
	return 0;
}

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
 *   text PAGES SEED                 pages of private memory that compress, every third of which is there twice
 *   out                             what was filled last is swapped out; says how many pages are not
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
static FILE *pagemap; /* from before it took another root */

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

static void shared(size_t n)
{
	n_filled = n;
	filled = map(n * page + page, MAP_SHARED, MADV_NORMAL);
	memset(filled, 1, n * page);
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

/* Words in an order of their own: as compressible as text is. Each page has another amount of noise. */
static void write_text(char *p, uint64_t seed)
{
	static const char *const words[] = {"library",	      "process ", "the",   " of\n",
					    "0x7fff",	      "0000",	  "guest", "/usr/lib",
					    "\0\0\0\0\0\0\0", "memory",	  "=",	   ";\n\t",
					    "return",	      "inode",	  "page",  "vunify"};
	uint64_t x = seed * 0x9e3779b97f4a7c15 + 1, noise = seed % 9;

	for (size_t k = 0; k < page;) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		const char *w = x >> 32 & 7 ? words[x >> 8 & 15] : "        ";
		size_t n = strlen(w) + 1;

		if ((x >> 40) % 9 < noise) {
			w = (const char *)&x;
			n = sizeof(x);
		}
		if (n > page - k)
			n = page - k;
		memcpy(p + k, w, n);
		k += n;
	}
}

static void text(size_t n, uint64_t seed)
{
	if (n > PAGES_MAX)
		exit(1);
	n_filled = n;
	filled = map(n * page + page, MAP_PRIVATE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < n; i++)
		write_text(filled + i * page, (seed << 32) + (i % 3 == 2 ? i - 1 : i));
}

/* The kernel may leave some for a moment. */
static void out(void)
{
	size_t left = 1;

	for (int tries = 0; pagemap && left && tries < 100; tries++) {
		left = 0;
		madvise(filled, n_filled * page, MADV_PAGEOUT);
		for (size_t i = 0; i < n_filled; i++) {
			uint64_t entry = 0;

			fseek(pagemap, (long)(((uintptr_t)filled / page + i) * sizeof(entry)),
			      SEEK_SET);
			if (fread(&entry, sizeof(entry), 1, pagemap) == 1)
				left += entry >> 63;
		}
		if (left)
			usleep(10000);
	}
	printf("%zu ", left);
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
		shared(a);
	else if (!strcmp(line, "fork\n"))
		fork_child();
	else if (!strcmp(line, "change\n"))
		change();
	else if (sscanf(line, "text %zu %zu", &a, &b) == 2)
		text(a, b);
	else if (!strcmp(line, "out\n"))
		out();
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
	pagemap = fopen("/proc/self/pagemap", "r");
	if (argc > 1 && (chroot(argv[1]) || chdir("/")))
		return 1;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		act(line);
	return 0;
}

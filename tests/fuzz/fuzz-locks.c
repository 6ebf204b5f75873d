/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/locks. The first byte chooses: any text; or leases and who waits for them, written as the kernel
 * does it, and then it is known who has to be found. No process is ever touched: what would do so ends
 * here.
 */
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "link/interrupt.h"

#define INO 4711
#define DEV makedev(0xfe, 1)

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
int __real_kill(pid_t pid, int signo);
int __wrap_kill(pid_t pid, int signo);
long __wrap_ptrace(int request, pid_t pid, void *addr, void *data);

static char *text;
static size_t text_size;
static bool at_work; /* what is fuzzed runs */

FILE *__wrap_fopen(const char *path, const char *mode)
{
	if (strcmp(path, "/proc/locks"))
		return __real_fopen(path, mode);
	/* fmemopen takes no empty buffer */
	return text_size ? fmemopen(text, text_size, "r") : __real_fopen("/dev/null", mode);
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
	return __wrap_fopen(path, mode);
}

DIR *__wrap_opendir(const char *path)
{
	/* the sanitizers have business of their own */
	return strncmp(path, "/proc/", 6) ? __real_opendir(path) : NULL;
}

/* The fuzzer's own processes may be signalled, by the fuzzer. */
int __wrap_kill(pid_t pid, int signo)
{
	CHECK(!at_work);
	return __real_kill(pid, signo);
}

long __wrap_ptrace(int request, pid_t pid, void *addr, void *data)
{
	(void)request;
	(void)pid;
	(void)addr;
	(void)data;
	abort();
}

static bool has(const struct vu_waiters *w, pid_t pid)
{
	for (unsigned i = 0; i < w->n; i++)
		if (w->v[i] == pid)
			return true;
	return false;
}

/* Returns how many wait for the inode, and who they are. */
static unsigned kernels_text(struct input *in, FILE *f, struct vu_waiters *ret)
{
	static const char *const kinds[] = {"LEASE ", "FLOCK ", "POSIX ", "DELEG "};
	unsigned n = 0;

	for (int id = 1; in->n; id++) {
		uint8_t how = take_byte(in);
		uint64_t ino = how & 1 ? INO : take_byte(in);
		bool lease = !(how >> 1 & 3);
		int minor = id % 4 != 0; /* the same number on another file system */

		fprintf(f, "%d: %s %s READ %d fe:%02x:%ju 0 EOF\n", id, kinds[how >> 1 & 3],
			how & 8 ? "BREAKING " : "ACTIVE   ", 100 + how, (unsigned)minor,
			(uintmax_t)ino);
		for (uint8_t i = how >> 4; i; i--) {
			pid_t pid = 1 + take_byte(in) % 64;

			fprintf(f, "%d: -> %s BREAKER   %s %d <none>:0 0 EOF\n", id,
				kinds[how >> 1 & 3], pid & 1 ? "WRITE" : "READ ", (int)pid);
			if (!lease || ino != INO || !minor)
				continue;
			n++;
			if (!has(ret, pid) && ret->n < VU_ARRAY_SIZE(ret->v))
				ret->v[ret->n++] = pid;
		}
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct vu_waiters seen = {0}, want = {0};
	bool structured = take_byte(&in) & 1;
	FILE *f = open_memstream(&text, &text_size);
	unsigned n = 0;

	CHECK(f);
	if (structured)
		n = kernels_text(&in, f, &want);
	else
		fwrite(in.p, 1, in.n, f);
	CHECK(!fclose(f));
	at_work = true;
	int r = vu_interrupt_waiters(DEV, INO, &seen);

	at_work = false;
	CHECK(r >= 0 && seen.n <= VU_ARRAY_SIZE(seen.v) && seen.n <= (unsigned)r);
	for (unsigned i = 0; i < seen.n; i++)
		CHECK(seen.v[i] > 0);
	if (structured) {
		CHECK((unsigned)r == n && seen.n == want.n);
		for (unsigned i = 0; i < want.n; i++)
			CHECK(has(&seen, want.v[i]));
	}
	free(text);
	text = NULL;
	return 0;
}

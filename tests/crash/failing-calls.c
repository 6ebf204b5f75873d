/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into vunify by tests/lib/endure.py: lets memory, or threads, run out.
 *
 *   FAIL_AT=N      the N-th allocation fails (from 1)
 *   FAIL_EVER=1    and every one after it
 *   FAIL_THREAD=N  the N-th thread cannot be made, nor any after it
 *   FAIL_COUNT=F   the number of allocations, and of threads, is written to the file F at the end
 *   FAIL_HURRY=1   nobody sleeps, so that many cases take little time
 *   FAIL_CLOCK=S   the clock that tells the date is S seconds off
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

static atomic_long n_allocs, n_threads;
static long fail_at, fail_thread, clock_off;
static bool fail_ever, hurry;
static const char *count_to;

static long number(const char *name)
{
	const char *s = getenv(name);

	return s ? atol(s) : 0;
}

__attribute__((constructor)) static void begin(void)
{
	fail_thread = number("FAIL_THREAD");
	fail_ever = number("FAIL_EVER");
	hurry = number("FAIL_HURRY");
	clock_off = number("FAIL_CLOCK");
	count_to = getenv("FAIL_COUNT");
	/* what libraries allocate before main() is not vunify's */
	atomic_store(&n_allocs, 0);
	fail_at = number("FAIL_AT");
}

/* Of a run's processes the worker does most, and ends first. */
__attribute__((destructor)) static void end(void)
{
	char text[64] = "";
	int fd = count_to ? open(count_to, O_RDWR | O_CREAT, 0600) : -1;

	if (fd < 0)
		return;
	if (pread(fd, text, sizeof(text) - 1, 0) < 0 || atol(text) >= atomic_load(&n_allocs)) {
		close(fd);
		return;
	}
	int n = snprintf(text, sizeof(text), "%ld %ld\n", atomic_load(&n_allocs),
			 atomic_load(&n_threads));

	if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n)
		_exit(99);
	close(fd);
}

static bool fails(void)
{
	long n = atomic_fetch_add(&n_allocs, 1) + 1;

	if (!fail_at || n < fail_at || (n > fail_at && !fail_ever))
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return fails() ? NULL : __libc_memalign(align, size);
}

void *memalign(size_t align, size_t size)
{
	return aligned_alloc(align, size);
}

int posix_memalign(void **ret, size_t align, size_t size)
{
	void *p = aligned_alloc(align, size);

	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
		(int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
			RTLD_NEXT, "pthread_create");
	long n = atomic_fetch_add(&n_threads, 1) + 1;

	return fail_thread && n >= fail_thread ? EAGAIN : real(t, attr, fn, arg);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *t, struct timespec *rest)
{
	if (hurry)
		return 0;
	return syscall(SYS_clock_nanosleep, clock, flags, t, rest) ? errno : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int r = (int)syscall(SYS_clock_gettime, clock, t);

	if (!r && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		t->tv_sec += clock_off;
	return r;
}

time_t time(time_t *ret)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}

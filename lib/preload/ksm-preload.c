/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvunify-ksm.so: opts the memory of the program it is loaded into (LD_PRELOAD) in to KSM, for kernels on which
 * `vunify ksm run` cannot do that from outside. `vunify ksm run` sets it up.
 *
 * Where a process can opt in all of its memory (PR_SET_MEMORY_MERGE, Linux 6.4), that is all it does: it is for those
 * kernels on which exec(2) ends that (before 6.10). Elsewhere, or with VUNIFY_KSM=madvise, madvise(2) marks
 * what is there, and what malloc(3) and mmap(2) get afterwards; that leaves out what a program gets in other
 * ways (stacks of threads, libraries that are loaded later).
 *
 * The functions of the allocator are looked up by RTLD_NEXT, never by glibc's own names: in a program with an allocator
 * of its own the memory has to come from that one, which will be asked to free it. That lookup may ask for memory
 * itself, at a time when there is nobody to ask yet: it gets some of a buffer here, which nobody can free.
 */
/* With it mmap() would be another name of mmap64(), and both have to be here. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SET_MEMORY_MERGE 67
#define OWN_MAPPING                                                                                \
	(128U << 10) /* from here on glibc's malloc may make a mapping of its own for a block */
#define ARENA ((uintptr_t)64 << 20) /* what its threads' heaps lie in, and are aligned to */

static struct {
	void *(*malloc)(size_t);
	void (*free)(void *);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void *(*memalign)(size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*mmap)(void *, size_t, int, int, int, off_t);
} next;

static _Alignas(16) char early[16384];
static _Atomic size_t early_used;
static _Atomic bool on;				  /* memory is to be marked */
static _Atomic uintptr_t heap_start, heap_marked; /* of brk(2) */
static __thread uintptr_t last_arena __attribute__((tls_model("initial-exec")));
static __thread bool looking_up __attribute__((tls_model("initial-exec")));

static void *early_memory(size_t n)
{
	size_t at = atomic_fetch_add(&early_used, (n + 15) & ~(size_t)15);

	return n <= sizeof(early) && at <= sizeof(early) - n ? early + at : NULL;
}

static bool is_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

static void look_up(void)
{
	looking_up = true;
	*(void **)&next.calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&next.malloc = dlsym(RTLD_NEXT, "malloc");
	*(void **)&next.free = dlsym(RTLD_NEXT, "free");
	*(void **)&next.realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&next.memalign = dlsym(RTLD_NEXT, "memalign");
	*(void **)&next.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
	*(void **)&next.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
	*(void **)&next.mmap = dlsym(RTLD_NEXT, "mmap");
	looking_up = false;
}

/* Is there an allocator to ask? */
static bool ready(void)
{
	if (!next.mmap && !looking_up)
		look_up();
	return !looking_up;
}

/* ---- marking ---- */

static void advise(uintptr_t start, uintptr_t end)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	int was = errno;

	start &= ~(page - 1);
	end = (end + page - 1) & ~(page - 1);
	if (start < end)
		madvise((void *)start, end - start, MADV_MERGEABLE);
	errno = was;
}

/* The heap of brk(2) has grown, or is not marked yet. */
static void mark_heap(void)
{
	uintptr_t end = (uintptr_t)sbrk(0), from = atomic_load(&heap_marked);

	if (end > from) {
		advise(from, end);
		atomic_store(&heap_marked, end);
	}
}

static void *mark(void *p, size_t n)
{
	uintptr_t a = (uintptr_t)p, arena = a & ~(ARENA - 1);

	if (!p || !atomic_load_explicit(&on, memory_order_relaxed))
		return p;
	if (a >= atomic_load(&heap_start) && a < (uintptr_t)sbrk(0)) {
		if (a + n > atomic_load(&heap_marked))
			mark_heap();
	} else if (n >= OWN_MAPPING) {
		advise(a, a + n);
	} else if (arena != last_arena) {
		/* all of it, with what is no memory yet: an error for that, and the rest is marked */
		advise(arena, arena + ARENA);
		last_arena = arena;
	}
	return p;
}

/* "START-END rw-p" of a line of /proc/self/maps. */
static void mark_line(const char *line)
{
	char *p;
	uintptr_t start = strtoul(line, &p, 16), end = *p == '-' ? strtoul(p + 1, &p, 16) : 0;

	if (end && !strncmp(p, " rw-p", 5) && !strstr(p, "[v"))
		advise(start, end);
}

/* What is there already. Without memory of malloc's: this may be before the program's first use of it. */
static void mark_all(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char buf[4096], line[64];
	size_t len = 0;
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (len < sizeof(line) - 1)
				line[len++] = buf[i];
			if (buf[i] != '\n')
				continue;
			line[len] = 0;
			mark_line(line);
			len = 0;
		}
	if (fd >= 0)
		close(fd);
}

__attribute__((constructor)) static void start(void)
{
	const char *how = getenv("VUNIFY_KSM");
	int was = errno;

	ready();
	if ((how && !strcmp(how, "madvise")) || prctl(SET_MEMORY_MERGE, 1, 0, 0, 0)) {
		uintptr_t end = (uintptr_t)sbrk(0), some = (uintptr_t)malloc(1);

		free((void *)some);
		/* where the first block lies is where the heap is, if that is in it */
		atomic_store(&heap_start, some < end ? some & ~(uintptr_t)4095 : end);
		atomic_store(&heap_marked, end);
		mark_all();
		atomic_store(&on, true);
	}
	errno = was;
}

/* ---- in front of the allocator ---- */

void *malloc(size_t n)
{
	return ready() ? mark(next.malloc(n), n) : early_memory(n);
}

void free(void *p)
{
	if (!is_early(p) && ready())
		next.free(p);
}

void *calloc(size_t a, size_t b)
{
	/* the buffer is zeroed, and none of it is given out twice */
	if (!ready())
		return b && a > SIZE_MAX / b ? NULL : early_memory(a * b);
	return mark(next.calloc(a, b), a * b);
}

void *realloc(void *p, size_t n)
{
	if (is_early(p) || !ready()) {
		void *q = malloc(n);

		if (q && p)
			memcpy(q, p,
			       n < (size_t)(early + sizeof(early) - (char *)p)
				       ? n
				       : (size_t)(early + sizeof(early) - (char *)p));
		return q;
	}
	return mark(next.realloc(p, n), n);
}

void *memalign(size_t align, size_t n)
{
	return ready() ? mark(next.memalign(align, n), n) : NULL;
}

void *aligned_alloc(size_t align, size_t n)
{
	return ready() ? mark(next.aligned_alloc(align, n), n) : NULL;
}

int posix_memalign(void **ret, size_t align, size_t n)
{
	int r = ready() ? next.posix_memalign(ret, align, n) : ENOMEM;

	if (!r)
		mark(*ret, n);
	return r;
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
	void *p = ready() ? next.mmap(at, n, prot, flags, fd, offset) : MAP_FAILED;

	if (p != MAP_FAILED && atomic_load(&on) && flags & MAP_PRIVATE)
		advise((uintptr_t)p, (uintptr_t)p + n);
	return p;
}

/* The same where off_t has 64 bits. */
void *mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));

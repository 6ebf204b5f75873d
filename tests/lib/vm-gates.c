/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm-gates.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- io_uring ---- */

#define OP_FTRUNCATE 55 /* Linux 6.9; Debian 12's headers are older */

static int ring = -1;
static struct io_uring_params params;
static char *sq, *cq;
static struct io_uring_sqe *sqes;

static void *map(size_t size, off_t what)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, what);

	return p == MAP_FAILED ? NULL : p;
}

static void make_ring(void)
{
	ring = (int)syscall(SYS_io_uring_setup, 4, &params);
	if (ring < 0)
		return;
	sq = map(params.sq_off.array + params.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
	cq = map(params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
		 IORING_OFF_CQ_RING);
	sqes = map(params.sq_entries * sizeof(*sqes), IORING_OFF_SQES);
	if (!sq || !cq || !sqes)
		ring = -1;
}

/* One request, to its end. Returns what the kernel did. */
static int submit(const struct io_uring_sqe *request)
{
	uint32_t *tail = (uint32_t *)(void *)(sq + params.sq_off.tail);
	uint32_t mask = *(uint32_t *)(void *)(sq + params.sq_off.ring_mask);
	uint32_t *head = (uint32_t *)(void *)(cq + params.cq_off.head);
	uint32_t cq_mask = *(uint32_t *)(void *)(cq + params.cq_off.ring_mask);
	struct io_uring_cqe *cqes = (struct io_uring_cqe *)(void *)(cq + params.cq_off.cqes);
	int r;

	sqes[*tail & mask] = *request;
	((uint32_t *)(void *)(sq + params.sq_off.array))[*tail & mask] = *tail & mask;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	do
		r = (int)syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	r = cqes[*head & cq_mask].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return r;
}

int vm_ring_open(const char *path)
{
	struct io_uring_sqe e = {
		.opcode = IORING_OP_OPENAT,
		.fd = AT_FDCWD,
		.addr = (uintptr_t)path,
		.open_flags = O_RDWR | O_CLOEXEC,
	};
	int fd = ring < 0 ? -ENOSYS : submit(&e);

	if (fd < 0)
		return fd == -ENOSYS ? VM_NONE : 0;
	(void)!pwrite(fd, "X", 1, 0);
	close(fd);
	return 1;
}

static int by_reading(const char *path, struct io_uring_sqe *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return 0;
	e->fd = fd;
	r = ring < 0 ? -ENOSYS : submit(e);
	close(fd);
	return r == -ENOSYS ? VM_NONE : !r;
}

int vm_ring_truncate(const char *path)
{
	return by_reading(path, &(struct io_uring_sqe){.opcode = OP_FTRUNCATE, .off = 1});
}

int vm_ring_fallocate(const char *path)
{
	/* punch a hole: the mode is in len, the length in addr */
	return by_reading(path, &(struct io_uring_sqe){
					.opcode = IORING_OP_FALLOCATE, .len = 3, .addr = 4096});
}

/* ---- 32-bit calls ---- */

/* Their addresses have to be below 4 GiB: this program is linked statically, and not to be moved. */
static char low_path[4096];
static char low_name[] = "user.attack", low_value[] = "x";
static uint32_t low_words[2];
static bool has_32;

static long call_32(long nr, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)r;
}

static uint32_t low(const void *p)
{
	return (uint32_t)(uintptr_t)p;
}

/* A kernel without them kills who makes one. */
static bool find_32(void)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(call_32(20, 0, 0, 0, 0, 0) == getpid() ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

/* With the path where it can be reached; the rest of the arguments behind it. */
static int by_path_32(const char *path, long nr, uint32_t b, uint32_t c)
{
	strncpy(low_path, path, sizeof(low_path) - 1);
	return has_32 ? !call_32(nr, low(low_path), b, c, 0, 0) : VM_NONE;
}

static int by_reading_32(const char *path, long nr, uint32_t b, uint32_t c, uint32_t d)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return 0;
	r = has_32 ? !call_32(nr, (uint32_t)fd, b, c, d, 0) : VM_NONE;
	close(fd);
	return r;
}

int vm_open_32(const char *path)
{
	long fd;

	if (!has_32)
		return VM_NONE;
	strncpy(low_path, path, sizeof(low_path) - 1);
	fd = call_32(5, low(low_path), O_RDWR | O_NONBLOCK, 0, 0, 0);
	if (fd < 0)
		return 0;
	(void)!pwrite((int)fd, "X", 1, 0);
	close((int)fd);
	return 1;
}

int vm_truncate_32(const char *path)
{
	return by_path_32(path, 193, 1, 0); /* truncate64 */
}

int vm_chmod_32(const char *path)
{
	return by_path_32(path, 15, 0777, 0);
}

int vm_fchmod_32(const char *path)
{
	return by_reading_32(path, 94, 0777, 0, 0);
}

int vm_chown_32(const char *path)
{
	return by_path_32(path, 198, 7, 7); /* lchown32 */
}

int vm_utime_32(const char *path)
{
	return by_path_32(path, 30, 0, 0);
}

int vm_fsetxattr_32(const char *path)
{
	return by_reading_32(path, 228, low(low_name), low(low_value), 1);
}

/* What is marked by its flag alone is not tried: as for the native request. */
static int set_32(const char *path, unsigned long request, uint32_t value)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return 0;
	if (!has_32) {
		r = VM_NONE;
	} else if (!call_32(54, (uint32_t)fd, FS_IOC32_GETFLAGS, low(low_words), 0, 0) &&
		   !(low_words[0] & FS_IMMUTABLE_FL)) {
		low_words[0] = value ? value : low_words[0] | FS_NODUMP_FL;
		r = !call_32(54, (uint32_t)fd, (uint32_t)request, low(low_words), 0, 0);
	}
	close(fd);
	return r;
}

int vm_flags_32(const char *path)
{
	return set_32(path, FS_IOC32_SETFLAGS, 0);
}

int vm_version_32(const char *path)
{
	return set_32(path, FS_IOC32_SETVERSION, 77);
}

void vm_gates_open(void)
{
	has_32 = find_32();
	make_ring();
}

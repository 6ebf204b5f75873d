/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request at a time, by the bare system calls. What blocks, as an open() that waits for a lease, is
 * done by a thread of the kernel on behalf of the process, and that is the point of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "race-proc.h"

struct uring {
	int fd;
	unsigned *sq_tail, *sq_array, sq_mask;
	unsigned *cq_head, *cq_tail, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static void *map_ring(int fd, size_t size, off_t what)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);

	if (m == MAP_FAILED)
		die("io_uring");
	return m;
}

struct uring *uring_new(void)
{
	struct io_uring_params q = {0};
	struct uring *u = calloc(1, sizeof(*u));

	if (!u)
		die("memory");
	u->fd = (int)syscall(SYS_io_uring_setup, 4, &q);
	if (u->fd < 0) {
		free(u);
		return NULL;
	}
	char *sq = map_ring(u->fd, q.sq_off.array + q.sq_entries * sizeof(unsigned),
			    IORING_OFF_SQ_RING);
	char *cq = map_ring(u->fd, q.cq_off.cqes + q.cq_entries * sizeof(struct io_uring_cqe),
			    IORING_OFF_CQ_RING);

	u->sqes = map_ring(u->fd, q.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	u->sq_tail = (unsigned *)(void *)(sq + q.sq_off.tail);
	u->sq_array = (unsigned *)(void *)(sq + q.sq_off.array);
	u->sq_mask = q.sq_entries - 1;
	u->cq_head = (unsigned *)(void *)(cq + q.cq_off.head);
	u->cq_tail = (unsigned *)(void *)(cq + q.cq_off.tail);
	u->cq_mask = q.cq_entries - 1;
	u->cqes = (struct io_uring_cqe *)(void *)(cq + q.cq_off.cqes);
	return u;
}

static int submit(struct uring *u, const struct io_uring_sqe *sqe)
{
	unsigned tail = *u->sq_tail, head;
	int res;

	u->sqes[tail & u->sq_mask] = *sqe;
	u->sq_array[tail & u->sq_mask] = tail & u->sq_mask;
	__atomic_store_n(u->sq_tail, tail + 1, __ATOMIC_RELEASE);
	unsigned to_submit = 1;

	for (;;) {
		long n = syscall(SYS_io_uring_enter, u->fd, to_submit, 1, IORING_ENTER_GETEVENTS,
				 NULL, 0);

		if (n > 0)
			to_submit = 0;
		if (n < 0 && errno != EINTR)
			die("io_uring_enter");
		head = *u->cq_head;
		if (head != __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE))
			break;
	}
	res = u->cqes[head & u->cq_mask].res;
	__atomic_store_n(u->cq_head, head + 1, __ATOMIC_RELEASE);
	if (res == -512) /* ERESTARTSYS, which is not meant to be seen */
		res = -EINTR;
	if (res < 0)
		errno = -res;
	return res < 0 ? -1 : res;
}

int uring_write(struct uring *u, int fd, const void *bytes, unsigned n, uint64_t at)
{
	struct io_uring_sqe e = {
		.opcode = IORING_OP_WRITE,
		.flags = IOSQE_ASYNC,
		.fd = fd,
		.addr = (uintptr_t)bytes,
		.len = n,
		.off = at,
	};

	return submit(u, &e);
}

int uring_open(struct uring *u, const char *path, int flags)
{
	struct io_uring_sqe e = {
		.opcode = IORING_OP_OPENAT,
		.flags = IOSQE_ASYNC,
		.fd = AT_FDCWD,
		.addr = (uintptr_t)path,
		.len = 0600,
		.open_flags = (unsigned)(flags | O_CLOEXEC),
	};

	return submit(u, &e);
}

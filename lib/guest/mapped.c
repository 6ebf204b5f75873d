/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line of maps is "START-END PERMS OFFSET MAJOR:MINOR INODE PATH". All but the path is the kernel's
 * own; in the path it escapes newlines, and it may be longer than PATH_MAX. So only the beginning of
 * each line is kept, and the rest of it skipped.
 *
 * Reading maps waits for the process' mmap lock, which a guest can hold for as long as it likes (Linux
 * before 6.17: in an mmap() of a file that its own FUSE server serves). That wait ends for a fatal
 * signal only. Hence a child reads, and writes what it finds to a pipe; when nothing comes any more it
 * is killed, and what came is the answer.
 *
 * Threads share their mappings, so one of each process is asked. That a process is counted once for an
 * inode, which it usually maps in several pieces, is kept in a second map: the last process seen.
 */
#include "guest/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/stop.h"
#include "base/write.h"

#define HEAD_MAX 128 /* what stands before the path has 100 bytes at most */
#define TEXT_MAX (UINT64_C(16) << 20)
#define TIME_MAX_MS 10000
#define IDLE_MAX_MS 2000
#define POLL_MS 100 /* how soon a stop is seen */

/* What goes through the pipe, always whole: written and read in multiples of it, and it divides a page. */
struct record {
	uint64_t ino;
	uint32_t fs;
	uint32_t process; /* a number, from 1 */
};

#define N_RECORDS (4096 / sizeof(struct record))

/* ---- the child ---- */

struct reader {
	const struct vu_mapped *fs;
	size_t n_fs;
	int out;
	uint32_t process;
	char head[HEAD_MAX];
	size_t head_len;
	struct record record[N_RECORDS];
	size_t n;
};

static int flush(struct reader *rd)
{
	int r = vu_write_all(rd->out, rd->record, rd->n * sizeof(rd->record[0]));

	if (!r)
		rd->n = 0;
	return r;
}

static int take_line(struct reader *rd)
{
	unsigned int major, minor;
	uint64_t ino;
	int r = 0;

	rd->head[rd->head_len] = 0;
	rd->head_len = 0;
	if (sscanf(rd->head, "%*x-%*x %*s %*x %x:%x %" SCNu64, &major, &minor, &ino) != 3 || !ino)
		return 0;
	/* not only the first: a file system may be mounted, and given, twice */
	for (size_t i = 0; !r && i < rd->n_fs; i++) {
		if (rd->fs[i].dev != makedev(major, minor))
			continue;
		rd->record[rd->n++] = (struct record){ino, (uint32_t)i, rd->process};
		if (rd->n == N_RECORDS)
			r = flush(rd);
	}
	return r;
}

static int take_text(struct reader *rd, const char *p, size_t n)
{
	int r = 0;

	while (!r && n) {
		const char *end = memchr(p, '\n', n);
		size_t len = end ? (size_t)(end - p) : n;
		size_t keep = VU_MIN(len, sizeof(rd->head) - 1 - rd->head_len);

		memcpy(rd->head + rd->head_len, p, keep);
		rd->head_len += keep;
		if (end) {
			r = take_line(rd);
			len++;
		}
		p += len;
		n -= len;
	}
	return r;
}

static int take_process(void *arg, size_t root, pid_t pid, int task_fd)
{
	struct reader *rd = arg;
	_cleanup_fd_ int fd = openat(task_fd, "maps", O_RDONLY | O_CLOEXEC);
	char buf[16384];
	int r = 0;

	(void)root;
	(void)pid;
	if (fd < 0)
		return 0;
	rd->process++;
	rd->head_len = 0;
	for (uint64_t sum = 0; !r && sum < TEXT_MAX;) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n <= 0)
			break;
		sum += (uint64_t)n;
		r = take_text(rd, buf, (size_t)n);
	}
	return r ? r : flush(rd);
}

static int child(const struct vu_procs_root *roots, size_t n_roots, const struct vu_mapped *fs,
		 size_t n_fs, int out, pid_t parent)
{
	struct reader rd = {.fs = fs, .n_fs = n_fs, .out = out};

	signal(SIGINT, SIG_IGN); /* the parent sees to it */
	signal(SIGTERM, SIG_IGN);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		return -ESRCH;
	return vu_procs_each(roots, n_roots, take_process, &rd);
}

/* ---- the parent ---- */

static int note(struct vu_inomap *count, struct vu_inomap *seen, const struct record *rec)
{
	uint32_t n = 0, last = 0;

	if (!vu_inomap_get(count, rec->ino, &n) && count->n >= VU_MAPPED_MAX_INODES)
		return 0;
	if (vu_inomap_get(seen, rec->ino, &last) && last == rec->process)
		return 0;
	int r = vu_inomap_set(seen, rec->ino, rec->process);

	return r ? r : vu_inomap_set(count, rec->ino, n + 1);
}

/* Until the child is ready (1), or a bound is met or a stop asked for (0). Or -ENOMEM. */
static int collect(int in, struct vu_mapped *fs, struct vu_inomap *seen)
{
	uint64_t begin = (uint64_t)vu_clock_ms(), last = begin, now = begin;
	struct pollfd p = {.fd = in, .events = POLLIN};
	struct record record[N_RECORDS];
	int r = 0;

	while (!r && !vu_stop_requested() && now - begin < TIME_MAX_MS &&
	       now - last < IDLE_MAX_MS) {
		int ready = poll(&p, 1, POLL_MS);
		ssize_t n = ready > 0 ? read(in, record, sizeof(record)) : -1;

		now = (uint64_t)vu_clock_ms();
		if (!n)
			return 1;
		if (n > 0)
			last = now;
		for (size_t i = 0; !r && n > 0 && i < (size_t)n / sizeof(record[0]); i++)
			r = note(&fs[record[i].fs].count, &seen[record[i].fs], &record[i]);
	}
	return r;
}

/* Ends the child, and returns how it ended by itself, if it did. */
static int reap(pid_t pid, bool ready)
{
	int status = 0;

	if (!ready)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return ready && WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}

int vu_mapped_count(const struct vu_procs_root *roots, size_t n_roots, struct vu_mapped *fs,
		    size_t n_fs)
{
	_cleanup_free_ struct vu_inomap *seen = calloc(n_fs + 1, sizeof(*seen));
	pid_t pid, self = getpid();
	int fds[2];

	for (size_t i = 0; i < n_fs; i++)
		fs[i].count = (struct vu_inomap){0};
	if (!seen)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	_cleanup_fd_ int in = fds[0], out = fds[1];

	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(-child(roots, n_roots, fs, n_fs, out, self) & 0xff);
	close(out);
	out = -EBADF;
	int r = collect(in, fs, seen), ended = reap(pid, r == 1);

	for (size_t i = 0; i < n_fs; i++)
		vu_inomap_done(&seen[i]);
	return r < 0 ? r : ended;
}

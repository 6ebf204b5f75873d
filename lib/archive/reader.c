/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter refuses (EPERM) instead of killing: what libc wants on the way of an error message, or of
 * memory, is then told as an error. What is allowed cannot name a file, make a process, or reach one.
 * Memory that can be executed is refused too.
 */
#include "archive/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/libarchive.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/write.h"

#define NOBODY 65534
#define IN 0
#define OUT 1
#define MEMORY                                                                                     \
	((rlim_t)1 << 30) /* more than it has; the largest window of zstd's default is 128 MiB */
#define FEED_BYTES ((size_t)256 << 10)
#define PIPE_BYTES (1 << 20)

enum exit_code {
	DONE = 0,
	WRONG_DIGEST = 10,
	FAILED = 11, /* to be confined, or to read */
	GONE = 12,   /* nobody wants the rest */
};

/* ---- confinement ---- */

/* With AddressSanitizer: its shadow is terabytes of address space. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static int limit(int what, rlim_t n)
{
	const struct rlimit l = {n, n};

	return setrlimit(what, &l) ? -errno : 0;
}

/* What the process has mapped already: of its parent, for the most part. */
static rlim_t mapped_bytes(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	if (!f || fscanf(f, "%llu", &pages) != 1)
		return 0;
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static int add_rules(scmp_filter_ctx c)
{
	static const int calls[] = {
		SCMP_SYS(read),		 SCMP_SYS(write),	    SCMP_SYS(close),
		SCMP_SYS(munmap),	 SCMP_SYS(mremap),	    SCMP_SYS(brk),
		SCMP_SYS(madvise),	 SCMP_SYS(futex),	    SCMP_SYS(exit),
		SCMP_SYS(exit_group),	 SCMP_SYS(rt_sigreturn),    SCMP_SYS(rt_sigprocmask),
		SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),    SCMP_SYS(getrandom),
		SCMP_SYS(sched_yield),	 SCMP_SYS(restart_syscall),
	};
	int r = 0;

	for (size_t i = 0; !r && i < VU_ARRAY_SIZE(calls); i++)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, calls[i], 0);
	if (!r && SANITIZED) /* asked for before a process ends */
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(sigaltstack), 0);
	if (!r)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!r)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return r;
}

static int filter(void)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = c ? add_rules(c) : -ENOMEM;

	if (!r)
		r = seccomp_load(c);
	seccomp_release(c);
	return r;
}

/* A process of root's gives up all that it has. */
static int become_nobody(void)
{
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	return geteuid() == 0 || getegid() == 0 ? -EPERM : 0;
}

static int confine(void)
{
	int r = 0;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (!SANITIZED)
		r = limit(RLIMIT_AS, mapped_bytes() + MEMORY);
	if (!r)
		r = limit(RLIMIT_CORE, 0);
	if (!r)
		r = limit(RLIMIT_FSIZE, 0);
	/* who is not root (a test) has nothing to give up but what the filter takes */
	if (!r && geteuid() == 0)
		r = become_nobody();
	if (!r && (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL)))
		r = -errno;
	if (!r && !SANITIZED)
		r = limit(RLIMIT_NPROC, 0);
	return r ? r : filter();
}

/* Leaves the two descriptors, as 0 and 1, and no other. */
static int keep_only(int in, int out)
{
	/* neither may be in the other's place */
	_cleanup_fd_ int i = fcntl(in, F_DUPFD, 3), o = fcntl(out, F_DUPFD, 3);

	if (i < 0 || o < 0 || dup2(i, IN) < 0 || dup2(o, OUT) < 0)
		return -errno;
	i = o = -EBADF;
	return close_range(OUT + 1, ~0U, 0) ? -errno : 0;
}

static void ignore_signals(void)
{
	/* a stop is the parent's to notice, and to tell */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- the two processes ---- */

static int untar(const struct vu_untar_limits *limits, struct vu_hash *hash)
{
	int r = vu_untar_run(IN, OUT, limits, hash);

	return !r ? DONE : r == -EPIPE ? GONE : FAILED;
}

/* At most so many bytes are passed on as were announced; one more is read, to see that there is none. */
static int feed(struct vu_hash *hash, char *buf, const struct vu_digest *digest, uint64_t size)
{
	struct vu_digest found = {0};
	uint64_t done = 0;
	ssize_t n;
	bool gone = false;

	vu_hash_begin(hash);
	while ((n = read(IN, buf, FEED_BYTES)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return FAILED;
		done += (uint64_t)n;
		if (done > size)
			return WRONG_DIGEST;
		vu_hash_add(hash, buf, (size_t)n);
		/* an archive may end before its file does: the rest is hashed all the same */
		gone = gone || vu_write_all(OUT, buf, (size_t)n);
	}
	if (vu_hash_end(hash, found.b))
		return FAILED;
	return digest && done == size && !memcmp(&found, digest, sizeof(found)) ? DONE
										: WRONG_DIGEST;
}

/* What a child is to do. */
struct job {
	int in, out;
	const struct vu_untar_limits *limits; /* or NULL: it feeds */
	bool hashed;			      /* it untars, and tells the digests of files */
	const struct vu_digest *digest;
	uint64_t size;
};

static _Noreturn void run_child(const struct job *j)
{
	struct vu_hash *hash = j->limits && !j->hashed ? NULL : vu_hash_new();
	char *buf = j->limits ? NULL : malloc(FEED_BYTES);
	int code = FAILED;

	ignore_signals();
	if (j->limits)
		vu_untar_prepare();
	if ((hash || (j->limits && !j->hashed)) && (buf || j->limits) &&
	    !keep_only(j->in, j->out) && !confine())
		code = j->limits ? untar(j->limits, hash) : feed(hash, buf, j->digest, j->size);
	_exit(code);
}

static int start(const struct job *j, pid_t *ret)
{
	pid_t pid = fork();

	if (!pid)
		run_child(j);
	if (pid < 0)
		return -errno;
	*ret = pid;
	return 0;
}

static int make_pipe(int p[2])
{
	if (pipe2(p, O_CLOEXEC))
		return -errno;
	/* more is faster, not necessary */
	(void)fcntl(p[1], F_SETPIPE_SZ, PIPE_BYTES);
	return 0;
}

int vu_reader_start(int fd, const struct vu_digest *digest, uint64_t size,
		    const struct vu_untar_limits *limits, bool hashed, struct vu_reader *ret)
{
	int members[2] = {-EBADF, -EBADF}, bytes[2] = {-EBADF, -EBADF};
	struct vu_reader r = {.fd = -EBADF};
	int e = vu_libarchive_load();

	if (!e)
		e = make_pipe(members);
	if (!e && digest)
		e = make_pipe(bytes);
	if (!e && digest)
		e = start(&(struct job){.in = fd, .out = bytes[1], .digest = digest, .size = size},
			  &r.feeder);
	if (!e)
		e = start(&(struct job){.in = digest ? bytes[0] : fd,
					.out = members[1],
					.limits = limits,
					.hashed = hashed},
			  &r.untar);
	vu_close_p(&bytes[0]);
	vu_close_p(&bytes[1]);
	vu_close_p(&members[1]);
	r.fd = members[0];
	if (e)
		vu_reader_stop(&r);
	else
		*ret = r;
	return e;
}

/* ---- their end ---- */

static int wait_for(pid_t *pid)
{
	int status = 0;

	if (!*pid)
		return DONE;
	while (waitpid(*pid, &status, 0) < 0)
		if (errno != EINTR)
			return FAILED;
	*pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int vu_reader_end(struct vu_reader *r)
{
	/* the one that writes to it notices */
	vu_close_p(&r->fd);
	r->fd = -EBADF;
	int a = wait_for(&r->untar), b = wait_for(&r->feeder);

	if (b == WRONG_DIGEST)
		return VU_READER_DIGEST;
	if (a == FAILED || b == FAILED)
		return -EIO;
	/* whatever else it was: what it has not said itself is not believed */
	return a == DONE && b == DONE ? 0 : VU_READER_DIED;
}

void vu_reader_stop(struct vu_reader *r)
{
	if (r->untar)
		kill(r->untar, SIGKILL);
	if (r->feeder)
		kill(r->feeder, SIGKILL);
	(void)vu_reader_end(r);
}

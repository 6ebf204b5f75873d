/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whoever tries to confuse a supervisor: changes a path while it is being read, makes a call twice at once,
 * executes another program or dies in the middle of one.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "race-proc.h"

int append_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, STAMP) != STAMP)
		err = errno;
	close(fd);
	return err;
}

static void take_mtime(struct at *a)
{
	struct stat st;

	if (stat(a->path, &st))
		die(a->path);
	a->r->mtime = st.st_mtim;
}

static void appended(struct at *a, const char *stamp)
{
	wrote(a->r, a->r->size, stamp, STAMP);
	take_mtime(a);
}

static void note_err(struct proc *p, enum mode m, int err)
{
	errno = err;
	if (err)
		was_refused(p, m);
	else
		was_acked(p, m);
}

/* ---- by the link in /proc of a descriptor that is open for reading ---- */

static void do_procfd(struct proc *p, struct at *a)
{
	const char *stamp = next_stamp(p);
	mode_t mode = dice(p, 2) ? 0600 : 0755;
	char link[64];
	bool write = dice(p, 2);
	struct record r = *a->r;
	uint64_t since = clock_ns();
	int fd = open(a->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(a->path);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	int err = write ? append_to(link, stamp) : chmod(link, mode) ? errno : 0;

	if (write) {
		wrote(&r, r.size, stamp, STAMP);
		note_mtime(&r, fd);
	} else {
		r.mode = mode;
	}
	if (!err)
		changed_by_fd(p, a, &r, since);
	close(fd);
	note_err(p, M_PROCFD, err);
}

/* ---- the string changes while the call waits ---- */

struct flip {
	char *byte, a, b;
	_Atomic bool stop;
};

static void *flip_on(void *arg)
{
	struct flip *f = arg;

	while (!f->stop) {
		__atomic_store_n(f->byte, f->b, __ATOMIC_RELAXED);
		__atomic_store_n(f->byte, f->a, __ATOMIC_RELAXED);
		sched_yield();
	}
	return NULL;
}

/* Another file, whose path differs in one byte. */
static bool find_partner(struct proc *p, const struct at *a, struct at *ret)
{
	unsigned file = a->file / 10 * 10 + (a->file + 1 + dice(p, 9)) % 10;

	if (file == a->file || file >= p->b->n_files)
		return false;
	at_file(p, a->dir, file, ret);
	return ret->r->exists && ret->r->away == a->r->away && !is_held(p, a->dir, file) &&
	       ret->r->size <= FILE_MAX - STAMP && strlen(ret->path) == strlen(a->path);
}

/* Which of the two it is open on. */
static struct at *opened(int fd, struct at *a, struct at *b)
{
	char link[64], path[256];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = 0;
	if (!strncmp(path, a->path, strlen(a->path)))
		return a;
	if (strncmp(path, b->path, strlen(b->path)) != 0) {
		errno = EBADF;
		die(path);
	}
	return b;
}

static void do_string(struct proc *p, struct at *a)
{
	const char *stamp = next_stamp(p);
	char path[sizeof(a->path)];
	size_t at = 0;
	pthread_t thread;
	struct at b;

	if (a->r->size > FILE_MAX - STAMP || !find_partner(p, a, &b))
		return;
	while (a->path[at] == b.path[at])
		at++;
	memcpy(path, a->path, sizeof(path));
	struct flip f = {.byte = path + at, .a = a->path[at], .b = b.path[at]};

	if (pthread_create(&thread, NULL, flip_on, &f))
		die("thread");
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC), err = errno;

	f.stop = true;
	pthread_join(thread, NULL);
	errno = err;
	if (fd < 0 && was_refused(p, M_STRING))
		return;
	struct at *to = opened(fd, a, &b);

	if (write(fd, stamp, STAMP) == STAMP) {
		wrote(to->r, to->r->size, stamp, STAMP);
		note_mtime(to->r, fd);
		was_acked(p, M_STRING);
	} else {
		was_refused(p, M_STRING);
	}
	close(fd);
}

/* ---- two threads in one call ---- */

struct half {
	const char *path;
	char stamp[STAMP + 1];
	int err;
};

static void *append_half(void *arg)
{
	struct half *h = arg;

	h->err = append_to(h->path, h->stamp);
	return NULL;
}

/* In which order, says the file; that they are there at all is checked later. */
static bool came_second(const struct at *a, const struct half *h)
{
	char bytes[STAMP] = "";
	int fd = open(a->path, O_RDONLY | O_CLOEXEC);
	bool second = fd >= 0 && pread(fd, bytes, STAMP, a->r->size + STAMP) == STAMP &&
		      !memcmp(bytes, h->stamp, STAMP);

	if (fd >= 0)
		close(fd);
	return second;
}

static void do_threads(struct proc *p, struct at *a)
{
	struct half h[2] = {{.path = a->path}, {.path = a->path}};
	pthread_t thread;

	if (a->r->size > FILE_MAX - 2 * STAMP)
		return;
	for (unsigned i = 0; i < 2; i++)
		memcpy(h[i].stamp, next_stamp(p), sizeof(h[i].stamp));
	if (pthread_create(&thread, NULL, append_half, &h[1]))
		die("thread");
	append_half(&h[0]);
	pthread_join(thread, NULL);
	unsigned first = !h[0].err && !h[1].err && came_second(a, &h[0]);

	for (unsigned i = 0; i < 2; i++) {
		const struct half *k = &h[i ^ first];

		if (!k->err)
			wrote(a->r, a->r->size, k->stamp, STAMP);
		note_err(p, M_THREADS, k->err);
	}
	take_mtime(a);
}

/* ---- another program, another process ---- */

static void *open_on(void *path)
{
	for (;;) {
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

/* A thread of it is in a call, which is over with the old program. */
static void exec_append(struct at *a, const char *stamp)
{
	char *argv[] = {(char[]){"race"}, (char[]){"append"}, a->path, (char *)(uintptr_t)stamp,
			NULL};
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pthread_create(&thread, NULL, open_on, a->path))
		die("thread");
	sched_yield();
	execv("/proc/self/exe", argv);
	die("exec");
}

static pid_t fork_or_die(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	return pid;
}

static void do_exec(struct proc *p, struct at *a)
{
	const char *stamp = next_stamp(p);
	int status;

	if (a->r->size > FILE_MAX - STAMP)
		return;
	pid_t pid = fork_or_die();

	if (!pid)
		exec_append(a, stamp);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 3) {
		errno = EIO;
		die("exec");
	}
	if (!WEXITSTATUS(status))
		appended(a, stamp);
	note_err(p, M_EXEC, WEXITSTATUS(status));
}

/* One call that would change it, of one who does not live to see what came of it. */
static void change_and_die(const struct at *a, const char *dying, unsigned how)
{
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	switch (how) {
	case 0:
		fd = open(a->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
		break;
	case 1:
		fd = truncate(a->path, 7);
		break;
	case 2:
		fd = unlink(a->path);
		break;
	case 3:
		fd = chmod(a->path, 0700);
		break;
	case 4:
		fd = setxattr(a->path, XATTR_NAME, "dead", 4, 0);
		break;
	default:
		fd = open(dying, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd >= 0)
			fd = rename(dying, a->path);
	}
	/* it is the last thing that it does */
	_exit(fd < 0);
}

/*
 * Whatever became of it: what somebody does who has seen the death is not touched by it any more.
 */
static void do_die(struct proc *p, struct at *a)
{
	unsigned how = dice(p, 6), us = dice(p, 400);
	struct record r;
	char dying[128];
	int status;

	sibling(p, a, ".dying", dying, sizeof(dying));
	let_go_of(p, a->dir, a->file);
	pid_t pid = fork_or_die();

	if (!pid)
		change_and_die(a, dying, how);
	nap_us(us);
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (unlink(dying) && errno != ENOENT)
		die(dying);
	stamped(p, &r);
	put_over(p, a, &r, M_DIE);
}

void act_odd(struct proc *p, struct at *a, enum mode m)
{
	static void (*const acts[])(struct proc * p, struct at * a) = {
		[M_PROCFD] = do_procfd, [M_STRING] = do_string, [M_THREADS] = do_threads,
		[M_EXEC] = do_exec,	[M_DIE] = do_die,
	};

	/* another file is put in its place: first, it has one name only */
	if (m == M_DIE && a->r->linked)
		act_name(p, a, M_LINK);
	else if (m != M_PROCFD || a->r->size <= FILE_MAX - STAMP)
		acts[m](p, a);
}

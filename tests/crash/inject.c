/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

#define TELL_FD                                                                                    \
	999 /* the child writes the number of its listener there: a call that is let through */
#define MAX_THREADS 64
#define MAX_KINDS 512

/* How often a thread has made calls of one sort. */
struct count {
	struct call call;
	pid_t tid;
	unsigned thread;
	unsigned n;
};

struct watch {
	struct inject *r;
	int listener;
	pid_t pid;
	struct count counts[MAX_KINDS];
	size_t n_counts;
	struct call after;
	bool in_main;
	bool ever; /* the point was reached: all such calls fail now */
};

/* ---- calls ---- */

bool call_equal(struct call a, struct call b)
{
	return a.nr == b.nr && a.kind == b.kind;
}

struct call call_of(const struct seccomp_data *d)
{
	struct call c = {.nr = d->nr};

	switch (d->nr) {
	case SYS_ioctl:
	case SYS_fcntl:
		c.kind = (uint32_t)d->args[1];
		break;
	case SYS_openat:
		c.kind = (d->args[2] & (O_ACCMODE | O_CREAT)) != 0;
		break;
	case SYS_write:
		c.kind = d->args[0] == 1 || d->args[0] == 2 ? (uint32_t)d->args[0] : 0;
		break;
	}
	return c;
}

bool call_changes(struct call c)
{
	static const int changing[] = {
		SYS_linkat,	     SYS_unlinkat,     SYS_renameat,  SYS_renameat2,
		SYS_mkdirat,	     SYS_fsync,	       SYS_fdatasync, SYS_syncfs,
		SYS_fchmod,	     SYS_fchown,       SYS_fchownat,  SYS_utimensat,
		SYS_fsetxattr,	     SYS_fremovexattr, SYS_ftruncate, SYS_fallocate,
		SYS_copy_file_range, SYS_pwrite64,     SYS_pwritev2,  SYS_flock,
		SYS_sync_file_range,
#ifdef SYS_unlink
		SYS_unlink,	     SYS_rename,       SYS_link,      SYS_mkdir,
		SYS_rmdir,
#endif
	};

	for (size_t i = 0; i < sizeof(changing) / sizeof(*changing); i++)
		if (c.nr == changing[i])
			return true;
	switch (c.nr) {
	case SYS_ioctl:
		return c.kind == FS_IOC_SETFLAGS || c.kind == FS_IOC_FSSETXATTR ||
		       c.kind == FICLONE || c.kind == FICLONERANGE || c.kind == FIDEDUPERANGE;
	case SYS_fcntl:
		return c.kind == F_SETLEASE;
	case SYS_openat:
		return c.kind;
	case SYS_write:
		return !c.kind;
	}
	return false;
}

static const char *request_name(struct call c)
{
	static const struct {
		int nr;
		uint32_t kind;
		const char *name;
	} names[] = {
		{SYS_ioctl, FS_IOC_SETFLAGS, " FS_IOC_SETFLAGS"},
		{SYS_ioctl, FS_IOC_GETFLAGS, " FS_IOC_GETFLAGS"},
		{SYS_ioctl, FS_IOC_FSSETXATTR, " FS_IOC_FSSETXATTR"},
		{SYS_ioctl, FS_IOC_FSGETXATTR, " FS_IOC_FSGETXATTR"},
		{SYS_ioctl, FICLONE, " FICLONE"},
		{SYS_ioctl, FICLONERANGE, " FICLONERANGE"},
		{SYS_ioctl, FIDEDUPERANGE, " FIDEDUPERANGE"},
		{SYS_fcntl, F_SETLEASE, " F_SETLEASE"},
		{SYS_fcntl, F_GETLEASE, " F_GETLEASE"},
		{SYS_fcntl, F_SETLK, " F_SETLK"},
		{SYS_fcntl, F_GETLK, " F_GETLK"},
		{SYS_openat, 1, " for writing"},
		{SYS_write, 1, " to stdout"},
		{SYS_write, 2, " to stderr"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].nr == c.nr && names[i].kind == c.kind)
			return names[i].name;
	return NULL;
}

const char *call_name(struct call c)
{
	static char text[64];
	char *name = c.nr < 0 ? NULL : seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, c.nr);
	const char *request = request_name(c);

	snprintf(text, sizeof(text), "%s", name ? name : c.nr < 0 ? "start" : "unknown");
	free(name);
	if (request)
		strcat(text, request);
	else if (c.kind)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %#x", c.kind);
	return text;
}

/* ---- where it runs ---- */

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

/* Is it a file system of another test, or of another room of this one? */
static bool is_of_others(const char *mount, const char *dir, const char *vunify)
{
	static const char *const where[] = {"/tmp/", "/var/tmp/", "/dev/shm/"};

	if (is_below(dir, mount) || is_below(vunify, mount) || is_below(mount, dir))
		return false;
	for (size_t i = 0; i < sizeof(where) / sizeof(*where); i++)
		if (!strncmp(mount, where[i], strlen(where[i])))
			return true;
	return false;
}

void inject_leave_mounts(const char *dir, const char *vunify)
{
	char line[4096], path[4096];
	FILE *f = fopen("/proc/self/mountinfo", "re");

	if (!f)
		fail("/proc/self/mountinfo: %m");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %*s %*s %*s %4095s", path) == 1 &&
		    is_of_others(path, dir, vunify))
			/* fails for one that was on another, and is gone */
			umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
	fclose(f);
}

/* ---- the child ---- */

/* Calls of one number (and one request) wait for a notification; or all but those on TELL_FD. */
static int install(const struct inject *r)
{
	bool one = r->mode != INJECT_TRACE, request;
	uint32_t nr = (uint32_t)r->at.call.nr;
	struct sock_filter f[16];
	unsigned short n = 0;

	request = one && (nr == SYS_ioctl || nr == SYS_fcntl);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					      offsetof(struct seccomp_data, args[0]));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TELL_FD, 0, 1);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (one) {
		f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						      offsetof(struct seccomp_data, nr));
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 1, 0);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	if (request) {
		f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						      offsetof(struct seccomp_data, args[1]));
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, r->at.call.kind, 1,
						      0);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &(struct sock_fprog){.len = n, .filter = f});
}

/* Blocked, it can be waited for. */
static sigset_t child_ended(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	return set;
}

static void child(const struct inject *r, int out, int err, int tell)
{
	static char *const env[] = {"LC_ALL=C", "ASAN_OPTIONS=detect_leaks=0:exitcode=99",
				    "UBSAN_OPTIONS=halt_on_error=1:exitcode=99", NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), listener;
	sigset_t set = child_ended();

	sigprocmask(SIG_UNBLOCK, &set, NULL);
	if (dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 ||
	    dup3(tell, TELL_FD, O_CLOEXEC) < 0 || chdir(r->dir))
		_exit(126);
	if (r->mode != INJECT_NOTHING) {
		listener = install(r);
		if (write(TELL_FD, &listener, sizeof(listener)) != sizeof(listener) ||
		    read(TELL_FD, &listener, 1) != 1)
			_exit(126);
	}
	execve(r->argv[0], r->argv, env);
	_exit(127);
}

/* ---- the parent ---- */

static struct count *count_of(struct watch *w, struct call c, pid_t tid)
{
	unsigned threads = 0;

	for (size_t i = 0; i < w->n_counts; i++) {
		struct count *k = &w->counts[i];

		if (!call_equal(k->call, c))
			continue;
		if (k->tid == tid)
			return k;
		threads++;
	}
	if (w->n_counts == MAX_KINDS)
		fail("more than %d sorts of calls", MAX_KINDS);
	w->counts[w->n_counts] = (struct count){.call = c, .tid = tid, .thread = threads};
	return &w->counts[w->n_counts++];
}

static pid_t process_of(pid_t tid)
{
	char path[64], line[256];
	pid_t pid = tid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &pid) == 1)
			break;
	if (f)
		fclose(f);
	return pid;
}

/* What becomes of a call: true when it is to fail. */
static bool decide(struct watch *w, const struct seccomp_notif *q)
{
	struct inject *r = w->r;
	struct call c = call_of(&q->data);
	struct count *k = count_of(w, c, (pid_t)q->pid);
	struct point here = {.call = c,
			     .thread = k->thread,
			     .n = ++k->n,
			     .after = w->after,
			     .in_main = w->in_main};

	if (r->mode == INJECT_TRACE) {
		r->seen(r->arg, &here);
		if (call_changes(c))
			w->after = c;
		/* the first thing that main does */
		if (c.nr == SYS_rt_sigaction && q->data.args[0] == SIGINT)
			w->in_main = true;
		return false;
	}
	if (!call_equal(c, r->at.call))
		return false;
	if (w->ever)
		return true;
	if (r->hit || k->thread != r->at.thread || k->n != r->at.n)
		return false;
	r->hit = true;
	if (r->mode == INJECT_KILL)
		kill(process_of((pid_t)q->pid), SIGKILL);
	else if (r->mode == INJECT_KILL_ALL)
		kill(-1, SIGKILL);
	w->ever = r->mode == INJECT_FAIL_EVER;
	return r->mode == INJECT_FAIL || w->ever;
}

static void answer(struct watch *w)
{
	struct seccomp_notif q = {0};
	struct seccomp_notif_resp a = {0};

	if (ioctl(w->listener, SECCOMP_IOCTL_NOTIF_RECV, &q)) {
		if (errno != ENOENT && errno != EINTR) /* killed meanwhile */
			fail("NOTIF_RECV: %m");
		return;
	}
	a.id = q.id;
	if (decide(w, &q))
		a.error = -w->r->err;
	else
		a.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	if (ioctl(w->listener, SECCOMP_IOCTL_NOTIF_SEND, &a) && errno != ENOENT)
		fail("NOTIF_SEND: %m");
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* Until no process with the filter is left. */
static void serve(struct watch *w, int64_t end)
{
	struct pollfd p = {.fd = w->listener, .events = POLLIN};

	while (!(p.revents & POLLHUP)) {
		int64_t left = end - now_ms();
		int n = left <= 0 ? 0 : poll(&p, 1, (int)left);

		if (!n) {
			w->r->hung = true;
			kill(-1, SIGKILL);
			end += 10000;
		}
		if (n > 0 && (p.revents & POLLIN))
			answer(w);
	}
}

/* The program, and what it has left to the first process of the namespace. */
static void reap(struct watch *w, int64_t end)
{
	sigset_t set = child_ended();
	int64_t left;
	int status;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid < 0)
			return;
		if (pid == w->pid)
			w->r->status = status;
		if (pid)
			continue;
		left = end - now_ms();
		if (left <= 0) {
			w->r->hung = true;
			kill(-1, SIGKILL);
			end += 10000;
			continue;
		}
		sigtimedwait(&set, NULL, &(struct timespec){left / 1000, left % 1000 * 1000000});
	}
}

static char *slurp(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	if (!text || pread(fd, text, (size_t)size, 0) != size)
		fail("reading the output: %m");
	for (off_t i = 0; i < size; i++)
		if (!text[i])
			text[i] = '?';
	close(fd);
	return text;
}

void inject_run(struct inject *r)
{
	static struct watch w;
	int64_t end = now_ms() + r->limit_s * INT64_C(1000);
	int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
	int tell[2], theirs, pidfd;
	sigset_t set = child_ended();

	sigprocmask(SIG_BLOCK, &set, NULL);
	w.n_counts = 0;
	w = (struct watch){.r = r, .after = {.nr = -1}};
	r->hit = r->hung = false;
	if (out < 0 || err < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, tell))
		fail("socketpair: %m");
	w.pid = fork();
	if (w.pid < 0)
		fail("fork: %m");
	if (!w.pid)
		child(r, out, err, tell[1]);
	close(tell[1]);
	if (r->mode != INJECT_NOTHING) {
		pidfd = (int)syscall(SYS_pidfd_open, w.pid, 0);
		if (read(tell[0], &theirs, sizeof(theirs)) != sizeof(theirs) || theirs < 0)
			fail("cannot watch the program: no seccomp notifications here");
		w.listener = (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
		if (pidfd < 0 || w.listener < 0 || write(tell[0], "", 1) != 1)
			fail("pidfd_getfd: %m");
		close(pidfd);
		serve(&w, end);
		close(w.listener);
	}
	close(tell[0]);
	reap(&w, end);
	r->out = slurp(out);
	r->err_text = slurp(err);
}

void inject_done(struct inject *r)
{
	free(r->out);
	free(r->err_text);
	r->out = r->err_text = NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-acts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define RESULT(call)                                                                               \
	({                                                                                         \
		long r_ = (call);                                                                  \
		r_ < 0 ? -(long)errno : r_;                                                        \
	})

long act_write_to(const char *path, const void *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	long r = RESULT(write(fd, text, strlen(text)));

	close(fd);
	return r;
}

long act_append_to(const char *path, const void *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	long r = RESULT(write(fd, text, strlen(text)));

	close(fd);
	return r;
}

long act_remove_it(const char *path, const void *arg)
{
	(void)arg;
	return RESULT(unlink(path));
}

long act_link_it(const char *path, const void *arg)
{
	char other[128];

	(void)arg;
	snprintf(other, sizeof(other), "%s+", path);
	return RESULT(link(path, other));
}

long act_ask(const char *path, const void *arg)
{
	(void)arg;
	return RESULT(access(path, W_OK));
}

long act_cut(const char *path, const void *arg)
{
	(void)arg;
	return RESULT(truncate(path, 0));
}

static void on_signal(int signo)
{
	(void)signo;
}

long act_write_interrupted(const char *path, const void *text)
{
	const struct sigaction a = {.sa_handler = on_signal};

	return sigaction(SIGUSR1, &a, NULL) ? -1000 : act_write_to(path, text);
}

/* 0: both were refused. */
static int write_limited(const char *path, const char *name, bool with_privs)
{
	const uint64_t handled = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE;
	int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);

	if (rules < 0)
		return ACT_NO_LANDLOCK;
	if (!with_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return 2;
	if (syscall(SYS_landlock_restrict_self, rules, 0))
		return 3;
	if (act_write_to(path, "x") != -EACCES)
		return 4;
	return !unlink(name) || errno != EACCES ? 5 : 0;
}

static long in_limits(const char *path, const char *name, bool with_privs)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(write_limited(path, name, with_privs));
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

long act_write_limited(const char *path, const void *arg)
{
	return in_limits(path, arg, false);
}

long act_write_limited_with_privs(const char *path, const void *arg)
{
	return in_limits(path, arg, true);
}

/* The file is to be cut, but there is no descriptor for it. */
long act_write_at_limit(const char *path, const void *text)
{
	struct rlimit limit, less;
	int fd = dup(0);

	if (fd < 0 || close(fd) || getrlimit(RLIMIT_NOFILE, &limit))
		return -1000;
	less = (struct rlimit){(rlim_t)fd, limit.rlim_max};
	if (setrlimit(RLIMIT_NOFILE, &less))
		return -1001;
	long r = act_write_to(path, text);

	return setrlimit(RLIMIT_NOFILE, &limit) ? -1002 : r;
}

/*
 * While another process waits for copies, private files are changed. Returns the ms that took; -1 if it does
 * not wait.
 */
long act_change_beside(const char *path, const void *arg)
{
	int fd = open("/own", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	pid_t pid = fork();
	long long from;

	(void)path;
	(void)arg;
	if (fd < 0 || pid < 0)
		return -errno;
	close(fd);
	if (!pid)
		_exit(act_append_to("/usr/lib/f1", "x") != 1 ||
		      act_append_to("/usr/lib/f2", "x") != 1 ||
		      act_append_to("/usr/lib/f3", "x") != 1);
	usleep(300000);
	from = vu_clock_ms();
	for (unsigned i = 0; i < 20; i++)
		if (chmod("/own", 0600 + i))
			return -errno;
	long r = (long)(vu_clock_ms() - from);
	int status;

	if (waitpid(pid, &status, WNOHANG))
		return -1;
	return waitpid(pid, &status, 0) == pid && !status ? r : -2;
}

long act_set_up_ring(const char *path, const void *arg)
{
	char params[256] = {0};

	(void)path;
	(void)arg;
	return RESULT(syscall(SYS_io_uring_setup, 1, params));
}

/* By a mount of the guest's own that is read-only. */
long act_change_read_only(const char *path, const void *arg)
{
	int fd;
	long r;

	(void)arg;
	if (mount("/usr", "/usr", NULL, MS_BIND, NULL) ||
	    mount(NULL, "/usr", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
		return -1000;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1001;
	r = RESULT(fchmod(fd, 0600));
	if (r == -EROFS)
		r = RESULT(chmod(path, 0600));
	if (r == -EROFS)
		r = RESULT(truncate(path, 0));
	if (r == -EROFS)
		r = act_write_to(path, "x");
	if (r == -EROFS)
		r = RESULT(unlink(path));
	close(fd);
	return r;
}

/* The same directory by another mount, and under another name. */
long act_write_elsewhere(const char *path, const void *text)
{
	if (mkdir("/mnt", 0755) || mount("/usr", "/mnt", NULL, MS_BIND, NULL))
		return -1000;
	return act_write_to(path, text);
}

/* A child of its own, whose end is the result: 0, or a number of its line. */
static long in_fork(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		_exit(fn());
	}
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1000 - WTERMSIG(status);
}

static int write_in_root(void)
{
	if (chroot("/usr/lib") || chdir("/"))
		return 1;
	if (act_write_to("/f1", "from below\n") != 11)
		return 2;
	/* what is outside is not there */
	return act_write_to("/usr/lib/f3", "x") == -ENOENT ? 0 : 3;
}

/* The user 7 is root in a user namespace of his own. */
static int write_in_user_namespace(void)
{
	if (setresgid(8, 8, 8) || setresuid(7, 7, 7) || unshare(CLONE_NEWUSER))
		return 1;
	/* no capability over what is others' comes of it */
	if (act_write_to("/usr/lib/f1", "x") != -EACCES)
		return 2;
	if (unlink("/usr/lib/f2") != -1 || errno != EACCES)
		return 3;
	if (chmod("/usr/lib/f2", 0600))
		return 4;
	return act_append_to("/usr/lib/f2", "by its owner\n") == 13 ? 0 : 5;
}

long act_fork_root(const char *path, const void *arg)
{
	(void)path;
	(void)arg;
	return in_fork(write_in_root);
}

long act_fork_user(const char *path, const void *arg)
{
	(void)path;
	(void)arg;
	return in_fork(write_in_user_namespace);
}

/* Returns by which signal who wrote has ended. */
long act_kill_caller(const char *path, const void *arg)
{
	pid_t pid = fork();
	int status;

	(void)arg;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		_exit(act_write_to(path, "x") != 1);
	}
	/* it waits for an answer by then */
	usleep(200000);
	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

/* With root, directory and descriptors that the other threads have not; returns 0, or how far it came. */
static void *write_apart(void *arg)
{
	long *step = arg;
	char path[64];
	struct stat st, named;

	*step = 1;
	if (unshare(CLONE_FS | CLONE_FILES) || chdir("/usr") || chroot("lib") || chdir("/"))
		return NULL;
	int fd = open("f1", O_RDONLY | O_CLOEXEC);

	*step = 2;
	if (fd < 0 || fchmod(fd, 0611) || fstat(fd, &st) || stat("/f1", &named) ||
	    st.st_ino != named.st_ino)
		return NULL;
	close(fd);
	*step = 3;
	if (act_append_to("f3", "x") != 1)
		return NULL;
	fd = open("f2", O_RDONLY | O_CLOEXEC);
	*step = 4;
	if (fd < 0 || fchdir(fd) != -1)
		return NULL;
	/* there is no /proc here */
	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
	*step = chmod(path, 0600) == -1 && errno == ENOENT ? 0 : 5;
	return NULL;
}

long act_thread_apart(const char *path, const void *arg)
{
	pthread_t thread;
	long step = -1;

	(void)path;
	(void)arg;
	if (pthread_create(&thread, NULL, write_apart, &step) || pthread_join(thread, NULL))
		return -1;
	/* the others are where they were */
	return step ? step : act_append_to("/usr/lib/f4", "y") == 1 ? 0 : 6;
}

static int write_some(unsigned first)
{
	char path[64], text[64];

	for (unsigned i = first; i < GUEST_FILES; i += GUEST_WRITERS) {
		snprintf(path, sizeof(path), "/usr/lib/f%u", i);
		snprintf(text, sizeof(text), "written by %u\n", first);
		if (act_append_to(path, text) != (long)strlen(text))
			return 1;
	}
	return 0;
}

/* Returns how many failed. */
long act_write_at_once(const char *path, const void *arg)
{
	pid_t pid[GUEST_WRITERS];
	int status;
	long failed = 0;

	(void)path;
	(void)arg;
	for (unsigned i = 0; i < GUEST_WRITERS; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
			_exit(write_some(i));
		}
	}
	for (unsigned i = 0; i < GUEST_WRITERS; i++)
		failed += waitpid(pid[i], &status, 0) != pid[i] || status;
	return failed;
}

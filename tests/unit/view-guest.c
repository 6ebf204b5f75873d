/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "view-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fork.h"
#include "link-farm.h"

/* Shared with the processes, at the same place. */
static struct shared {
	volatile int ready; /* or the number of the line where it failed */
	struct view_answer answer[VIEW_ROWS];
	char text[4096];
} * shared;

char view_top[SCRATCH_MAX];
struct stat view_host_root;
struct vu_view *view;
pid_t view_pids[2];

#define MUST(ok)                                                                                   \
	do {                                                                                       \
		if (!(ok)) {                                                                       \
			shared->ready = -__LINE__;                                                 \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void put_fd(const char *path, int flags, int number)
{
	int fd = open(path, flags | O_CLOEXEC);

	MUST(fd >= 0 && dup2(fd, number) == number && !close(fd));
}

static void open_row(const struct view_row *r, struct view_answer *ret)
{
	int flags = O_PATH | O_CLOEXEC | (r->traits & NOFOLLOW ? O_NOFOLLOW : 0), fd;

	if (r->traits & EMPTY)
		fd = dup(r->dirfd);
	else
		fd = openat(r->dirfd, r->text, flags);
	ret->error = fd < 0 ? errno : 0;
	if (fd >= 0 && (fstat(fd, &ret->st) || close(fd)))
		ret->error = -1;
}

static void wait_in(const char *root, const struct view_row *rows, size_t n)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	MUST(!chdir(root));
	MUST(!mount("dir", "mnt", NULL, MS_BIND, NULL));
	MUST(!mount("file2", "bound", NULL, MS_BIND, NULL));
	MUST(!mount("proc", "proc", "proc", 0, NULL));
	MUST(!chroot(".") && !chdir("/dir/sub"));
	put_fd("/dir/sub", O_RDONLY, DIR_FD);
	put_fd("/file", O_RDONLY, FILE_FD);
	put_fd("/gone", O_RDONLY, DELETED_FD);
	put_fd("/dir/sub/file", O_PATH, PATH_FD);
	put_fd("/file2", O_RDONLY, 0);
	close(NO_FD);
	MUST(!unlink("/gone"));
	for (size_t i = 0; i < n; i++)
		open_row(&rows[i], &shared->answer[i]);
	strcpy(shared->text, VIEW_TEXT);
	shared->ready = 1;
	for (;;)
		pause();
}

static void put_tree(const char *root)
{
	char script[4096];

	snprintf(
		script, sizeof(script),
		"mkdir -p %s && cd %s && mkdir -p dir/sub mnt proc dev && echo 1 >file && echo 2 >file2 && "
		"echo 3 >dir/sub/file && echo 4 >gone && echo 5 >bound && echo 6 >self && "
		"ln -s /dir/sub/file absolute && ln -s dir/sub/file relative && ln -s sub/.. dir/up && "
		"echo 7 >dir/file && ln -s ../../../file out && ln -s loop loop && "
		"ln -s /proc/self/fd/11 magic && ln -s /proc/self/fd/10 magic-dir && "
		"ln -s /proc/self/fd dev/fd && ln -s /proc/self/fd/0 dev/stdin && "
		"echo 8 >'x (deleted)' && echo 9 >'a\nb' && "
		"for i in $(seq 0 39); do ln -s c$((i + 1)) c$i; done && ln -s file c40",
		root, root);
	assert_int_equal(sh("%s", script), 0);
}

static void start(unsigned i, const struct view_row *rows, size_t n)
{
	char root[SCRATCH_PATH_MAX];

	snprintf(root, sizeof(root), "%s/r%u", view_top, i);
	put_tree(root);
	shared->ready = 0;
	view_pids[i] = vu_fork(CLONE_NEWNS | CLONE_NEWPID, NULL);
	assert_true(view_pids[i] >= 0);
	if (!view_pids[i])
		wait_in(root, rows, n);
	for (unsigned k = 0; k < 2000 && !shared->ready; k++)
		usleep(10000);
	if (shared->ready != 1)
		fail_msg("the process failed in line %d", -shared->ready);
}

/* The second process's; both are on the same file system. */
static struct stat root(void)
{
	char path[SCRATCH_PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/r1", view_top);
	assert_int_equal(stat(path, &st), 0);
	return st;
}

int view_set_up(const struct view_row *rows, size_t n)
{
	if (geteuid() || !scratch_dir(view_top, "test-view"))
		return 0;
	/* all mounts end with the test */
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(stat("/", &view_host_root), 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(shared != MAP_FAILED);
	assert_true(n <= VIEW_ROWS);
	start(0, rows, n);
	start(1, rows, n);
	return vu_view_new(root().st_dev, root().st_ino, &view);
}

const struct view_answer *view_answer(size_t i)
{
	return &shared->answer[i];
}

uint64_t view_text(void)
{
	return (uint64_t)(uintptr_t)shared->text;
}

int view_tear_down(void **state)
{
	(void)state;
	view = vu_view_free(view);
	for (unsigned i = 0; i < 2; i++)
		if (view_pids[i] > 0) {
			kill(view_pids[i], SIGKILL);
			waitpid(view_pids[i], NULL, 0);
		}
	return *view_top ? sh("rm -rf --one-file-system %s", view_top) : 0;
}

int view_leave(void **state)
{
	(void)state;
	return view ? vu_view_leave(view) : 0;
}

void view_needs_root(void)
{
	if (!view)
		skip();
}

int view_resolve_how(pid_t pid, int dirfd, const char *text, unsigned traits, enum vu_view_how how,
		     struct vu_stat *st)
{
	struct vu_call_path p = {
		.dirfd = dirfd,
		.follow = !(traits & NOFOLLOW),
		.empty_self = traits & EMPTY,
	};

	return vu_view_resolve(view, pid, &p, text, how, st);
}

int view_look(pid_t pid, int dirfd, const char *text, unsigned traits, struct vu_stat *st)
{
	struct vu_call_path p = {
		.dirfd = dirfd,
		.follow = !(traits & NOFOLLOW),
		.empty_self = traits & EMPTY,
	};

	vu_view_begin(view);
	int r = vu_view_look(view, pid, &p, text, st);

	vu_view_end(view);
	return r;
}

int view_resolve(pid_t pid, int dirfd, const char *text, unsigned traits, struct vu_stat *st)
{
	return view_resolve_how(pid, dirfd, text, traits, VU_VIEW_WHOLLY, st);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paths of a process with a root, mounts and numbers of its own: what it opens itself is what the view opens for it.
 * The process opens all of the rows first, and leaves word of what it got.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fork.h"
#include "cow/view.h"
#include "link-farm.h"

#define DIR_FD 10     /* /dir/sub */
#define FILE_FD 11    /* /file */
#define DELETED_FD 12 /* a file that is gone */
#define PATH_FD 13    /* /dir/sub/file, O_PATH */
#define NO_FD 99

enum {
	NOFOLLOW = 1 << 0,
	EMPTY = 1 << 1, /* AT_EMPTY_PATH */
	LOOSE = 1 << 2, /* a file of /proc, whose inode is not the same twice */
	FAILS = 1 << 3, /* whatever the error is */
};

struct row {
	int dirfd;
	const char *text;
	unsigned traits;
	int error; /* what is to come of it, so that none is taken for right because both are wrong */
};

static char long_path[PATH_MAX], long_magic[PATH_MAX], long_name[NAME_MAX + 3];

static const struct row rows[] = {
	{AT_FDCWD, "/file", 0, 0},
	{AT_FDCWD, "file", 0, 0}, /* /dir/sub/file */
	{AT_FDCWD, "./file", 0, 0},
	{AT_FDCWD, "../sub/file", 0, 0},
	{AT_FDCWD, "../../file", 0, 0},
	{AT_FDCWD, "../../../../../file", 0, 0},
	{AT_FDCWD, ".", 0, 0},
	{AT_FDCWD, "..", 0, 0},
	{AT_FDCWD, "/", 0, 0},
	{AT_FDCWD, "//dir//sub//file", 0, 0},
	{AT_FDCWD, "none", 0, ENOENT},
	{AT_FDCWD, "", 0, ENOENT},
	{AT_FDCWD, "/file/", 0, ENOTDIR},
	{AT_FDCWD, "/file/x", 0, ENOTDIR},
	{AT_FDCWD, "/dir/sub/", 0, 0},
	{DIR_FD, "file", 0, 0},
	{DIR_FD, "/file", 0, 0},
	{DIR_FD, "../..", 0, 0},
	{DIR_FD, "", EMPTY, 0},
	{FILE_FD, "", EMPTY, 0},
	{FILE_FD, "", 0, ENOENT},
	{FILE_FD, "x", 0, ENOTDIR},
	{DELETED_FD, "", EMPTY, 0},
	{NO_FD, "x", FAILS, EBADF},
	{NO_FD, "/file", 0, 0},
	{AT_FDCWD, "/absolute", 0, 0},
	{AT_FDCWD, "/absolute", NOFOLLOW, 0},
	{AT_FDCWD, "/relative", 0, 0},
	{AT_FDCWD, "/dir/up", 0, 0},
	{AT_FDCWD, "/dir/up", NOFOLLOW, 0},
	{AT_FDCWD, "/dir/up/file", NOFOLLOW, 0},
	{AT_FDCWD, "/dir/up/", NOFOLLOW, 0},
	{AT_FDCWD, "/out", 0, 0}, /* -> ../../../file: no further than the root */
	{AT_FDCWD, "/loop", 0, ELOOP},
	{AT_FDCWD, "/loop", NOFOLLOW, 0},
	{AT_FDCWD, "/c1", 0, 0}, /* 40 links */
	{AT_FDCWD, "/c0", 0, ELOOP},
	{AT_FDCWD, "/mnt/sub/file", 0, 0},
	{AT_FDCWD, "/mnt/..", 0, 0},
	{AT_FDCWD, "/mnt/up/file", 0, 0},
	{AT_FDCWD, "/bound", 0, 0},
	{AT_FDCWD, "/a\nb", 0, 0},
	{AT_FDCWD, "/x (deleted)", 0, 0},
	{AT_FDCWD, "/x", 0, ENOENT},
	{AT_FDCWD, long_path, 0, 0},
	{AT_FDCWD, long_name, 0, ENAMETOOLONG},
	/* links of the process's own */
	{AT_FDCWD, "/proc/self/fd/11", 0, 0},
	{AT_FDCWD, "/proc/self/fd/11", NOFOLLOW | LOOSE, 0},
	{AT_FDCWD, "/proc/self/fd/11/", FAILS, ENOTDIR},
	{AT_FDCWD, "/magic/", FAILS, ENOTDIR},
	{AT_FDCWD, "/magic-dir/", 0, 0},
	{AT_FDCWD, "/magic-dir/file/", FAILS, ENOTDIR},
	{AT_FDCWD, "/magic-dir/file/x", FAILS, ENOTDIR},
	{AT_FDCWD, "/proc/self/root/relative/", FAILS, ENOTDIR},
	{AT_FDCWD, "/proc/self/fd/12", 0, 0},
	{AT_FDCWD, "/proc/self/fd/13", 0, 0},
	{AT_FDCWD, "/proc/self/fd/99", 0, ENOENT},
	{AT_FDCWD, "/proc/self/fd/10/file", 0, 0},
	{AT_FDCWD, "/proc/self/fd/10/../up/file", 0, 0},
	{AT_FDCWD, "/proc/self/fd/10/none", 0, ENOENT},
	{AT_FDCWD, "/proc//self/./fd//11", 0, 0},
	{AT_FDCWD, "/proc/thread-self/fd/11", 0, 0},
	{AT_FDCWD, "/proc/thread-self/../../fd/11", 0, 0},
	{AT_FDCWD, "/proc/1/fd/11", 0, 0},
	{AT_FDCWD, "/proc/1/task/1/fd/11", 0, 0},
	{AT_FDCWD, "/proc/2/fd/11", 0, ENOENT},
	{AT_FDCWD, "/proc/self/cwd/file", 0, 0},
	{AT_FDCWD, "/proc/self/cwd", 0, 0},
	{AT_FDCWD, "/proc/self/root/file", 0, 0},
	{AT_FDCWD, "/proc/self/root/../file", 0, 0},
	{AT_FDCWD, "/proc/self/exe", 0, 0},
	{AT_FDCWD, "/proc/self", NOFOLLOW | LOOSE, 0},
	{AT_FDCWD, "/proc/self", LOOSE, 0},
	{AT_FDCWD, "/proc/self/status", LOOSE, 0},
	{AT_FDCWD, "/proc/mounts", LOOSE, 0},
	{AT_FDCWD, "/dev/fd/11", 0, 0},
	{AT_FDCWD, "/dev/fd/10/file", 0, 0},
	{AT_FDCWD, "/dev/stdin", 0, 0},
	{AT_FDCWD, "/magic", 0, 0}, /* -> /proc/self/fd/11 */
	{AT_FDCWD, "/magic-dir/file", 0, 0},
	{AT_FDCWD, "/magic-dir/../up/file", NOFOLLOW, 0},
	{AT_FDCWD, "/self", NOFOLLOW, 0}, /* a file of this name, outside of /proc */
	{AT_FDCWD, long_magic, 0, 0},
};

#define N_ROWS VU_ARRAY_SIZE(rows)

/* Shared with the processes, at the same place. */
static struct shared {
	volatile int ready; /* or the number of the line where it failed */
	struct {
		int error;
		struct stat st;
	} answer[N_ROWS];
	char pages[4][4096];
} * shared;

static char top[SCRATCH_MAX];
static struct stat host_root;
static struct vu_view *view;
static pid_t pids[2];

/* ---- the process ---- */

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

static void open_row(const struct row *r, size_t i)
{
	int flags = O_PATH | O_CLOEXEC | (r->traits & NOFOLLOW ? O_NOFOLLOW : 0), fd;

	if (r->traits & EMPTY)
		fd = dup(r->dirfd);
	else
		fd = openat(r->dirfd, r->text, flags);
	shared->answer[i].error = fd < 0 ? errno : 0;
	if (fd >= 0 && (fstat(fd, &shared->answer[i].st) || close(fd)))
		shared->answer[i].error = -1;
}

static void wait_in(const char *root)
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
	for (size_t i = 0; i < N_ROWS; i++)
		open_row(&rows[i], i);
	strcpy(shared->pages[0], "/in/memory");
	shared->ready = 1;
	for (;;)
		pause();
}

/* ---- */

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

static void start(unsigned i)
{
	char root[SCRATCH_PATH_MAX];

	snprintf(root, sizeof(root), "%s/r%u", top, i);
	put_tree(root);
	shared->ready = 0;
	pids[i] = vu_fork(CLONE_NEWNS | CLONE_NEWPID, NULL);
	assert_true(pids[i] >= 0);
	if (!pids[i])
		wait_in(root);
	for (unsigned k = 0; k < 2000 && !shared->ready; k++)
		usleep(10000);
	if (shared->ready != 1)
		fail_msg("the process failed in line %d", -shared->ready);
}

static void fill(char *text, size_t size, const char *begin)
{
	size_t n = strlen(begin), end = size - 1 - strlen("file");

	strcpy(text, begin);
	for (; n + 1 < end; n += 2)
		memcpy(text + n, "./", 2);
	for (; n < end; n++)
		text[n] = '/';
	strcpy(text + n, "file");
}

/* Of what the roots are on. */
static uint64_t host_dev(void)
{
	struct stat st;

	assert_int_equal(stat(top, &st), 0);
	return st.st_dev;
}

static int set_up(void **state)
{
	(void)state;
	if (geteuid() || !scratch_dir(top, "test-view"))
		return 0;
	/* all mounts end with the test */
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(stat("/", &host_root), 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(shared != MAP_FAILED);
	fill(long_path, sizeof(long_path), "/");
	fill(long_magic, sizeof(long_magic), "/proc/self/fd/10/");
	memset(long_name, 'n', sizeof(long_name) - 1);
	start(0);
	start(1);
	return vu_view_new(host_dev(), &view);
}

static int tear_down(void **state)
{
	(void)state;
	view = vu_view_free(view);
	for (unsigned i = 0; i < 2; i++)
		if (pids[i] > 0) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
		}
	return *top ? sh("rm -rf --one-file-system %s", top) : 0;
}

static int leave(void **state)
{
	(void)state;
	return view ? vu_view_leave(view) : 0;
}

static void needs_root(void)
{
	if (!view)
		skip();
}

static int resolve_how(pid_t pid, int dirfd, const char *text, unsigned traits,
		       enum vu_view_how how, struct vu_stat *st)
{
	struct vu_call_path p = {
		.dirfd = dirfd,
		.follow = !(traits & NOFOLLOW),
		.empty_self = traits & EMPTY,
	};

	return vu_view_resolve(view, pid, &p, text, how, st);
}

static int resolve(pid_t pid, int dirfd, const char *text, unsigned traits, struct vu_stat *st)
{
	return resolve_how(pid, dirfd, text, traits, VU_VIEW_WHOLLY, st);
}

/* ---- paths ---- */

static bool is_right(size_t i, int fd)
{
	const struct row *r = &rows[i];
	const struct stat *want = &shared->answer[i].st;
	struct stat st;

	if (shared->answer[i].error != r->error)
		return false;
	if (r->error || fd < 0)
		return r->traits & FAILS ? fd < 0 : fd == -r->error;
	if (fstat(fd, &st) || st.st_dev != want->st_dev || st.st_mode != want->st_mode)
		return false;
	return r->traits & LOOSE || st.st_ino == want->st_ino;
}

static void test_rows(void **state)
{
	unsigned wrong = 0;

	(void)state;
	needs_root();
	for (size_t i = 0; i < N_ROWS; i++) {
		struct vu_stat st;
		_cleanup_fd_ int fd =
			resolve(pids[1], rows[i].dirfd, rows[i].text, rows[i].traits, &st);

		if (is_right(i, fd))
			continue;
		print_error("row %zu, '%.60s' of %d: %d, and to the process %d, not %d\n", i,
			    rows[i].text, rows[i].dirfd, fd, shared->answer[i].error,
			    rows[i].error);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static bool is_host_root(void)
{
	struct stat st;

	return !stat("/", &st) && st.st_ino == host_root.st_ino && st.st_dev == host_root.st_dev;
}

/* What a quick look says is right, and the thread is where it was. */
static void test_quick_rows(void **state)
{
	unsigned wrong = 0;

	(void)state;
	needs_root();
	assert_int_equal(vu_view_leave(view), 0);
	for (size_t i = 0; i < N_ROWS; i++) {
		struct vu_stat st;
		_cleanup_fd_ int fd = resolve_how(pids[1], rows[i].dirfd, rows[i].text,
						  rows[i].traits, VU_VIEW_QUICKLY, &st);

		assert_true(is_host_root());
		if (fd == -EAGAIN || is_right(i, fd))
			continue;
		print_error("row %zu, '%.60s' of %d: %d, not %d\n", i, rows[i].text, rows[i].dirfd,
			    fd, rows[i].error);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* Of which paths it says anything, and of which it cannot. */
static void test_quick(void **state)
{
	static const struct {
		const char *text;
		bool is_said;
	} paths[] = {
		{"/file", true},
		{"file", true},
		{"../sub/file", false}, /* out of its directory, and in again */
		{"/dir/sub/../../file", true},
		{"/none", true},
		{"/none/file", true},
		{"/file/x", true},
		{"/absolute", true},
		{"/out", true},
		{"/loop", false},
		{"/mnt/sub/file", true}, /* on a mount, and in the cache */
		{"/proc/none", false},
		{"/proc/self/fd/11", false},
		{"/magic", false},
	};

	(void)state;
	needs_root();
	for (size_t i = 0; i < VU_ARRAY_SIZE(paths); i++) {
		struct vu_stat st;
		_cleanup_fd_ int before = resolve(pids[1], AT_FDCWD, paths[i].text, 0, &st);
		_cleanup_fd_ int fd =
			resolve_how(pids[1], AT_FDCWD, paths[i].text, 0, VU_VIEW_QUICKLY, &st);

		(void)before;
		if ((fd != -EAGAIN) != paths[i].is_said)
			fail_msg("'%s': %d", paths[i].text, fd);
	}
}

/* Which descriptor a path has ended by. */
static void test_descriptor(void **state)
{
	static const struct {
		int dirfd;
		const char *text;
		unsigned traits;
		int want;
	} paths[] = {
		{AT_FDCWD, "/proc/self/fd/11", 0, 11},
		{AT_FDCWD, "/file", 0, -1},
		{AT_FDCWD, "/dev/fd/11", 0, 11},
		{AT_FDCWD, "/dev/stdin", 0, 0},
		{AT_FDCWD, "/magic", 0, 11},
		{AT_FDCWD, "/magic", NOFOLLOW, -1},
		{AT_FDCWD, "/proc/self/fd/10/file", 0, -1},
		{AT_FDCWD, "/proc/self/cwd", 0, -1},
		{AT_FDCWD, "/proc/self/fd/99", 0, -1},
		{FILE_FD, "", EMPTY, 11},
		{DIR_FD, "file", EMPTY, -1},
	};

	(void)state;
	needs_root();
	for (size_t i = 0; i < VU_ARRAY_SIZE(paths); i++) {
		struct vu_stat st;
		_cleanup_fd_ int fd =
			resolve(pids[0], paths[i].dirfd, paths[i].text, paths[i].traits, &st);

		(void)fd; /* clang does not see that it is closed */
		if (vu_view_descriptor(view) != paths[i].want)
			fail_msg("'%s': %d", paths[i].text, vu_view_descriptor(view));
	}
}

/* From one root into another, and back to the host's, after what succeeds and what does not. */
static void test_roots(void **state)
{
	struct stat a, b, is;
	char path[SCRATCH_PATH_MAX];
	struct vu_stat st;

	(void)state;
	needs_root();
	snprintf(path, sizeof(path), "%s/r0/file", top);
	assert_int_equal(stat(path, &a), 0);
	snprintf(path, sizeof(path), "%s/r1/file", top);
	assert_int_equal(stat(path, &b), 0);
	for (unsigned i = 0; i < 3; i++) {
		_cleanup_fd_ int fd = resolve(pids[0], AT_FDCWD, "/file", 0, &st);

		assert_true(fd >= 0 && st.version.ino == a.st_ino);
		_cleanup_fd_ int fd2 = resolve(pids[1], AT_FDCWD, "/file", 0, &st);

		assert_true(fd2 >= 0 && st.version.ino == b.st_ino);
		if (i == 1)
			assert_true(resolve(pids[1], AT_FDCWD, "/none", 0, &st) == -ENOENT);
		if (i == 2)
			assert_true(resolve(INT_MAX, AT_FDCWD, "/file", 0, &st) < 0);
		assert_int_equal(vu_view_leave(view), 0);
		assert_int_equal(stat("/", &is), 0);
		assert_int_equal(is.st_ino, host_root.st_ino);
		assert_int_equal(is.st_dev, host_root.st_dev);
		assert_int_equal(stat(".", &is), 0);
		assert_int_equal(is.st_ino, host_root.st_ino);
	}
}

static void test_dir(void **state)
{
	static const struct {
		const char *text, *dir, *base;
		int error;
	} paths[] = {
		{"/file", "", "file", 0},
		{"new", "dir/sub", "new", 0},
		{"/dir/up/new", "dir", "new", 0},
		{"/mnt/sub/new", "dir/sub", "new", 0},
		{"/proc/self/cwd/new", "dir/sub", "new", 0},
		{"/magic-dir/new", "dir/sub", "new", 0},
		{"/magic", "", "magic", 0}, /* the link itself */
		{"../new", "dir", "new", 0},
		{"/none/new", "", "", ENOENT},
		{"/file/new", "", "", ENOTDIR},
		{"/proc/self/fd/11/new", "", "", ENOTDIR},
		{"/dir/sub/", "", "", EINVAL},
		{"/dir/.", "", "", EINVAL},
		{"/dir/..", "", "", EINVAL},
		{"/", "", "", EINVAL},
		{"", "", "", EINVAL},
		{long_name, "", "", EINVAL},
	};

	(void)state;
	needs_root();
	for (size_t i = 0; i < VU_ARRAY_SIZE(paths); i++) {
		struct vu_call_path p = {.dirfd = AT_FDCWD};
		char base[NAME_MAX + 1], path[SCRATCH_PATH_MAX];
		struct vu_stat st;
		struct stat want;
		_cleanup_fd_ int fd = vu_view_resolve_dir(view, pids[0], &p, paths[i].text,
							  VU_VIEW_WHOLLY, base, &st);

		assert_int_equal(vu_view_leave(view), 0);
		if (fd < 0 || paths[i].error) {
			if (fd != -paths[i].error)
				fail_msg("'%.60s': %d", paths[i].text, fd);
			continue;
		}
		snprintf(path, sizeof(path), "%s/r0/%s", top, paths[i].dir);
		assert_int_equal(stat(path, &want), 0);
		assert_int_equal(st.version.ino, want.st_ino);
		assert_string_equal(base, paths[i].base);
	}
}

/* ---- the name that a file was reached by ---- */

/* Returns what vu_view_parent does, with the fd closed, or 0; and the name. */
static int parent_of(const char *text, char *base, uint64_t *ret_dir)
{
	struct vu_stat st, dir_st;
	_cleanup_fd_ int fd = resolve(pids[0], AT_FDCWD, text, 0, &st);

	assert_true(fd >= 0);
	_cleanup_fd_ int dir = vu_view_parent(view, fd, base);

	if (dir < 0)
		return dir;
	assert_int_equal(vu_stat_fd(dir, &dir_st), 0);
	*ret_dir = dir_st.version.ino;
	assert_int_equal(vu_stat_at(dir, base, &dir_st), 0);
	assert_int_equal(dir_st.version.ino, st.version.ino);
	return 0;
}

static void test_parent(void **state)
{
	static const struct {
		const char *text, *dir, *base;
	} paths[] = {
		{"/file", "", "file"},
		{"file", "dir/sub", "file"},
		{"/absolute", "dir/sub", "file"},
		{"/mnt/sub/file", "dir/sub", "file"},
		{"/a\nb", "", "a\nb"},
		{"/x (deleted)", "", "x (deleted)"},
		{"/magic", "", "file"},
		{"/proc/self/fd/13", "dir/sub", "file"},
		{"/bound", "", "bound"},
	};

	(void)state;
	needs_root();
	for (size_t i = 0; i < VU_ARRAY_SIZE(paths); i++) {
		char base[NAME_MAX + 1], path[SCRATCH_PATH_MAX];
		struct stat want;
		uint64_t dir = 0;

		assert_int_equal(parent_of(paths[i].text, base, &dir), 0);
		assert_int_equal(vu_view_leave(view), 0);
		assert_string_equal(base, paths[i].base);
		snprintf(path, sizeof(path), "%s/r0/%s", top, paths[i].dir);
		assert_int_equal(stat(path, &want), 0);
		assert_int_equal(dir, want.st_ino);
	}
}

/* The name went away between the two steps, or is another file's; the directory is moved. */
static void test_parent_changed(void **state)
{
	char base[NAME_MAX + 1], root_path[SCRATCH_PATH_MAX];
	struct vu_stat st;
	uint64_t dir;

	(void)state;
	needs_root();
	assert_int_equal(parent_of("/proc/self/fd/12", base, &dir), -ENOENT);
	assert_int_equal(vu_view_leave(view), 0);
	snprintf(root_path, sizeof(root_path), "%s/r0", top);
	_cleanup_fd_ int root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(
		sh("cd %s && mkdir old && echo 1 >old/f && echo 2 >old/g && echo 3 >'old/g (deleted)'",
		   root_path),
		0);
	_cleanup_fd_ int f = resolve(pids[0], AT_FDCWD, "/old/f", 0, &st);
	_cleanup_fd_ int g = resolve(pids[0], AT_FDCWD, "/old/g", 0, &st);

	assert_true(f >= 0 && g >= 0);
	/* by descriptors: this thread is in the guest's root */
	assert_int_equal(renameat(root, "old", root, "dir/moved"), 0);
	_cleanup_fd_ int moved = vu_view_parent(view, f, base);

	assert_true(moved >= 0);
	assert_int_equal(vu_stat_at(moved, base, &st), 0);
	assert_int_equal(unlinkat(root, "dir/moved/g", 0), 0);
	assert_int_equal(vu_view_parent(view, g, base), -ENOENT);
	/* another file takes the name */
	assert_int_equal(renameat(root, "dir/moved/g (deleted)", root, "dir/moved/f"), 0);
	assert_int_equal(vu_view_parent(view, f, base), -ENOENT);
}

/* ---- memory ---- */

static void test_memory(void **state)
{
	char buf[PATH_MAX];
	uint64_t page = (uint64_t)(uintptr_t)shared->pages[0], room = 4096;
	/* page aligned within the mapping, as the struct is not: ask for pages of our own */
	char *own =
		mmap(NULL, 4 * room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t me = getpid();

	(void)state;
	needs_root();
	assert_int_equal(vu_view_read_path(pids[0], page, buf), strlen("/in/memory"));
	assert_string_equal(buf, "/in/memory");

	/* the string ends where the next page is not to be read */
	assert_int_equal(mprotect(own + 2 * room, room, PROT_NONE), 0);
	strcpy(own + 2 * room - 5, "/end");
	uint64_t at = (uint64_t)(uintptr_t)own;

	assert_int_equal(vu_view_read_path(me, at + 2 * room - 5, buf), 4);
	assert_string_equal(buf, "/end");
	assert_int_equal(vu_view_read_path(me, at + 2 * room - 1, buf), 0);
	own[2 * room - 1] = 'x';
	assert_int_equal(vu_view_read_path(me, at + 2 * room - 5, buf), -EFAULT);
	assert_int_equal(vu_view_read_path(me, at + 2 * room, buf), -EFAULT);
	/* over the border of two pages */
	memset(own, 'a', 2 * room);
	own[room + 10] = 0;
	assert_int_equal(vu_view_read_path(me, at + room - 10, buf), 20);
	/* PATH_MAX with its NUL, and one more */
	own[PATH_MAX - 1 + 7] = 0;
	assert_int_equal(vu_view_read_path(me, at + 7, buf), PATH_MAX - 1);
	assert_int_equal(vu_view_read_path(me, at + 6, buf), -ENAMETOOLONG);
	assert_int_equal(vu_view_read_path(me, 0, buf), -EFAULT);
	assert_int_equal(vu_view_read_path(me, 8, buf), -EFAULT);
	assert_int_equal(vu_view_read_path(me, UINT64_MAX - 3, buf), -EFAULT);
	assert_int_equal(vu_view_read_path(me, UINT64_C(0xffff800000000000), buf), -EFAULT);
	assert_int_equal(vu_view_read_path(INT_MAX, at, buf), -ESRCH);

	assert_int_equal(vu_view_read(me, at, buf, 24), 0);
	assert_int_equal(vu_view_read(me, at + 2 * room - 24, buf, 24), 0);
	assert_int_equal(vu_view_read(me, at + 2 * room - 23, buf, 24), -EFAULT);
	assert_int_equal(vu_view_read(me, at + 2 * room, buf, 24), -EFAULT);
	munmap(own, 4 * room);
}

/* ---- mounts ---- */

/* Names can be exchanged with the pool only by its own mount. */
static void on_mount(struct farm *f)
{
	char other[SCRATCH_PATH_MAX], path[PATH_MAX], want[512];
	struct vu_stat a, b, pool;

	needs_root();
	populate(f, 3);
	snprintf(other, sizeof(other), "%s/elsewhere", top);
	assert_int_equal(sh("mkdir -p %s && mount --bind %s/g1/usr %s", other, f->fs->mnt, other),
			 0);
	strcat(other, "/lib");
	_cleanup_fd_ int dir = open(other, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_fd_ int same = vu_view_on_mount(dir, vu_pool_fd(f->pool));

	assert_true(dir >= 0 && same >= 0);
	assert_int_equal(vu_stat_fd(dir, &a), 0);
	assert_int_equal(vu_stat_fd(same, &b), 0);
	assert_int_equal(vu_stat_fd(vu_pool_fd(f->pool), &pool), 0);
	assert_int_equal(a.version.ino, b.version.ino);
	assert_int_equal(a.version.dev, b.version.dev);
	assert_int_equal(b.mount, pool.mount);
	assert_true(a.mount != b.mount);
	assert_true(vu_view_path(view, same, path) > 0);
	snprintf(want, sizeof(want), "%s/g1/usr/lib", f->fs->mnt);
	assert_string_equal(path, want);
	assert_int_equal(renameat(dir, "f1", vu_pool_stage_fd(f->pool), "n"), -1);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(renameat(same, "f1", vu_pool_stage_fd(f->pool), "n"), 0);
	assert_int_equal(renameat(vu_pool_stage_fd(f->pool), "n", same, "f1"), 0);
	assert_int_equal(sh("umount -l %s/elsewhere", top), 0);
}

ON_ALL(on_mount)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_rows, leave),
		cmocka_unit_test_teardown(test_quick_rows, leave),
		cmocka_unit_test_teardown(test_quick, leave),
		cmocka_unit_test_teardown(test_descriptor, leave),
		cmocka_unit_test_teardown(test_roots, leave),
		cmocka_unit_test_teardown(test_dir, leave),
		cmocka_unit_test_teardown(test_parent, leave),
		cmocka_unit_test_teardown(test_parent_changed, leave),
		cmocka_unit_test_teardown(test_memory, leave),
		TESTS(on_mount),
	};

	return cmocka_run_group_tests_name("view", tests, set_up, tear_down);
}

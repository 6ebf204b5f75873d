/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls in a supervised guest, on a shared file and the same one on a private file: the result is the same, what
 * is in the directory afterwards is the same, and the other guest's file is what it was, and still the object.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/filter.h"
#include "guest-calls.h"
#include "supervised.h"

#define OTHER 2 /* the guest that must not see anything of it */
#define UNABLE 100000000

enum variant {
	TWIN = 1 << 0,	   /* f has a second name in its directory */
	LAST = 1 << 1,	   /* the other guest has no name of it any more */
	SOME = 1 << 2,	   /* half of the calls, in the short form */
	USER = 1 << 3,	   /* the caller is not root */
	STRANGER = 1 << 4, /* nor has he a right to the file */
	PRIVATE = 1 << 5,  /* f is not unified */
};

static const struct guest_call *calls;
static size_t n_calls;

/*
 * linkat(2) of a descriptor asks who opened it, or for a capability (6.10): the one that was put in its place has
 * been opened by the supervisor.
 */
static bool is_known_to_differ(const struct guest_call *c)
{
	return !strcmp(c->op->name, "link") && !strcmp(c->way->name, "empty");
}

static bool nightly(void)
{
	const char *v = getenv("VU_NIGHTLY");

	return v && !strcmp(v, "1");
}

static bool is_tried(size_t i, unsigned variant)
{
	if (variant & USER && is_known_to_differ(&calls[i]))
		return false;
	/* EACCES, before the length is looked at */
	if (variant & STRANGER && !strcmp(calls[i].op->name, "truncate-negative"))
		return false;
	/* a prime to the number of ways, so that they are mixed with the operations */
	return !(variant & SOME) || i % 2 == 0 || nightly();
}

/* ---- what is there ---- */

static void put_owned(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchown(fd, 7, 8), 0);
	assert_int_equal(fsetxattr(fd, "user.x", "value", 5, 0), 0);
	assert_int_equal(futimens(fd, (struct timespec[]){{MTIME, 5}, {MTIME, 123456789}}), 0);
	close(fd);
}

/* A call's directory: path on the host, and how the guest knows it. own: with what is the guest's alone. */
static void put_dir(const char *path, const char *inside, size_t i, bool own, unsigned variant)
{
	char text[160];

	assert_int_equal(mkdir(path, 0755), 0);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(dir >= 0);
	snprintf(text, sizeof(text), "content of %zu, longer than what fits into an inode\n", i);
	put_owned(dir, "f", text);
	snprintf(text, sizeof(text), "another file's content, number %zu\n", i);
	put_owned(dir, "g", text);
	if (variant & TWIN)
		assert_int_equal(linkat(dir, "f", dir, "h", 0), 0);
	if (own) {
		snprintf(text, sizeof(text), "%s, of this guest alone\n", inside);
		text[1] = 'x'; /* the same of both that are compared */
		put_owned(dir, "o", text);
		snprintf(text, sizeof(text), "%s/f", inside);
		assert_int_equal(symlinkat("f", dir, "l"), 0);
		assert_int_equal(symlinkat(text, dir, "a"), 0);
		assert_int_equal(symlinkat("o", dir, "x"), 0);
		assert_int_equal(mkdirat(dir, "d", 0755), 0);
		assert_int_equal(fchownat(dir, "d", 7, 8, 0), 0);
	}
	assert_int_equal(fchown(dir, 7, 8), 0);
	close(dir);
}

static void dir_path(const struct farm *f, unsigned g, const char *top, size_t i, char *path)
{
	char rel[64];

	snprintf(rel, sizeof(rel), "%s/%zu", top, i);
	guest_path(f, g, rel, path);
}

static void put_all(const struct farm *f, unsigned g, const char *top, unsigned variant)
{
	char path[256], inside[64];

	guest_path(f, g, top, path);
	assert_int_equal(mkdir(path, 0755), 0);
	for (size_t i = 0; i < n_calls; i++) {
		if (!is_tried(i, variant))
			continue;
		dir_path(f, g, top, i, path);
		snprintf(inside, sizeof(inside), "/%s/%zu", top, i);
		put_dir(path, inside, i, g == SUPERVISED, variant);
	}
}

/* ---- what became of it ---- */

struct text {
	char *p;
	size_t room;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	size_t n = (size_t)vsnprintf(t->p, t->room, format, ap);

	va_end(ap);
	assert_true(n < t->room);
	t->p += n;
	t->room -= n;
}

static void add_content(struct text *t, int fd, const struct stat *st)
{
	char buf[256], list[256] = "";
	ssize_t n;

	add(t, " size %jd", (intmax_t)st->st_size);
	n = read(fd, buf, sizeof(buf));
	add(t, " '%.*s'", (int)VU_MAX(n, 0), buf);
	n = flistxattr(fd, list, sizeof(list));
	for (char *x = list; n > 0 && x < list + n; x += strlen(x) + 1) {
		ssize_t len = fgetxattr(fd, x, buf, sizeof(buf));

		add(t, " %s=%.*s", x, (int)VU_MAX(len, 0), buf);
	}
}

static void add_time(struct text *t, const struct timespec *time)
{
	/* a time that was set, or now: which is not the same twice */
	if (time->tv_sec > MTIME + 1000)
		add(t, " now");
	else
		add(t, " %jd.%09ld", (intmax_t)time->tv_sec, time->tv_nsec);
}

/* first: of the files with this inode the first, so that names of one file are known as such. */
static void add_file(struct text *t, int dir, const char *name, const struct stat *st,
		     const char *first)
{
	char target[128];
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	add(t, "%s: %o %u:%u =%s", name, st->st_mode, st->st_uid, st->st_gid, first);
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(dir, name, target, sizeof(target));

		/* without what tells the two directories apart */
		add(t, " -> %.*s", (int)VU_MAX(n - (*target == '/' ? 2 : 0), 0),
		    target + (*target == '/' ? 2 : 0));
	}
	if (S_ISREG(st->st_mode)) {
		add_content(t, fd, st);
		add_time(t, &st->st_mtim);
	}
	add(t, "\n");
	vu_close_p(&fd);
}

static void describe_dir(const char *path, struct text *t)
{
	struct dirent **e = NULL;
	int n = scandir(path, &e, NULL, alphasort), dir = open(path, O_PATH | O_CLOEXEC);

	assert_true(n >= 0 && dir >= 0);
	for (int i = 0; i < n; i++) {
		struct stat st, other;
		int k = 0;

		assert_int_equal(fstatat(dir, e[i]->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
		if (strcmp(e[i]->d_name, ".") && strcmp(e[i]->d_name, "..")) {
			while (!fstatat(dir, e[k]->d_name, &other, AT_SYMLINK_NOFOLLOW) &&
			       other.st_ino != st.st_ino)
				k++;
			add_file(t, dir, e[i]->d_name, &st, e[k]->d_name);
		}
	}
	for (int i = 0; i < n; i++)
		free(e[i]);
	free(e);
	close(dir);
}

static void describe(const char *path, char *buf, size_t size)
{
	struct text t = {buf, size};
	char below[300];

	describe_dir(path, &t);
	snprintf(below, sizeof(below), "%s/d", path);
	if (!access(below, F_OK) && !chdir(below)) {
		add(&t, "d/\n");
		assert_int_equal(chdir("/"), 0);
		struct stat st;

		if (!stat(below, &st) && S_ISDIR(st.st_mode))
			describe_dir(below, &t);
	}
}

/* ---- the comparison ---- */

/*
 * Of an immutable file the kernel says EPERM, also to whom it would have said EACCES. That is put right where the file
 * is opened or cut by a path alone: in the other calls it is told by arguments that are not looked at.
 */
static bool is_refused_alike(const struct guest_call *c, long is, long want)
{
	static const char *const others[] = {"xattr", "-now", "openat2-no-", "openat2-beneath"};

	for (size_t i = 0; i < VU_ARRAY_SIZE(others); i++)
		if (strstr(c->op->name, others[i]))
			return is == -EPERM && want == -EACCES;
	return false;
}

static bool compare(const struct farm *f, size_t i, unsigned variant)
{
	static char s[8192], p[8192];
	char path[256], inside[64];
	long is, want;

	snprintf(inside, sizeof(inside), "/t/%zu", i);
	is = supervised_do(guest_call_do, inside, &calls[i]);
	snprintf(inside, sizeof(inside), "/p/%zu", i);
	want = supervised_do(guest_call_do, inside, &calls[i]);
	dir_path(f, SUPERVISED, "t", i, path);
	describe(path, s, sizeof(s));
	dir_path(f, SUPERVISED, "p", i, path);
	describe(path, p, sizeof(p));
	if (variant & STRANGER && is_refused_alike(&calls[i], is, want))
		is = want;
	if (is == want && !strcmp(s, p) && want < UNABLE && want != -ETIMEDOUT)
		return true;
	print_error("%s by %s: %ld, not %ld\nis:\n%snot:\n%s", calls[i].op->name,
		    calls[i].way->name, is, want, s, p);
	return false;
}

/* The other guest's files are the objects that they were. */
static void check_other(const struct farm *f, unsigned variant, const ino_t *inos)
{
	char rel[64];

	for (size_t i = 0; i < n_calls; i++) {
		if (!is_tried(i, variant) || variant & (LAST | PRIVATE))
			continue;
		snprintf(rel, sizeof(rel), "t/%zu/f", i);
		struct stat st = stat_of(f, OTHER, rel);

		if (st.st_ino != inos[i] || !immutable(f, OTHER, rel))
			fail_msg("%s by %s: the other's file is another, or not immutable",
				 calls[i].op->name, calls[i].way->name);
	}
}

static void manifest_other(const struct farm *f, const char *file)
{
	assert_int_equal(
		sh("cd %s/g%d && { find t -printf '%%p %%y %%m %%U %%G %%s %%T@\\n' | sort; "
		   "find t -type f -print0 | sort -z | xargs -0 sha256sum; "
		   "getfattr -R -d -m - t; } >%s/%s 2>/dev/null",
		   f->fs->mnt, OTHER, f->fs->dir, file),
		0);
}

/* All files are objects, which the guests share. */
static void share(struct farm *f, unsigned variant)
{
	calls = guest_calls(&n_calls);
	put_all(f, SUPERVISED, "t", variant);
	put_all(f, OTHER, "t", variant);
	sync();
	farm_scan(f);
	if (!(variant & PRIVATE))
		assert_int_equal(farm_link(f), 0);
	if (variant & LAST) {
		/* the directories' other files stay shared */
		assert_int_equal(
			sh("cd %s/g%d/t && chattr -i */f && rm -f */f && cd ../../g%d/t && "
			   "chattr +i */f",
			   f->fs->mnt, OTHER, SUPERVISED),
			0);
	}
	put_all(f, SUPERVISED, "p", variant);
	/* as mkdir(2) and link(2) leave it in both */
	assert_int_equal(sh("ln -s proc/self/fd %s/g%d/dev-fd; mkdir %s/g%d/dev; "
			    "ln -s ../proc/self/fd %s/g%d/dev/fd",
			    f->fs->mnt, SUPERVISED, f->fs->mnt, SUPERVISED, f->fs->mnt, SUPERVISED),
			 0);
}

/* As a walk of the guest has found them. */
static void know_twins(const ino_t *inos)
{
	char path[64];

	for (size_t i = 0; i < n_calls; i++) {
		snprintf(path, sizeof(path), "t/%zu", i);
		_cleanup_fd_ int dir =
			openat(now_supervised.env.root_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

		assert_int_equal(vu_names_add(now_supervised.names, inos[i], dir, "f"), 0);
		assert_int_equal(vu_names_add(now_supervised.names, inos[i], dir, "h"), 0);
	}
}

/* Returns what the supervisor has counted. */
static struct vu_supervisor_stats conform(struct farm *f, unsigned variant,
					  const struct supervised_want *want)
{
	struct vu_supervisor_stats stats;
	unsigned wrong = 0, tried = 0;
	char rel[64];

	share(f, variant);
	ino_t *inos = calloc(n_calls, sizeof(*inos));

	for (size_t i = 0; i < n_calls && !(variant & LAST); i++) {
		snprintf(rel, sizeof(rel), "t/%zu/f", i);
		if (is_tried(i, variant)) {
			inos[i] = stat_of(f, OTHER, rel).st_ino;
			assert_int_equal(stat_of(f, SUPERVISED, rel).st_ino == inos[i],
					 !(variant & PRIVATE));
		}
	}
	manifest_other(f, "before");
	supervised_start(f, want);
	if (variant & TWIN)
		know_twins(inos);
	for (size_t i = 0; i < n_calls; i++) {
		if (!is_tried(i, variant))
			continue;
		tried++;
		wrong += !compare(f, i, variant);
	}
	vu_supervisor_stats(now_supervised.supervisor, &stats);
	print_message("%u calls: %u wrong, %ju notified, %ju broken, %ju refused\n", tried, wrong,
		      (uintmax_t)stats.notified, (uintmax_t)stats.broken, (uintmax_t)stats.refused);
	print_message(
		"# proof: calls on shared files beside the same on plain ones, %s | %u | %u\n",
		f->fs->type, tried, wrong);
	assert_int_equal(wrong, 0);
	manifest_other(f, "after");
	same_manifest(f, "before", "after");
	check_other(f, variant, inos);
	free(inos);
	supervised_stop();
	stage_is_empty(f);
	return stats;
}

static const struct supervised_want root = {.filter = VU_FILTER_DESCRIPTORS};
static const struct supervised_want root_by_copies = {
	.filter = VU_FILTER_DESCRIPTORS, .by_copies = true, .pivot = true};
static const struct supervised_want owner = {.filter = VU_FILTER_DESCRIPTORS, .uid = 7, .gid = 8};
static const struct supervised_want stranger = {
	.filter = VU_FILTER_DESCRIPTORS, .uid = 9, .gid = 9};

static void all(struct farm *f)
{
	conform(f, 0, &root);
}

static void some(struct farm *f)
{
	conform(f, SOME, &root);
}

static void by_copies(struct farm *f)
{
	conform(f, SOME, &root_by_copies);
}

static void not_unified(struct farm *f)
{
	assert_int_equal(conform(f, SOME | PRIVATE, &root).broken, 0);
}

static void twins(struct farm *f)
{
	conform(f, TWIN, &root);
}

static void last(struct farm *f)
{
	conform(f, LAST, &root);
}

static void by_owner(struct farm *f)
{
	conform(f, USER, &owner);
}

/* Who may not change a file has no copy made of it. */
static void by_stranger(struct farm *f)
{
	assert_int_equal(conform(f, USER | STRANGER, &stranger).broken, 0);
}

ON_ALL(some)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST_ON(xfs, all),	   TEST_ON(xfs, by_copies),
		TEST_ON(xfs, twins),	   TEST_ON(xfs, last),
		TEST_ON(xfs, by_owner),	   TEST_ON(xfs, by_stranger),
		TEST_ON(xfs, not_unified), TESTS(some),
	};

	for (size_t i = 0; i < VU_ARRAY_SIZE(tests); i++)
		tests[i].teardown_func = supervised_end;
	return cmocka_run_group_tests_name("serve", tests, NULL, NULL);
}

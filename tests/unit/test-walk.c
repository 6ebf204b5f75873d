/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The walk: hostile trees, what is recorded, and what a second walk notices. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "scan/walk.h"

struct farm {
	char top[256];
	int top_fd;
	struct vu_walk_guest guest[2];
	struct vu_walk_env env;
	struct vu_walk_stats s;
	struct vu_inomap objects;
	struct vu_tree *t;
	unsigned n_skip[VU_SKIP_N];
	unsigned n_warn;
	struct vu_sink sink;
};

static void on_event(void *arg, const struct vu_event *e)
{
	struct farm *f = arg;

	f->n_skip[e->skip] += e->kind == VU_EVENT_SKIP;
	f->n_warn += e->kind == VU_EVENT_WARN;
}

static void setup_farm_in(struct farm *f, const char *dir, size_t n)
{
	static const char *const names[] = {"a", "b"};

	*f = (struct farm){0};
	snprintf(f->top, sizeof(f->top), "%s/vu-test-walk.XXXXXX", dir);
	assert_non_null(mkdtemp(f->top));
	f->top_fd = open(f->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(mkdirat(f->top_fd, names[i], 0755), 0);
		f->guest[i].name = names[i];
		f->guest[i].objects = &f->objects;
		f->guest[i].root = openat(f->top_fd, names[i], O_PATH | O_CLOEXEC);
	}
	f->sink = (struct vu_sink){.fn = on_event, .arg = f};
	f->env = (struct vu_walk_env){
		.guests = f->guest,
		.n_guests = n,
		.jobs = 3,
		.max_depth = 100000,
		.max_path = UINT32_MAX,
		.max_files = 1000000,
		.min_size = 1,
		.max_size = UINT64_C(1) << 40,
		.sink = &f->sink,
	};
	f->t = vu_tree_new();
	assert_non_null(f->t);
}

static void setup_farm(struct farm *f, size_t n)
{
	const char *dir = getenv("TMPDIR");

	setup_farm_in(f, dir ? dir : "/var/tmp", n);
}

/* For many files: on a disk they would cost a minute, and nothing about the walk is seen by that. */
static void setup_large_farm(struct farm *f)
{
	if (access("/dev/shm", W_OK))
		setup_farm(f, 1);
	else
		setup_farm_in(f, "/dev/shm", 1);
}

/* rm copes with any depth. */
static void done_farm(struct farm *f)
{
	char cmd[300];

	for (size_t i = 0; i < f->env.n_guests; i++)
		close(f->guest[i].root);
	close(f->top_fd);
	vu_inomap_done(&f->objects);
	f->t = vu_tree_free(f->t);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->top);
	assert_int_equal(system(cmd), 0);
}

static void put(const struct farm *f, const char *path, const char *text)
{
	int fd = openat(f->top_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void walk(struct farm *f)
{
	assert_int_equal(vu_walk_run(&f->env, f->t, &f->s), 0);
}

/* As if what is there had been saved and loaded again; what is gone is forgotten by its fate. */
static void reload(struct farm *f)
{
	for (uint32_t i = 0; i < f->t->dirs.n; i++) {
		struct vu_dir *d = vu_tree_dir(f->t, i);

		assert_true(d->fate != VU_UNSEEN);
		d->fate = VU_UNSEEN;
		d->flags &= (uint8_t) ~(VU_DIR_LISTED | VU_DIR_CLEAN);
	}
	for (uint32_t i = 0; i < f->t->names.n; i++)
		vu_tree_name(f->t, i)->fate = VU_UNSEEN;
	for (uint32_t i = 0; i < f->t->inodes.n; i++) {
		vu_tree_inode(f->t, i)->fate = VU_UNSEEN;
		vu_tree_inode(f->t, i)->content = 7;
	}
}

/* Timestamps tick with the timer on older kernels. */
static void tick(void)
{
	usleep(30000);
}

static struct vu_name *name_of(const struct farm *f, const char *path)
{
	for (uint32_t i = f->t->names.n; i-- > 0;) {
		_cleanup_free_ char *p = vu_tree_name_path(f->t, i);

		if (!strcmp(p, path))
			return vu_tree_name(f->t, i);
	}
	return NULL;
}

static struct vu_dir *dir_of(const struct farm *f, const char *path)
{
	for (uint32_t i = f->t->dirs.n; i-- > 0;) {
		_cleanup_free_ char *p = vu_tree_dir_path(f->t, i);

		if (!strcmp(p, path))
			return vu_tree_dir(f->t, i);
	}
	return NULL;
}

static struct vu_inode *inode_of(const struct farm *f, const char *path)
{
	const struct vu_name *n = name_of(f, path);

	assert_non_null(n);
	return vu_tree_inode(f->t, n->inode);
}

static void hostile_tree(void **state)
{
	struct farm f;

	(void)state;
	setup_farm(&f, 1);
	put(&f, "a/file", "x");
	put(&f, "a/new\nline \\ \xff\xfe", "xy");
	put(&f, "secret", "outside");
	assert_int_equal(mkdirat(f.top_fd, "a/dir", 0), 0);
	put(&f, "a/dir/empty", "");
	assert_int_equal(mkfifoat(f.top_fd, "a/fifo", 0644), 0);
	assert_int_equal(mknodat(f.top_fd, "a/device", S_IFCHR | 0600, makedev(1, 3)), 0);
	assert_int_equal(symlinkat("../..", f.top_fd, "a/up"), 0);
	assert_int_equal(symlinkat("../secret", f.top_fd, "a/link"), 0);
	alarm(300);
	walk(&f);
	alarm(0);
	assert_int_equal(f.s.n_dirs, 2);
	assert_int_equal(f.s.n_private, 3);
	assert_int_equal(f.s.n_other, 4);
	assert_int_equal(f.s.bytes, 3);
	assert_int_equal(inode_of(&f, "new\nline \\ \xff\xfe")->size, 2);
	assert_int_equal(inode_of(&f, "dir/empty")->skip, VU_SKIP_EMPTY);
	assert_null(name_of(&f, "link"));
	done_farm(&f);
}

/* A chain with a branch at each level, so that every directory waits for its turn. */
static void deep_tree(void **state)
{
	const unsigned levels = 20000;
	struct rlimit old, few;
	struct farm f;

	(void)state;
	setup_large_farm(&f);
	int at = openat(f.top_fd, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; i < levels; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		if (i % 2)
			assert_int_equal(mkdirat(at, "e", 0755), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		close(at);
		at = next;
	}
	close(at);
	getrlimit(RLIMIT_NOFILE, &old);
	few = (struct rlimit){.rlim_cur = 256, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	alarm(300);
	walk(&f);
	assert_int_equal(f.s.n_dirs, 1 + levels + levels / 2);
	assert_int_equal(f.s.n_failed, 0);
	reload(&f);
	tick();
	f.env.jobs = 1;
	walk(&f);
	alarm(0);
	assert_int_equal(f.s.n_clean, 1 + levels + levels / 2);
	setrlimit(RLIMIT_NOFILE, &old);
	done_farm(&f);
}

/* What is too deep is told, and not entered. A case: levels, bytes of path; files listed, directories left. */
static void limits(void **state)
{
	static const uint32_t cases[][4] = {{1, UINT32_MAX, 1, 2}, {2, sizeof("//1/22") - 1, 2, 1}};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(cases); i++) {
		struct farm f;

		setup_farm(&f, 1);
		mkdirat(f.top_fd, "a/1", 0755);
		mkdirat(f.top_fd, "a/1/22", 0755);
		mkdirat(f.top_fd, "a/1/333", 0755);
		put(&f, "a/1/file", "x");
		put(&f, "a/1/22/file", "x");
		f.env.max_depth = cases[i][0];
		f.env.max_path = cases[i][1];
		walk(&f);
		assert_int_equal(f.s.n_private, cases[i][2]);
		assert_int_equal(f.s.n_failed, cases[i][3]);
		assert_int_equal(f.n_skip[VU_SKIP_LIMIT], cases[i][3]);
		assert_int_equal(f.n_warn, 1);
		done_farm(&f);
	}
}

/* 50,000 names, listed, and listed again with all of them recorded. */
static void many_names(void **state)
{
	struct farm f;

	(void)state;
	setup_large_farm(&f);
	put(&f, "a/0", "x");
	for (unsigned i = 1; i < 50000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "a/%u", i);
		int fd = openat(f.top_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		assert_true(fd >= 0);
		close(fd);
	}
	walk(&f);
	assert_int_equal(f.s.n_private, 50000);
	reload(&f);
	f.env.full = true;
	alarm(300);
	walk(&f);
	alarm(0);
	assert_int_equal(f.s.n_private, 50000);
	assert_int_equal(f.t->names.n, 50000);
	assert_int_equal(f.t->inodes.n, 50000);
	done_farm(&f);
}

static void links_and_skips(void **state)
{
	struct farm f;

	(void)state;
	setup_farm(&f, 2);
	mkdirat(f.top_fd, "a/d", 0755);
	put(&f, "a/one", "text");
	assert_int_equal(linkat(f.top_fd, "a/one", f.top_fd, "a/d/two", 0), 0);
	put(&f, "a/inside", "text");
	assert_int_equal(linkat(f.top_fd, "a/inside", f.top_fd, "b/outside", 0), 0);
	put(&f, "a/d/x.lock", "text");
	put(&f, "a/setid", "text");
	assert_int_equal(fchmodat(f.top_fd, "a/setid", 04755, 0), 0);
	put(&f, "a/big", "0123456789");
	f.env.max_size = 9;
	walk(&f);
	assert_ptr_equal(inode_of(&f, "one"), inode_of(&f, "d/two"));
	assert_int_equal(vu_tree_count_names(f.t, inode_of(&f, "one")), 2);
	assert_int_equal(inode_of(&f, "one")->skip, VU_SKIP_NONE);
	assert_int_equal(inode_of(&f, "inside")->skip, VU_SKIP_LINKS_OUTSIDE);
	assert_int_equal(inode_of(&f, "outside")->skip, VU_SKIP_LINKS_OUTSIDE);
	assert_int_equal(inode_of(&f, "outside")->guest, 1);
	assert_int_equal(inode_of(&f, "d/x.lock")->skip, VU_SKIP_LOCK_FILE);
	assert_int_equal(inode_of(&f, "setid")->skip, VU_SKIP_SETID);
	assert_int_equal(inode_of(&f, "big")->skip, VU_SKIP_TOO_LARGE);
	done_farm(&f);
}

static void excluded(void **state)
{
	char *rules[] = {(char[]){"include /etc/keep"}, (char[]){"exclude /etc"},
			 (char[]){"exclude /var"}, (char[]){"exclude *.bak"}, NULL};
	struct vu_exclude_error err;
	struct vu_exclude *x = NULL;
	struct farm f;

	(void)state;
	setup_farm(&f, 1);
	assert_int_equal(vu_exclude_new(rules, NULL, &x, &err), 0);
	mkdirat(f.top_fd, "a/etc", 0755);
	mkdirat(f.top_fd, "a/etc/no", 0755);
	mkdirat(f.top_fd, "a/var", 0755);
	put(&f, "a/etc/keep", "x");
	put(&f, "a/etc/drop", "x");
	put(&f, "a/var/file", "x");
	put(&f, "a/file.bak", "x");
	f.guest[0].exclude = x;
	walk(&f);
	assert_int_equal(inode_of(&f, "etc/keep")->skip, VU_SKIP_NONE);
	assert_int_equal(inode_of(&f, "etc/drop")->skip, VU_SKIP_EXCLUDED);
	assert_int_equal(inode_of(&f, "file.bak")->skip, VU_SKIP_EXCLUDED);
	assert_null(name_of(&f, "var/file"));
	assert_true(dir_of(&f, "var")->flags & VU_DIR_EXCLUDED);
	assert_int_equal(f.s.n_excluded, 2);
	/* without the rules, what was excluded is found, however clean its directory looks */
	reload(&f);
	f.guest[0].exclude = NULL;
	tick();
	walk(&f);
	assert_non_null(name_of(&f, "var/file"));
	assert_int_equal(inode_of(&f, "etc/drop")->skip, VU_SKIP_NONE);
	x = vu_exclude_free(x);
	done_farm(&f);
}

static void clean_and_changed(void **state)
{
	struct farm f;

	(void)state;
	setup_farm(&f, 1);
	mkdirat(f.top_fd, "a/same", 0755);
	mkdirat(f.top_fd, "a/same/leaf", 0755);
	mkdirat(f.top_fd, "a/more", 0755);
	put(&f, "a/same/kept", "text");
	put(&f, "a/same/written", "text");
	put(&f, "a/more/kept", "text");
	put(&f, "a/more/gone", "text");
	put(&f, "a/more/replaced", "text");
	tick();
	walk(&f);
	assert_int_equal(f.s.n_listed, 4);
	reload(&f);
	put(&f, "a/same/written", "TEXT");
	put(&f, "a/more/new", "text");
	unlinkat(f.top_fd, "a/more/gone", 0);
	put(&f, "tmp", "text");
	renameat(f.top_fd, "tmp", f.top_fd, "a/more/replaced");
	tick();
	walk(&f);
	assert_int_equal(f.s.n_clean, 3);
	assert_int_equal(f.s.n_listed, 1);
	assert_true(dir_of(&f, "same")->flags & VU_DIR_CLEAN);
	assert_int_equal(dir_of(&f, "same")->fate, VU_KEPT);
	assert_true(dir_of(&f, "same/leaf")->flags & VU_DIR_CLEAN);
	assert_int_equal(dir_of(&f, "more")->fate, VU_CHANGED);
	assert_int_equal(inode_of(&f, "same/kept")->content, 7);
	assert_int_equal(inode_of(&f, "same/kept")->fate, VU_KEPT);
	assert_int_equal(inode_of(&f, "same/written")->fate, VU_CHANGED);
	assert_int_equal(inode_of(&f, "same/written")->content, VU_NONE);
	assert_int_equal(name_of(&f, "same/written")->fate, VU_KEPT);
	assert_int_equal(inode_of(&f, "more/kept")->content, 7);
	assert_int_equal(inode_of(&f, "more/new")->fate, VU_NEW);
	assert_int_equal(name_of(&f, "more/gone")->fate, VU_GONE);
	assert_int_equal(inode_of(&f, "more/gone")->fate, VU_GONE);
	assert_int_equal(name_of(&f, "more/replaced")->fate, VU_CHANGED);
	assert_int_equal(inode_of(&f, "more/replaced")->content, VU_NONE);
	assert_int_equal(f.s.n_private, 5);
	done_farm(&f);
}

static void fresh_directory(void **state)
{
	struct farm f;

	(void)state;
	setup_farm(&f, 1);
	f.env.granularity_ns = UINT64_C(1000000000000);
	walk(&f);
	assert_true(dir_of(&f, "")->flags & VU_DIR_FRESH);
	reload(&f);
	f.env.granularity_ns = 0;
	walk(&f);
	assert_int_equal(f.s.n_listed, 1);
	assert_false(dir_of(&f, "")->flags & VU_DIR_FRESH);
	done_farm(&f);
}

static void removed_directory(void **state)
{
	struct farm f;

	(void)state;
	setup_farm(&f, 1);
	mkdirat(f.top_fd, "a/d", 0755);
	mkdirat(f.top_fd, "a/d/e", 0755);
	put(&f, "a/d/e/file", "x");
	walk(&f);
	reload(&f);
	unlinkat(f.top_fd, "a/d/e/file", 0);
	unlinkat(f.top_fd, "a/d/e", AT_REMOVEDIR);
	unlinkat(f.top_fd, "a/d", AT_REMOVEDIR);
	walk(&f);
	assert_int_equal(dir_of(&f, "d")->fate, VU_GONE);
	assert_int_equal(dir_of(&f, "d/e")->fate, VU_UNSEEN);
	assert_int_equal(inode_of(&f, "d/e/file")->fate, VU_GONE);
	assert_int_equal(f.s.n_dirs, 1);
	done_farm(&f);
}

static uint64_t ino_of(const struct farm *f, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(f->top_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_ino;
}

static void objects_are_counted(void **state)
{
	struct farm f;

	(void)state;
	setup_farm(&f, 1);
	put(&f, "a/private", "x");
	put(&f, "a/unified", "x");
	walk(&f);
	reload(&f);
	/* it became an object where it is: its directory looks clean, and it is noticed all the same */
	vu_inomap_set(&f.objects, ino_of(&f, "a/unified"), 0);
	tick();
	walk(&f);
	assert_int_equal(f.s.n_unified, 1);
	assert_int_equal(f.s.n_private, 1);
	assert_int_equal(f.t->unified.n, 1);
	assert_int_equal(name_of(&f, "unified")->fate, VU_GONE);
	done_farm(&f);
}

/* Puts the object's name in the place of a file, as the linker does. */
static void replace(struct farm *f, const char *object, const char *path)
{
	struct vu_name *n = name_of(f, path + 2);

	assert_int_equal(linkat(f->top_fd, object, f->top_fd, "tmp", 0), 0);
	renameat(f->top_fd, "tmp", f->top_fd, path);
	n->unified = 1;
	vu_tree_dir(f->t, n->dir)->flags |= VU_DIR_TOUCHED;
}

static void verified(void **state)
{
	uint64_t odd;
	struct farm f;

	(void)state;
	setup_farm(&f, 1);
	mkdirat(f.top_fd, "a/d", 0755);
	mkdirat(f.top_fd, "a/odd", 0755);
	put(&f, "object", "x");
	put(&f, "a/d/one", "x");
	put(&f, "a/d/two", "x");
	put(&f, "a/odd/one", "x");
	put(&f, "a/odd/two", "x");
	walk(&f);
	vu_inomap_set(&f.objects, ino_of(&f, "object"), 0);
	replace(&f, "object", "a/d/one");
	replace(&f, "object", "a/odd/one");
	put(&f, "a/odd/three", "x");
	tick();
	f.env.granularity_ns = 1000000;
	assert_int_equal(vu_walk_verify(&f.env, f.t, &odd), 0);
	assert_int_equal(odd, 1);
	assert_int_equal(dir_of(&f, "d")->n_unified, 1);
	assert_false(dir_of(&f, "d")->flags & VU_DIR_FRESH);
	assert_true(dir_of(&f, "odd")->flags & VU_DIR_FRESH);
	assert_int_equal(f.t->unified.n, 2);
	name_of(&f, "d/one")->fate = VU_GONE;
	name_of(&f, "odd/one")->fate = VU_GONE;
	done_farm(&f);
}

/* A file system mounted inside is not entered, and a file mounted on a name is not the guest's. */
static void mounts(void **state)
{
	char dir[300], file[300], from[300];
	struct farm f;

	(void)state;
	setup_farm(&f, 1);
	mkdirat(f.top_fd, "a/m", 0755);
	put(&f, "a/file", "x");
	put(&f, "outside", "xyz");
	snprintf(dir, sizeof(dir), "%s/a/m", f.top);
	snprintf(file, sizeof(file), "%s/a/file", f.top);
	snprintf(from, sizeof(from), "%s/outside", f.top);
	if (mount("none", dir, "tmpfs", 0, NULL)) {
		done_farm(&f);
		skip();
	}
	assert_int_equal(mount(from, file, NULL, MS_BIND, NULL), 0);
	int r = vu_walk_run(&f.env, f.t, &f.s);

	umount2(file, MNT_DETACH);
	umount2(dir, MNT_DETACH);
	assert_int_equal(r, 0);
	assert_true(dir_of(&f, "m")->flags & VU_DIR_OTHER_FS);
	assert_int_equal(f.s.n_private, 0);
	assert_int_equal(f.s.n_other, 1);
	done_farm(&f);
}

static bool is_etc_conf(void *arg, uint16_t guest, const char *path)
{
	(void)arg;
	(void)guest;
	return !strcmp(path, "etc/conf");
}

static bool is_etc(void *arg, uint16_t guest, const char *path)
{
	(void)arg;
	(void)guest;
	return !strcmp(path, "etc");
}

static void conffiles(void **state)
{
	struct farm f;

	(void)state;
	setup_farm(&f, 1);
	mkdirat(f.top_fd, "a/etc", 0755);
	put(&f, "a/etc/conf", "x");
	put(&f, "a/etc/other", "x");
	put(&f, "a/conf", "x");
	f.env.is_conffile = is_etc_conf;
	f.env.dir_has_conffile = is_etc;
	walk(&f);
	assert_int_equal(inode_of(&f, "etc/conf")->skip, VU_SKIP_CONFFILE);
	assert_int_equal(inode_of(&f, "etc/other")->skip, VU_SKIP_NONE);
	assert_int_equal(inode_of(&f, "conf")->skip, VU_SKIP_NONE);
	done_farm(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_tree),
		cmocka_unit_test(deep_tree),
		cmocka_unit_test(limits),
		cmocka_unit_test(many_names),
		cmocka_unit_test(links_and_skips),
		cmocka_unit_test(excluded),
		cmocka_unit_test(clean_and_changed),
		cmocka_unit_test(fresh_directory),
		cmocka_unit_test(removed_directory),
		cmocka_unit_test(objects_are_counted),
		cmocka_unit_test(verified),
		cmocka_unit_test(mounts),
		cmocka_unit_test(conffiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

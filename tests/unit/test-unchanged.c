/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a guest is as it was recorded: yes for one that is, no for whatever can be done to it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "fs/stat.h"
#include "model/skip.h"
#include "model/tree.h"
#include "scan/unchanged.h"
#include "scratch.h"

/* The root, with a file; sub, with one; sub/leaf, with none; out, which a rule excludes. */
enum {
	ROOT,
	SUB,
	LEAF,
	OUT,
	N_DIRS
};

struct farm {
	char dir[SCRATCH_MAX];
	int root;
	struct vu_recorded_dir dirs[N_DIRS];
	struct vu_recorded_file files[2];
	struct vu_recorded_inode inodes[2];
	struct vu_recorded r;
};

static char text[] = "\0sub\0leaf\0out\0file\0deep";

static void record_dir(struct farm *f, int i, const char *path, uint32_t name, uint32_t parent)
{
	struct vu_stat st;
	struct vu_recorded_dir *d = &f->dirs[i];

	assert_int_equal(vu_stat_at(f->root, path, &st), 0);
	*d = (struct vu_recorded_dir){
		.ino = st.version.ino,
		.mtime_ns = st.version.mtime_ns,
		.ctime_ns = st.version.ctime_ns,
		.parent = parent,
		.name = name,
		.first_child = VU_NONE,
		.sibling = VU_NONE,
	};
	if (parent == VU_NONE)
		return;
	d->sibling = f->dirs[parent].first_child;
	f->dirs[parent].first_child = (uint32_t)i;
}

static void record_file(struct farm *f, uint32_t i, const char *path, uint32_t name, int dir)
{
	struct vu_stat st;

	assert_int_equal(vu_stat_at(f->root, path, &st), 0);
	f->files[i] = (struct vu_recorded_file){.name = name, .inode = i};
	f->inodes[i] = (struct vu_recorded_inode){
		.ino = st.version.ino,
		.size = st.version.size,
		.mtime_ns = st.version.mtime_ns,
		.ctime_ns = st.version.ctime_ns,
		.mode = st.mode,
		.uid = st.uid,
		.gid = st.gid,
		.n_links = vu_tree_links(st.n_links),
		.n_names = 1,
		.skip = VU_SKIP_UNIQUE,
	};
	f->dirs[dir].first_file = i;
	f->dirs[dir].n_files = 1;
}

static void record(struct farm *f)
{
	record_dir(f, ROOT, ".", 0, VU_NONE);
	record_dir(f, SUB, "sub", 1, ROOT);
	record_dir(f, LEAF, "sub/leaf", 5, SUB);
	record_dir(f, OUT, "out", 10, ROOT);
	f->dirs[OUT].flags = VU_DIR_EXCLUDED;
	record_file(f, 0, "file", 14, ROOT);
	record_file(f, 1, "sub/deep", 19, SUB);
	f->r = (struct vu_recorded){
		.dirs = f->dirs,
		.files = f->files,
		.inodes = f->inodes,
		.text = text,
		.n_dirs = N_DIRS,
		.n_files = 2,
		.n_inodes = 2,
		.n_text = sizeof(text),
	};
}

static void write_file(int at, const char *name, const char *content)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static void farm_make(struct farm *f)
{
	assert_true(scratch_dir(f->dir, "vu-test-unchanged"));
	f->root = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->root >= 0);
	assert_int_equal(mkdirat(f->root, "sub", 0755) | mkdirat(f->root, "sub/leaf", 0755) |
				 mkdirat(f->root, "out", 0755),
			 0);
	write_file(f->root, "file", "a");
	write_file(f->root, "sub/deep", "b");
	usleep(20000); /* what follows has another ctime, whatever the clock's ticks are */
	record(f);
}

static void farm_drop(struct farm *f)
{
	char cmd[SCRATCH_PATH_MAX];

	close(f->root);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
}

/* ---- what a guest does ---- */

static void append(struct farm *f)
{
	write_file(f->root, "sub/deep", "more");
}

static void write_and_put_back(struct farm *f)
{
	struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, vu_stat_timespec(f->inodes[0].mtime_ns)};
	int fd = openat(f->root, "file", O_WRONLY | O_CLOEXEC);

	assert_int_equal(write(fd, "z", 1), 1);
	assert_int_equal(futimens(fd, t), 0);
	close(fd);
}

static void change_mode(struct farm *f)
{
	assert_int_equal(fchmodat(f->root, "sub/deep", 0600, 0), 0);
}

static void change_xattr(struct farm *f)
{
	int fd = openat(f->root, "file", O_RDONLY | O_CLOEXEC);

	if (fsetxattr(fd, "user.x", "y", 1, 0))
		change_mode(f); /* no file system with xattrs */
	close(fd);
}

static void link_it(struct farm *f)
{
	assert_int_equal(linkat(f->root, "file", f->root, "out/link", 0), 0);
}

static void replace(struct farm *f)
{
	write_file(f->root, "out/new", "a");
	assert_int_equal(renameat(f->root, "out/new", f->root, "file"), 0);
}

static void remove_file(struct farm *f)
{
	assert_int_equal(unlinkat(f->root, "sub/deep", 0), 0);
}

static void symlink_it(struct farm *f)
{
	assert_int_equal(renameat(f->root, "file", f->root, "out/file"), 0);
	assert_int_equal(symlinkat("out/file", f->root, "file"), 0);
}

static void new_name_in_leaf(struct farm *f)
{
	write_file(f->root, "sub/leaf/new", "");
}

static void other_dir(struct farm *f)
{
	assert_int_equal(renameat(f->root, "sub/leaf", f->root, "out/leaf"), 0);
	assert_int_equal(mkdirat(f->root, "sub/leaf", 0755), 0);
}

static void symlink_dir(struct farm *f)
{
	assert_int_equal(renameat(f->root, "sub", f->root, "out/sub"), 0);
	assert_int_equal(symlinkat("out/sub", f->root, "sub"), 0);
}

static void chmod_root(struct farm *f)
{
	assert_int_equal(fchmod(f->root, 0700), 0);
}

/* ---- what is recorded ---- */

static void fresh(struct farm *f)
{
	f->dirs[LEAF].flags = VU_DIR_FRESH;
}

static void failed(struct farm *f)
{
	f->dirs[SUB].flags = VU_DIR_FAILED;
}

static void busy(struct farm *f)
{
	f->inodes[1].skip = VU_SKIP_OPEN_FOR_WRITE;
}

static void pending(struct farm *f)
{
	f->inodes[0].skip = VU_SKIP_NONE;
}

static void nameless(struct farm *f)
{
	f->inodes[0].n_names = 0;
}

static void mount_gone(struct farm *f)
{
	f->dirs[LEAF].flags = VU_DIR_OTHER_FS;
}

static void empty(struct farm *f)
{
	f->r.n_dirs = 0;
}

static void owner(struct farm *f)
{
	f->inodes[1].uid++;
}

/* Each of what is compared counts by itself, also where a change of it would show in the ctime. */
static void dir_ino(struct farm *f)
{
	f->dirs[LEAF].ino++;
}

static void dir_mtime(struct farm *f)
{
	f->dirs[SUB].mtime_ns++;
}

static void file_ino(struct farm *f)
{
	f->inodes[0].ino++;
}

static void file_size(struct farm *f)
{
	f->inodes[0].size++;
}

static void file_mtime(struct farm *f)
{
	f->inodes[1].mtime_ns++;
}

static void file_mode(struct farm *f)
{
	f->inodes[1].mode ^= 1;
}

static void file_group(struct farm *f)
{
	f->inodes[0].gid++;
}

static void file_links(struct farm *f)
{
	f->inodes[0].n_links++;
}

static void each_is_seen(void **state)
{
	static void (*const acts[])(struct farm *) = {
		append,
		write_and_put_back,
		change_mode,
		change_xattr,
		link_it,
		replace,
		remove_file,
		symlink_it,
		new_name_in_leaf,
		other_dir,
		symlink_dir,
		chmod_root,
		fresh,
		failed,
		busy,
		pending,
		nameless,
		mount_gone,
		empty,
		owner,
		dir_ino,
		dir_mtime,
		file_ino,
		file_size,
		file_mtime,
		file_mode,
		file_group,
		file_links,
	};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(acts); i++) {
		struct farm f = {0};

		farm_make(&f);
		assert_int_equal(vu_unchanged(&f.r, f.root), 1);
		acts[i](&f);
		if (vu_unchanged(&f.r, f.root) > 0)
			fail_msg("change %zu was not seen", i);
		farm_drop(&f);
	}
}

/* Nothing of an excluded directory is looked at. */
static void excluded(void **state)
{
	struct farm f = {0};

	(void)state;
	farm_make(&f);
	write_file(f.root, "out/new", "");
	assert_int_equal(vu_unchanged(&f.r, f.root), 1);
	farm_drop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_seen),
		cmocka_unit_test(excluded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The times of directories: put back, unless a guest has changed one or nobody can tell; then that is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/stat.h"
#include "link/dirs.h"
#include "scratch.h"

/* A guest that is one directory. */
struct one {
	char dir[SCRATCH_MAX];
	struct vu_tree *tree;
	struct vu_guest guest;
	struct vu_guests guests;
	int root;
	struct vu_dirs dirs;
	struct vu_dirh *h;
	struct vu_touched touched;
	struct vu_sink sink;
	unsigned told;
};

static void on_event(void *arg, const struct vu_event *e)
{
	struct one *o = arg;

	assert_int_equal(e->kind, VU_EVENT_WARN);
	assert_non_null(strstr(e->text, "could not be put back"));
	o->told++;
}

static void open_one(struct one *o)
{
	struct vu_stat st;
	uint32_t dir;

	*o = (struct one){.guest = {.name = (char[]){"a"}}};
	o->sink = (struct vu_sink){on_event, o};
	assert_true(scratch_dir(o->dir, "vu-test-dirs"));
	assert_int_equal(
		utimensat(AT_FDCWD, o->dir,
			  (struct timespec[]){{.tv_sec = 1600000000}, {.tv_sec = 1600000000}}, 0),
		0);
	o->root = open(o->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(vu_stat_fd(o->root, &st), 0);
	o->tree = vu_tree_new();
	assert_int_equal(vu_tree_dir_add(o->tree, VU_NONE, 0, "", &dir), 0);
	vu_tree_dir(o->tree, dir)->ino = st.version.ino;
	vu_tree_dir(o->tree, dir)->mtime_ns = st.version.mtime_ns;
	o->guest.dev = st.version.dev;
	o->guests = (struct vu_guests){.v = &o->guest, .n = 1};
	assert_int_equal(vu_dirs_init(&o->dirs, o->tree, &o->guests, &o->root, 4), 0);
	assert_int_equal(vu_dirs_get(&o->dirs, dir, &o->h), 0);
	assert_int_equal(vu_touched_init(&o->touched, 1), 0);
	assert_int_equal(vu_touched_add(&o->touched, o->tree, o->h), 0);
}

/* As an exchange does, or a guest. */
static void change(struct one *o)
{
	close(openat(o->root, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(unlinkat(o->root, "f", 0), 0);
	usleep(10000); /* the next change is at another tick of the clock */
}

/* The last look fails: no statx(2) of a descriptor that is none. */
static void exchange(struct one *o, bool end_fails)
{
	struct vu_dirh blind = *o->h;

	blind.fd = -1;
	vu_touched_begin(&o->touched, o->h);
	change(o);
	vu_touched_end(&o->touched, end_fails ? &blind : o->h);
}

/* Puts the times back; is the mtime of before there? */
static bool restored(struct one *o)
{
	struct vu_stat st;

	vu_touched_restore(&o->touched, o->tree, &o->guests, &o->root, &o->sink);
	assert_int_equal(vu_stat_fd(o->root, &st), 0);
	return st.version.mtime_ns == UINT64_C(1600000000000000000);
}

static void close_one(struct one *o)
{
	vu_dirh_unref(o->h);
	vu_dirs_done(&o->dirs);
	vu_touched_done(&o->touched);
	vu_tree_free(o->tree);
	close(o->root);
	assert_int_equal(rmdir(o->dir), 0);
}

static void put_back(void **state)
{
	struct one o;

	(void)state;
	open_one(&o);
	exchange(&o, false);
	exchange(&o, false);
	assert_true(restored(&o));
	assert_int_equal(o.told, 0);
	close_one(&o);
}

static void changed_by_the_guest(void **state)
{
	struct one o;

	(void)state;
	open_one(&o);
	exchange(&o, false);
	change(&o);
	exchange(&o, false);
	assert_false(restored(&o));
	assert_int_equal(o.told, 0);
	close_one(&o);
}

static bool is_back(const struct one *o)
{
	struct vu_stat st;

	assert_int_equal(vu_stat_fd(o->root, &st), 0);
	return st.version.mtime_ns == UINT64_C(1600000000000000000);
}

static void restore_early(struct one *o)
{
	int64_t before = o->touched.changed_ns;

	vu_touched_restore_early(&o->touched, o->tree, &o->guests, &o->root);
	assert_true(is_back(o));
	assert_true(o->touched.changed_ns > before);
}

/* Also what is exchanged once more after that; what was put back already is not touched again. */
static void put_back_early(void **state)
{
	struct one o;
	struct vu_stat st, later;

	(void)state;
	open_one(&o);
	exchange(&o, false);
	restore_early(&o);
	exchange(&o, false);
	assert_false(is_back(&o));
	restore_early(&o);
	assert_int_equal(vu_stat_fd(o.root, &st), 0);
	int64_t changed_ns = o.touched.changed_ns;

	usleep(10000);
	assert_true(restored(&o));
	assert_int_equal(vu_stat_fd(o.root, &later), 0);
	assert_int_equal(st.version.ctime_ns, later.version.ctime_ns);
	assert_int_equal(o.touched.changed_ns, changed_ns);
	assert_int_equal(o.told, 0);
	close_one(&o);
}

static void changed_by_the_guest_after_it(void **state)
{
	struct one o;

	(void)state;
	for (int again = 0; again < 2; again++) {
		open_one(&o);
		exchange(&o, false);
		restore_early(&o);
		change(&o);
		if (again)
			exchange(&o, false);
		assert_false(restored(&o));
		assert_int_equal(o.told, 0);
		close_one(&o);
	}
}

/* What an exchange left is not known: the next one finds another time, and nobody knows whose it is. */
static void unknown(void **state)
{
	struct one o;

	(void)state;
	open_one(&o);
	exchange(&o, true);
	exchange(&o, false);
	assert_false(restored(&o));
	assert_int_equal(o.told, 1);
	close_one(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_back),	  cmocka_unit_test(changed_by_the_guest),
		cmocka_unit_test(put_back_early), cmocka_unit_test(changed_by_the_guest_after_it),
		cmocka_unit_test(unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

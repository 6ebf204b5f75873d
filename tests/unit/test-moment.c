/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metadata of an object that a guest changes while it has no flag: no lease holds that off, so it is put
 * right when the flag is set again, or told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "link-farm.h"
#include "link/moment.h"

#define PLAIN "usr/lib/f0"
#define WITH_XATTR "usr/lib/f1"

struct moment {
	struct farm *f;
	struct vu_moment_env env;
	struct vu_object *o;
	uint64_t ino;
	int twin; /* an equal file, as the one that was exchanged is; or -EBADF */
};

static const struct vu_sink sink = {on_event, &seen};

static int is_it(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct moment *m = arg;

	if (ino != m->ino)
		return 0;
	return vu_object_open(m->f->pool, key, true, 65536, &m->o, NULL) ? -1 : 1;
}

/* Links everything, and opens a moment of the object that rel is a name of. */
static void begin(struct moment *m, struct farm *f, const char *rel)
{
	char p[256], q[300];

	*m = (struct moment){.f = f};
	populate(f, 3);
	guest_path(f, 0, rel, p);
	snprintf(q, sizeof(q), "%s/twin", f->fs->mnt);
	assert_int_equal(sh("cp -p --preserve=all %s %s", p, q), 0);
	m->twin = open(q, O_RDONLY | O_CLOEXEC);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	manifest(f, "a", true);
	memset(&seen, 0, sizeof(seen));
	seen.quiet = true;
	vu_moment_env_init(&m->env, &sink, 65536);
	m->ino = stat_of(f, 0, rel).st_ino;
	assert_int_equal(vu_pool_list(f->pool, is_it, m), 1);
	assert_int_equal(vu_moment_begin(&m->env, m->o), 0);
}

/* By a guest, on its name of the object, without opening it for writing. */
static void change(const struct moment *m, const char *command, const char *rel)
{
	char p[256];

	guest_path(m->f, 2, rel, p);
	assert_int_equal(sh("%s %s", command, p), 0);
}

static void end(struct moment *m)
{
	assert_int_equal(vu_moment_end(&m->env, m->o, m->twin), 0);
	m->o = vu_object_unref(&m->env, m->o);
	vu_moment_env_done(&m->env);
	if (m->twin >= 0)
		close(m->twin);
	assert_true(immutable(m->f, 0, PLAIN));
	assert_true(immutable(m->f, 0, WITH_XATTR));
}

static void is_put_right(struct moment *m)
{
	end(m);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	manifest(m->f, "b", true);
	same_manifest(m->f, "a", "b");
}

/* One of these changes in each test is enough: they are put right one by one. */
static void with_change(struct farm *f, const char *command, const char *rel)
{
	struct moment m;

	begin(&m, f, rel);
	change(&m, command, rel);
	is_put_right(&m);
}

static void nothing_changed(struct farm *f)
{
	struct moment m;

	begin(&m, f, PLAIN);
	end(&m);
	assert_int_equal(seen.n[VU_EVENT_WARN] + seen.n[VU_EVENT_DAMAGE], 0);
	manifest(f, "b", true);
	same_manifest(f, "a", "b");
}

static void mode(struct farm *f)
{
	with_change(f, "chmod 4711", PLAIN);
}

static void owner(struct farm *f)
{
	with_change(f, "chown 12:13", PLAIN);
}

static void mtime(struct farm *f)
{
	with_change(f, "touch -h -d @1700000000.5", PLAIN);
}

static void xattr_made(struct farm *f)
{
	with_change(f, "setfattr -n user.new -v yes", PLAIN);
}

static void xattr_changed(struct farm *f)
{
	with_change(f, "setfattr -n user.x -v other", WITH_XATTR);
}

static void xattr_removed(struct farm *f)
{
	with_change(f, "setfattr -x user.x", WITH_XATTR);
}

static void flags(struct farm *f)
{
	char p[256];

	with_change(f, "chattr +d", PLAIN);
	guest_path(f, 0, PLAIN, p);
	assert_int_equal(sh("lsattr %s | cut -d ' ' -f 1 | grep -q d", p), 1 << 8);
}

/* An ACL is an xattr, and in the mode too. */
static void acl(struct farm *f)
{
	with_change(f, "setfacl -m u:7:rw", PLAIN);
}

static void everything(struct farm *f)
{
	struct moment m;

	begin(&m, f, WITH_XATTR);
	change(&m, "chmod 600", WITH_XATTR);
	change(&m, "chown 3:4", WITH_XATTR);
	change(&m, "setfattr -n user.more -v yes", WITH_XATTR);
	change(&m, "setfattr -n user.x -v other", WITH_XATTR);
	change(&m, "touch -h -d @1700000000", WITH_XATTR);
	is_put_right(&m);
}

/* What its xattrs were is known by their digest alone: without an equal file they stay as they are. */
static void xattr_without_a_twin(struct farm *f)
{
	struct moment m;

	begin(&m, f, WITH_XATTR);
	close(m.twin);
	m.twin = -EBADF;
	change(&m, "setfattr -n user.more -v yes", WITH_XATTR);
	end(&m);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 1);
	assert_int_equal(seen.n[VU_EVENT_WARN], 0);
	assert_int_equal(sh("getfattr -d %s/g0/" WITH_XATTR " 2>/dev/null | grep -c = | grep -qx 2",
			    f->fs->mnt),
			 0);
}

ON_ALL(nothing_changed)
ON_ALL(mode)
ON_ALL(owner)
ON_ALL(mtime)
ON_ALL(xattr_made)
ON_ALL(xattr_changed)
ON_ALL(flags)
ON_ALL(everything)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(nothing_changed),
		TESTS(mode),
		TESTS(owner),
		TESTS(mtime),
		TESTS(xattr_made),
		TESTS(xattr_changed),
		TEST_ON(xfs, acl),
		TEST_ON(xfs, xattr_removed),
		TESTS(flags),
		TESTS(everything),
		TEST_ON(xfs, xattr_without_a_twin),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

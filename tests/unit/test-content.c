/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Content: equal bytes, equal number; and what happens to files that are in use. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "scan/content.h"
#include "scratch.h"

struct farm {
	char top[SCRATCH_MAX];
	int top_fd;
	struct vu_walk_guest guest[2];
	struct vu_walk_env env;
	struct vu_content_env content;
	struct vu_content_stats s;
	struct vu_groups groups;
	struct vu_tree *t;
};

static void setup_farm(struct farm *f)
{
	static const char *const names[] = {"a", "b"};

	*f = (struct farm){0};
	assert_true(scratch_dir(f->top, "test-content"));
	f->top_fd = open(f->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(mkdirat(f->top_fd, names[i], 0755), 0);
		f->guest[i].name = names[i];
		f->guest[i].root = openat(f->top_fd, names[i], O_PATH | O_CLOEXEC);
	}
	f->env = (struct vu_walk_env){
		.guests = f->guest,
		.n_guests = 2,
		.jobs = 2,
		.max_depth = 100,
		.max_path = UINT32_MAX,
		.max_files = 1000000,
		.min_size = 1,
		.max_size = UINT64_C(1) << 50,
		.granularity_ns = 1000000,
	};
	f->content = (struct vu_content_env){.walk = &f->env, .max_xattr_bytes = 4096};
	f->t = vu_tree_new();
}

static void done_farm(struct farm *f)
{
	char cmd[300];

	close(f->guest[0].root);
	close(f->guest[1].root);
	close(f->top_fd);
	vu_groups_done(&f->groups);
	f->t = vu_tree_free(f->t);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->top);
	assert_int_equal(system(cmd), 0);
}

/* A file of size bytes made from seed, but for the byte at odd. */
static void put(const struct farm *f, const char *path, size_t size, unsigned char seed, size_t odd)
{
	_cleanup_free_ unsigned char *p = malloc(size);
	int fd = openat(f->top_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(seed + i % 251);
	if (odd < size)
		p[odd] ^= 0xff;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, size), (ssize_t)size);
	close(fd);
}

static void walk(struct farm *f)
{
	struct vu_walk_stats s;

	assert_int_equal(vu_walk_run(&f->env, f->t, &s), 0);
	assert_int_equal(vu_group_run(&f->env, f->t, false, &f->groups), 0);
}

static void read_all(struct farm *f)
{
	assert_int_equal(vu_content_run(&f->content, f->t, &f->groups, &f->s), 0);
}

static struct vu_inode *inode_of(const struct farm *f, uint16_t guest, const char *path)
{
	for (uint32_t i = 0; i < f->t->names.n; i++) {
		const struct vu_name *n = vu_tree_name(f->t, i);
		_cleanup_free_ char *p = vu_tree_name_path(f->t, i);

		if (vu_tree_dir(f->t, n->dir)->guest == guest && !strcmp(p, path))
			return vu_tree_inode(f->t, n->inode);
	}
	fail_msg("no name %s", path);
	return NULL;
}

static void equal_and_different(void **state)
{
	static const size_t sizes[] = {1, 7, 100, 65536, 65537, 700001};
	struct farm f;

	(void)state;
	setup_farm(&f);
	for (size_t i = 0; i < 6; i++) {
		char path[32];

		snprintf(path, sizeof(path), "a/%zu", i);
		put(&f, path, sizes[i], 1, SIZE_MAX);
		snprintf(path, sizeof(path), "b/%zu", i);
		put(&f, path, sizes[i], 1, SIZE_MAX);
		snprintf(path, sizeof(path), "b/%zu-tail", i);
		put(&f, path, sizes[i], 1, sizes[i] - 1);
		snprintf(path, sizeof(path), "a/%zu-middle", i);
		put(&f, path, sizes[i], 1, sizes[i] / 3);
	}
	walk(&f);
	read_all(&f);
	for (size_t i = 0; i < 6; i++) {
		char p[16], q[16], t[16];

		snprintf(p, sizeof(p), "%zu", i);
		snprintf(q, sizeof(q), "%zu-tail", i);
		snprintf(t, sizeof(t), "%zu-middle", i);
		uint32_t c = inode_of(&f, 0, p)->content, d = inode_of(&f, 1, q)->content;

		assert_int_not_equal(c, VU_NONE);
		assert_int_equal(c, inode_of(&f, 1, p)->content);
		assert_int_not_equal(d, VU_NONE);
		assert_int_not_equal(c, d);
		assert_int_not_equal(c, inode_of(&f, 0, t)->content);
		assert_true(vu_attrs_at(f.t->attrs, inode_of(&f, 0, p)->attr)->full);
	}
	assert_int_equal(f.s.n_read, 24);
	done_farm(&f);
}

/* The digest is SHA-256 of the bytes. */
static void digest(void **state)
{
	static const uint8_t expected[4] = {0xba, 0x78, 0x16, 0xbf}; /* FIPS 180-4, "abc" */
	struct farm f;

	(void)state;
	setup_farm(&f);
	for (int i = 0; i < 2; i++) {
		int fd = openat(f.top_fd, i ? "b/x" : "a/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		assert_int_equal(write(fd, "abc", 3), 3);
		close(fd);
	}
	walk(&f);
	read_all(&f);
	uint32_t c = inode_of(&f, 0, "x")->content;

	assert_memory_equal(vu_tree_content(f.t, c)->digest.b, expected, sizeof(expected));
	done_farm(&f);
}

/* Many files of one size with the same head, middle and tail: right, and not in quadratic time. */
static void many_of_one_size(void **state, size_t size, unsigned n)
{
	struct farm f;

	(void)state;
	setup_farm(&f);
	for (unsigned i = 0; i < n; i++) {
		char path[32];

		snprintf(path, sizeof(path), "%s/%u", i % 2 ? "b" : "a", i);
		put(&f, path, size, 3, 16 + i / 2);
	}
	walk(&f);
	alarm(300);
	read_all(&f);
	alarm(0);
	assert_int_equal(f.s.n_read, n);
	assert_int_equal(f.t->contents.n, (n + 1) / 2);
	assert_int_equal(inode_of(&f, 0, "0")->content, inode_of(&f, 1, "1")->content);
	assert_int_not_equal(inode_of(&f, 0, "0")->content, inode_of(&f, 0, "2")->content);
	done_farm(&f);
}

static void many_small(void **state)
{
	many_of_one_size(state, 4096, 1500);
}

static void many_large(void **state)
{
	many_of_one_size(state, 150000, 90);
}

/* What is open for writing or changed since the walk is not read; the others are. */
static void in_use(void **state)
{
	struct farm f;

	(void)state;
	setup_farm(&f);
	for (int i = 0; i < 2; i++) {
		put(&f, i ? "b/open" : "a/open", 5000, 1, SIZE_MAX);
		put(&f, i ? "b/changed" : "a/changed", 6000, 1, SIZE_MAX);
		put(&f, i ? "b/gone" : "a/gone", 100000, 1, SIZE_MAX);
		put(&f, i ? "b/swapped" : "a/swapped", 200000, 1, SIZE_MAX);
	}
	walk(&f);
	int fd = openat(f.top_fd, "a/open", O_WRONLY | O_CLOEXEC);

	usleep(30000);
	put(&f, "b/changed", 6000, 2, SIZE_MAX);
	unlinkat(f.top_fd, "a/gone", 0);
	unlinkat(f.top_fd, "b/swapped", 0);
	mkfifoat(f.top_fd, "b/swapped", 0644);
	alarm(300);
	read_all(&f);
	alarm(0);
	close(fd);
	assert_int_equal(inode_of(&f, 0, "open")->skip, VU_SKIP_OPEN_FOR_WRITE);
	assert_int_equal(inode_of(&f, 0, "open")->content, VU_NONE);
	assert_int_not_equal(inode_of(&f, 1, "open")->content, VU_NONE);
	assert_int_not_equal(inode_of(&f, 0, "changed")->content, VU_NONE);
	assert_int_equal(inode_of(&f, 1, "changed")->skip, VU_SKIP_CHANGED);
	assert_int_equal(inode_of(&f, 0, "gone")->skip, VU_SKIP_CHANGED);
	assert_int_not_equal(inode_of(&f, 1, "gone")->content, VU_NONE);
	assert_int_equal(inode_of(&f, 1, "swapped")->skip, VU_SKIP_CHANGED);
	done_farm(&f);
}

static int open_and_truncate(void *arg, uint32_t inode)
{
	const struct farm *f = arg;
	int fd = openat(f->top_fd, "object", O_RDONLY | O_CLOEXEC);

	(void)inode;
	int other = openat(f->top_fd, "object", O_WRONLY | O_CLOEXEC);

	assert_int_equal(ftruncate(other, 10), 0);
	close(other);
	return fd;
}

/* An object that is not what it was when the walk began is not believed. */
static void changed_object(void **state)
{
	struct stat st;
	struct farm f;
	uint32_t i;

	(void)state;
	setup_farm(&f);
	put(&f, "a/file", 5000, 1, SIZE_MAX);
	put(&f, "object", 5000, 1, SIZE_MAX);
	fstatat(f.top_fd, "object", &st, 0);
	assert_int_equal(vu_tree_inode_add(f.t, &i), 0);
	struct vu_inode *o = vu_tree_inode(f.t, i);
	struct vu_attr a = {.mode = st.st_mode};

	o->flags = VU_INODE_OBJECT;
	o->fate = VU_NEW;
	o->ino = st.st_ino;
	o->size = 5000;
	o->mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000U + (uint64_t)st.st_mtim.tv_nsec;
	o->ctime_ns = (uint64_t)st.st_ctim.tv_sec * 1000000000U + (uint64_t)st.st_ctim.tv_nsec;
	vu_attrs_intern(f.t->attrs, &a, &o->attr);
	walk(&f);
	f.content.open_object = open_and_truncate;
	f.content.open_object_arg = &f;
	usleep(30000);
	read_all(&f);
	assert_int_equal(o->content, VU_NONE);
	assert_int_not_equal(inode_of(&f, 0, "file")->content, VU_NONE);
	done_farm(&f);
}

static void attributes(void **state)
{
	struct farm f;

	(void)state;
	setup_farm(&f);
	put(&f, "a/x", 500, 1, SIZE_MAX);
	put(&f, "b/x", 500, 1, SIZE_MAX);
	put(&f, "b/huge", 500, 1, SIZE_MAX);
	int fd = openat(f.top_fd, "b/x", O_RDONLY | O_CLOEXEC);
	int r = fsetxattr(fd, "user.test", "v", 1, 0);

	close(fd);
	if (r) {
		done_farm(&f);
		skip();
	}
	fd = openat(f.top_fd, "b/huge", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fsetxattr(fd, "user.test", "0123456789", 10, 0), 0);
	close(fd);
	f.content.max_xattr_bytes = 9;
	walk(&f);
	read_all(&f);
	assert_true(vu_attrs_at(f.t->attrs, inode_of(&f, 1, "x")->attr)->has_xattrs);
	assert_int_equal(inode_of(&f, 1, "x")->content, inode_of(&f, 0, "x")->content);
	assert_int_equal(inode_of(&f, 1, "huge")->skip, VU_SKIP_LIMIT);
	assert_int_equal(inode_of(&f, 1, "huge")->content, VU_NONE);
	assert_false(vu_attrs_at(f.t->attrs, inode_of(&f, 0, "x")->attr)->has_xattrs);
	done_farm(&f);
}

static void sparse(void **state)
{
	struct farm f;

	(void)state;
	setup_farm(&f);
	for (int i = 0; i < 2; i++) {
		int fd = openat(f.top_fd, i ? "b/x" : "a/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		assert_int_equal(ftruncate(fd, (off_t)1 << 41), 0);
		close(fd);
	}
	walk(&f);
	alarm(300);
	read_all(&f);
	alarm(0);
	assert_int_equal(inode_of(&f, 0, "x")->skip, VU_SKIP_LIMIT);
	done_farm(&f);
}

/* Pages of the file that are in the page cache. */
static size_t resident(const struct farm *f, const char *path, size_t size)
{
	int fd = openat(f->top_fd, path, O_RDONLY | O_CLOEXEC);
	void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	size_t pages = (size + 4095) / 4096, n = 0;
	_cleanup_free_ unsigned char *v = malloc(pages);

	assert_true(p != MAP_FAILED);
	assert_int_equal(mincore(p, size, v), 0);
	for (size_t i = 0; i < pages; i++)
		n += v[i] & 1;
	munmap(p, size);
	close(fd);
	return n;
}

static void page_cache_stays(void **state)
{
	static const char *const names[] = {"a/cold", "b/cold", "a/small", "b/small", "a/warm"};
	struct farm f;

	(void)state;
	setup_farm(&f);
	for (size_t i = 0; i < 5; i++) {
		size_t size = strstr(names[i], "small") ? 40000 : 1000000;

		put(&f, names[i], size, 1, SIZE_MAX);
		int fd = openat(f.top_fd, names[i], O_RDONLY | O_CLOEXEC);

		fsync(fd);
		if (!strstr(names[i], "warm"))
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
	if (resident(&f, "a/cold", 1000000)) {
		done_farm(&f);
		skip();
	}
	walk(&f);
	read_all(&f);
	assert_int_equal(f.s.n_read, 5);
	assert_int_equal(resident(&f, "a/cold", 1000000), 0);
	assert_int_equal(resident(&f, "b/cold", 1000000), 0);
	assert_int_equal(resident(&f, "a/small", 40000), 0);
	assert_int_equal(resident(&f, "a/warm", 1000000), 245);
	done_farm(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_and_different),
		cmocka_unit_test(digest),
		cmocka_unit_test(many_small),
		cmocka_unit_test(many_large),
		cmocka_unit_test(in_use),
		cmocka_unit_test(changed_object),
		cmocka_unit_test(attributes),
		cmocka_unit_test(sparse),
		cmocka_unit_test(page_cache_stays),
	};

	signal(SIGIO, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

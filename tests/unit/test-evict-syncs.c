/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is on the disk before what: each sync that lib/link waits for, by its effect. Calls are made as
 * ever, and looked at: whatever was born or written after the last syncfs(2) is not on the disk. So
 *
 *   - when a name is exchanged, the journal and the line for that name are, and the inode that is to come
 *     to the path is
 *   - when an inode gets the immutable flag, by which recovery believes it, its content is
 *   - when somebody has slipped in and that is dealt with, the note of it is, and the copy
 *
 * What a power cut makes of a missing one is for tests/crash/power*; not each instant of each step is met
 * there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "evict-trap.h"
#include "fs/iattr.h"

#define TICK_US 20000 /* more than what the clock of the file systems' times goes on by */

static struct farm *watched; /* NULL: nobody looks */
static uint64_t synced_ns;   /* what is younger than this may not be on the disk */
static unsigned early;	     /* how often something was done too early */
static unsigned exchanges, flags_set;
static void (*before_exchange)(void); /* done once, before the next one */
static unsigned full;		      /* so many more names can an object not have */

/* ---- what is on the disk ---- */

static uint64_t ns_of(int64_t s, uint32_t ns)
{
	return (uint64_t)s * UINT64_C(1000000000) + ns;
}

/* When it was made; and written to, where that is not set by those who make it. */
static uint64_t youngest(int dir, const char *name, bool written)
{
	struct statx st;
	int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);

	if (statx(dir, name, flags, STATX_BTIME | STATX_MTIME, &st))
		return 0;
	uint64_t born = ns_of(st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
	uint64_t changed = ns_of(st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec);

	return written && changed > born ? changed : born;
}

static void too_early(const char *what, const char *name)
{
	print_message("%s %s was not on the disk yet\n", what, name);
	early++;
}

/* A line for a temporary name. That the journals are on the disk is looked at besides. */
static bool journal_has(const char *tmp)
{
	char part[64];
	int fd = openat(vu_pool_fd(watched->pool), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	const struct dirent *e;
	bool has = false;

	snprintf(part, sizeof(part), "/%s ", tmp);
	while ((e = readdir(d))) {
		char path[512];

		if (strncmp(e->d_name, "journal", strlen("journal")))
			continue;
		if (youngest(fd, e->d_name, true) > synced_ns)
			too_early("the journal", e->d_name);
		snprintf(path, sizeof(path), "%s/.vunify/%s", watched->fs->mnt, e->d_name);
		char *text = get_text(path);

		has = has || (text && strstr(text, part));
		free(text);
	}
	closedir(d);
	return has;
}

static bool slipped_is_on_disk(void)
{
	char path[SCRATCH_MAX + 32];
	unsigned n = 0, before = early;
	const struct dirent *e;

	snprintf(path, sizeof(path), "%s/.vunify/slipped", watched->fs->mnt);
	DIR *d = opendir(path);

	assert_non_null(d);
	while ((e = readdir(d))) {
		if (*e->d_name == '.')
			continue;
		n++;
		if (youngest(dirfd(d), e->d_name, !strstr(e->d_name, ".copy")) > synced_ns)
			too_early("of a slip", e->d_name);
	}
	closedir(d);
	assert_int_equal(n, 2); /* the note and the copy */
	return early == before;
}

/* ---- the calls ---- */

int __real_syncfs(int fd);
int __wrap_syncfs(int fd);

int __wrap_syncfs(int fd)
{
	struct timespec t;
	int r = __real_syncfs(fd);

	if (!r && watched) {
		clock_gettime(CLOCK_REALTIME, &t);
		synced_ns = ns_of(t.tv_sec, (uint32_t)t.tv_nsec);
		usleep(TICK_US);
	}
	return r;
}

int __real_renameat2(int dir_a, const char *a, int dir_b, const char *b, unsigned flags);
int __wrap_renameat2(int dir_a, const char *a, int dir_b, const char *b, unsigned flags);

int __wrap_renameat2(int dir_a, const char *a, int dir_b, const char *b, unsigned flags)
{
	void (*act)(void) = before_exchange;

	if (watched && flags == RENAME_EXCHANGE) {
		before_exchange = NULL;
		if (act)
			act();
		exchanges++;
		if (!journal_has(a))
			too_early("the line for", a);
		if (youngest(dir_a, a, false) > synced_ns)
			too_early("the inode of", a);
	}
	return __real_renameat2(dir_a, a, dir_b, b, flags);
}

int __real_vu_iattr_set_immutable(int fd, bool on);
int __wrap_vu_iattr_set_immutable(int fd, bool on);

int __wrap_vu_iattr_set_immutable(int fd, bool on)
{
	if (watched && on) {
		flags_set++;
		if (youngest(fd, "", false) > synced_ns)
			too_early("an inode that gets", "its flag");
	}
	return __real_vu_iattr_set_immutable(fd, on);
}

int __real_linkat(int dir_a, const char *a, int dir_b, const char *b, int flags);
int __wrap_linkat(int dir_a, const char *a, int dir_b, const char *b, int flags);

int __wrap_linkat(int dir_a, const char *a, int dir_b, const char *b, int flags)
{
	if (full && !strncmp(b, "t-", 2)) {
		full--;
		errno = EMLINK;
		return -1;
	}
	return __real_linkat(dir_a, a, dir_b, b, flags);
}

/* From now on; nothing that is there already counts as synced. */
static void watch(struct farm *f)
{
	usleep(TICK_US);
	watched = f;
	synced_ns = 0;
	early = exchanges = flags_set = full = 0;
	before_exchange = NULL;
}

static void was_in_order(void)
{
	watched = NULL;
	assert_int_equal(early, 0);
}

static int stop_watching(void **state)
{
	watched = NULL;
	return clean_up_all(state);
}

/* ---- linker and breaker ---- */

static void links(struct farm *f)
{
	populate(f, 3);
	farm_scan(f);
	watch(f);
	assert_int_equal(farm_link(f), 0);
	assert_true(exchanges >= 12 && flags_set >= 6);
	was_in_order();
}

/* The object can have no more names: a target of it becomes one, and others follow that. */
static void links_to_a_next_generation(struct farm *f)
{
	begin(f);
	for (unsigned g = 1; g < GUESTS; g++)
		make_private(f, g);
	farm_scan(f);
	assert_int_equal(f->plan.n_targets, 3);
	watch(f);
	full = 1;
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(f->stats.objects_new, 1);
	assert_true(exchanges >= 4);
	was_in_order();
}

static void unmerges(struct farm *f)
{
	struct vu_breaker_stats b;

	begin(f);
	watch(f);
	assert_int_equal(farm_unmerge(f, &b), 0);
	assert_true(exchanges >= 3 * 6);
	was_in_order();
}

/* The names in there stay names of their objects. */
static void move_a_directory(void)
{
	char p[256], q[256];

	guest_path(watched, 1, "usr/lib", p);
	guest_path(watched, 1, "usr/moved", q);
	assert_int_equal(rename(p, q), 0);
}

/* The last guest was to keep the inode, and cannot: it gets a copy that nobody had thought of before. */
static void unmerges_with_a_late_copy(struct farm *f)
{
	struct vu_breaker_stats b;

	begin(f);
	watch(f);
	before_exchange = move_a_directory;
	assert_int_equal(farm_unmerge(f, &b), 0);
	was_in_order();
	assert_int_equal(b.given, 0);
	assert_true(immutable(f, 1, "usr/moved/f1"));
	assert_false(immutable(f, 3, "usr/lib/f1"));
}

/* ---- slips ---- */

/* Guest 1 slips into f0 while guest 3 gets a name of it. */
static uint64_t slip(struct farm *f, struct writer *w)
{
	uint64_t ino = begin(f);

	make_private(f, 3);
	f->watch = watch_of(f);
	farm_scan(f);
	set_trap(f, ino, 3, w, "o");
	watch(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(trap.ino, 0);
	assert_int_equal(f->stats.slips, 1);
	return ino;
}

static void notes_a_slip(struct farm *f)
{
	slip(f, start_writer(f, 1));
	assert_true(slipped_is_on_disk());
	was_in_order();
}

static void evicts(struct farm *f)
{
	struct vu_evict_stats st;

	slip(f, start_writer(f, 1));
	watch(f);
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_true(exchanges >= 6);
	was_in_order();
}

/* No copy was put aside in time; the content is there still, and is put aside now. */
static void evicts_with_a_late_copy(struct farm *f)
{
	struct vu_evict_stats st;
	uint64_t ino = slip(f, start_writer(f, 1));

	assert_int_equal(sh("rm %s/.vunify/slipped/*.copy", f->fs->mnt), 0);
	watch(f);
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_true(exchanges >= 6);
	was_in_order();
	have_moved(f, ino, 0xd);
}

/* ---- recovery ---- */

/* An eviction that was killed before it had synced the copy, which has a name as an object already. */
static void recovers_a_fresh_object(struct farm *f)
{
	uint64_t ino = slip(f, start_writer(f, 1));
	struct vu_evict_stats st;

	assert_int_equal(
		sh("cd %s/.vunify && o=$(basename slipped/*.copy .copy) && k=${o%%-*} && "
		   "d=$(dirname $(find objects -name \"$o\")) && cp -p --preserve=all "
		   "slipped/$o.copy new && mv new slipped/$o.copy && ln slipped/$o.copy $d/$k-1",
		   f->fs->mnt),
		0);
	watch(f);
	assert_int_equal(farm_recover(f, false).reflagged, 1);
	was_in_order();
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	have_moved(f, ino, 0xd);
}

#define WATCHED(fn) ((struct CMUnitTest){#fn "_xfs", run_on_xfs, NULL, stop_watching, (void *)(fn)})

int main(void)
{
	const struct CMUnitTest tests[] = {
		WATCHED(links),
		WATCHED(links_to_a_next_generation),
		WATCHED(unmerges),
		WATCHED(unmerges_with_a_late_copy),
		WATCHED(notes_a_slip),
		WATCHED(evicts),
		WATCHED(evicts_with_a_late_copy),
		WATCHED(recovers_a_fresh_object),
	};

	signal(SIGIO, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

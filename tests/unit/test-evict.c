/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slips, and what becomes of them. In real life one opener in thousands of moments slips in; here a
 * moment is opened by the test, which gives the lease away inside of it: whoever opens the object for
 * writing then gets it. The openers are processes in chroots of the guests.
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
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/lease.h"
#include "guest/openers.h"
#include "link-farm.h"
#include "link/evict.h"
#include "link/moment.h"

#define F0 "usr/lib/f0"
#define TWIN "usr/twin" /* another name of it in the same guest */
#define CONTENT "content of 0, longer than inline\n"
#define BYTES "WRITTEN" /* by whoever slips in, to the beginning */
#define CHANGED "WRITTEN of 0, longer than inline\n"

/* ---- processes in guests ---- */

struct writer {
	pid_t pid;
	int in, out;
};

static struct writer writers[4];
static unsigned n_writers;

/* Does what it is told: open, write, close; answers with 1 or 0. */
static void be_writer(int in, int out)
{
	int fd = -1;
	char c;

	while (read(in, &c, 1) == 1) {
		bool ok = true;

		if (c == 'o')
			ok = (fd = open("/" F0, O_RDWR | O_CLOEXEC)) >= 0;
		else if (c == 'w')
			ok = pwrite(fd, BYTES, strlen(BYTES), 0) == (ssize_t)strlen(BYTES);
		else if (c == 'c')
			ok = !close(fd);
		c = ok;
		if (write(out, &c, 1) != 1)
			break;
	}
	_exit(0);
}

static struct writer *start_writer(const struct farm *f, unsigned guest)
{
	struct writer *w = &writers[n_writers];
	int to[2], from[2];

	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	w->pid = fork();
	if (!w->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned i = 0; i < n_writers; i++)
			close(writers[i].in);
		if (chroot(f->guests.v[guest].path) || chdir("/"))
			_exit(1);
		be_writer(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	w->in = to[1];
	w->out = from[0];
	n_writers++;
	return w;
}

static void tell(struct writer *w, char c)
{
	assert_int_equal(write(w->in, &c, 1), 1);
}

static bool answer(struct writer *w)
{
	struct pollfd p = {.fd = w->out, .events = POLLIN};
	char c = 0;

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(read(w->out, &c, 1), 1);
	return c;
}

static bool ask(struct writer *w, char c)
{
	tell(w, c);
	return answer(w);
}

static int clean_up_all(void **state)
{
	for (; n_writers; n_writers--) {
		kill(writers[n_writers - 1].pid, SIGKILL);
		waitpid(writers[n_writers - 1].pid, NULL, 0);
		close(writers[n_writers - 1].in);
		close(writers[n_writers - 1].out);
	}
	return clean_up(state);
}

/* ---- the watch, as ops gives it ---- */

static int who(void *arg, uint64_t dev, uint64_t ino, const struct vu_waiters *waited,
	       struct vu_slip_seen *ret, size_t cap)
{
	const struct farm *f = arg;
	struct vu_procs_root roots[GUESTS];
	const char *paths[GUESTS];
	struct vu_openers_found found[GUESTS + 1];
	int n = 0;

	for (unsigned g = 0; g < f->n; g++) {
		roots[g] = (struct vu_procs_root){f->guests.v[g].dev, f->guests.v[g].ino};
		paths[g] = f->guests.v[g].path;
	}
	assert_int_equal(vu_openers_find(roots, paths, f->n, dev, ino, waited->v, waited->n, found),
			 0);
	for (unsigned g = 0; g <= f->n && (size_t)n < cap; g++)
		if (found[g].holds || found[g].waited)
			ret[n++] = (struct vu_slip_seen){
				.root_ino = g < f->n ? roots[g].ino : 0,
				.holds = found[g].holds,
				.waited = found[g].waited,
			};
	return n;
}

static const struct vu_sink sink = {on_event, &seen};

/* ---- a moment into which somebody slips ---- */

struct slip {
	struct farm *f;
	struct vu_slip_watch watch;
	struct vu_moment_env env;
	struct vu_object *o;
	uint64_t ino;
	int twin;
};

static int is_f0(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct slip *s = arg;

	if (ino != s->ino)
		return 0;
	return vu_object_open(s->f->pool, key, true, 65536, &s->o, NULL) ? -1 : 1;
}

/* Links, and opens a moment of f0 without a lease. */
static void slip_begin(struct slip *s, struct farm *f)
{
	char p[256];

	*s = (struct slip){.f = f, .watch = {.who = who, .arg = f}, .twin = -EBADF};
	populate(f, 5);
	guest_path(f, 0, F0, p);
	assert_int_equal(sh("cp -p %s %s/spare", p, f->fs->mnt), 0);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	manifest(f, "a", true);
	memset(&seen, 0, sizeof(seen));
	seen.quiet = true;
	vu_moment_env_init(&s->env, &sink, 65536);
	s->env.watch = &s->watch;
	s->ino = stat_of(f, 0, F0).st_ino;
	assert_int_equal(vu_pool_list(f->pool, is_f0, s), 1);
	assert_int_equal(vu_moment_begin(&s->env, s->o), 0);
	vu_lease_drop(s->o->fd);
}

/* A private file of equal content is at hand, as the target that was exchanged is. */
static void slip_twin(struct slip *s)
{
	char p[300];

	snprintf(p, sizeof(p), "%s/spare", s->f->fs->mnt);
	s->twin = open(p, O_RDONLY | O_CLOEXEC);
	assert_true(s->twin >= 0);
}

static void slip_end(struct slip *s)
{
	assert_int_equal(vu_moment_end(&s->env, s->o, s->twin), 0);
	if (s->twin >= 0)
		close(s->twin);
	s->o = vu_object_unref(&s->env, s->o);
	assert_int_equal(s->env.stats.slips, 1);
	vu_moment_env_done(&s->env);
}

static struct vu_breaker_env evict_env(const struct slip *s, struct vu_pool **pools)
{
	return (struct vu_breaker_env){
		.guests = &s->f->guests,
		.root_fds = s->f->roots,
		.pools = pools,
		.n_pools = 1,
		.max_xattr_bytes = 65536,
		.sink = &sink,
		.watch = &s->watch,
	};
}

/* ready: a byte is written to it when everything is found, and evicting begins; or -1. */
static void evict_from(struct slip *s, struct vu_evict_stats *ret, int ready)
{
	struct vu_pool *pools[1] = {s->f->pool};
	struct vu_breaker_env env = evict_env(s, pools);
	struct vu_evict *v = NULL;
	size_t n;

	*ret = (struct vu_evict_stats){0};
	memset(seen.n, 0, sizeof(seen.n));
	assert_int_equal(vu_evict_look(&env, 0, &v, &n, ret), 0);
	for (size_t i = 0; i < n; i++) {
		struct break_list l = {.f = s->f};

		assert_int_equal(break_object(&l, v[i].ino, &v[i].key), 0);
		v[i].items = l.v;
		v[i].n_items = l.n;
		if (ready >= 0)
			assert_int_equal(write(ready, "r", 1), 1);
		assert_int_equal(vu_evict_run(&env, &v[i], ret), 0);
		break_list_done(&l);
	}
	free(v);
}

static void evict(struct slip *s, struct vu_evict_stats *ret)
{
	evict_from(s, ret, -1);
}

/* ---- what must hold ---- */

static void has_text(const struct farm *f, unsigned g, const char *rel, const char *want)
{
	char p[256];

	guest_path(f, g, rel, p);
	char *text = get_text(p);

	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
}

/* This guest has the old inode for itself, with both names. */
static void has_kept(const struct slip *s, unsigned g, const char *want)
{
	has_text(s->f, g, F0, want);
	assert_int_equal(stat_of(s->f, g, F0).st_ino, s->ino);
	assert_int_equal(stat_of(s->f, g, TWIN).st_ino, s->ino);
	assert_int_equal(stat_of(s->f, g, F0).st_nlink, 2);
	assert_false(immutable(s->f, g, F0));
}

/* These guests (a mask) share another object, with the content as it was. */
static void have_moved(const struct slip *s, unsigned mask)
{
	uint64_t ino = 0;
	unsigned n = 0;

	for (unsigned g = 0; g < s->f->n; g++) {
		if (!(mask & 1U << g))
			continue;
		has_text(s->f, g, F0, CONTENT);
		if (!n++)
			ino = stat_of(s->f, g, F0).st_ino;
		assert_int_equal(stat_of(s->f, g, F0).st_ino, ino);
		assert_int_equal(stat_of(s->f, g, TWIN).st_ino, ino);
		assert_int_equal(stat_of(s->f, g, F0).st_mtim.tv_sec, MTIME);
		assert_int_equal(stat_of(s->f, g, F0).st_mtim.tv_nsec, 123456789);
		assert_true(immutable(s->f, g, F0));
		assert_int_equal(stat_of(s->f, g, F0).st_nlink, 2 * __builtin_popcount(mask) + 1);
	}
	assert_true(ino != s->ino);
	assert_int_equal(n_objects(s->f), 5);
	stage_is_empty(s->f);
}

static bool is_rescued(const struct slip *s)
{
	return !sh("grep -q " BYTES " %s/.vunify/rescued/* 2>/dev/null", s->f->fs->mnt);
}

/* Everything as before in the guests that did nothing. */
static void others_unchanged(const struct slip *s, const char *which)
{
	manifest(s->f, "b", true);
	assert_int_equal(sh("cd %s && grep '%s' a >a1; grep '%s' b >b1; diff a1 b1", s->f->fs->dir,
			    which, which),
			 0);
}

/* And all of it can be linked and unmerged as ever. */
static void goes_on(const struct slip *s)
{
	struct vu_breaker_stats b;

	for (; n_writers; n_writers--) {
		kill(writers[n_writers - 1].pid, SIGKILL);
		waitpid(writers[n_writers - 1].pid, NULL, 0);
	}
	assert_int_equal(farm_recover(s->f, false).damaged, 0);
	farm_scan(s->f);
	assert_int_equal(farm_link(s->f), 0);
	assert_int_equal(farm_unmerge(s->f, &b), 0);
	assert_int_equal(b.failed, 0);
	assert_int_equal(n_objects(s->f), 0);
	assert_int_equal(seen.n[VU_EVENT_WARN] + seen.n[VU_EVENT_DAMAGE], 0);
}

/* ---- the tests ---- */

/* Written after the slip was detected, and again after the eviction. */
static void writes_afterwards(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	struct slip s;

	slip_begin(&s, f);
	assert_true(ask(w, 'o'));
	slip_end(&s);
	assert_int_equal(vu_pool_needs_recovery(f->pool), 1);
	assert_true(ask(w, 'w'));
	evict(&s, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(st.names, 6);
	has_kept(&s, 1, CHANGED);
	have_moved(&s, 0xd);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	assert_int_equal(seen.n[VU_EVENT_UNIFY], 6);
	assert_int_equal(seen.n[VU_EVENT_BREAK], 2);
	others_unchanged(&s, "g[023]/");
	assert_true(ask(w, 'w'));
	assert_true(ask(w, 'c'));
	assert_true(ask(w, 'o')); /* it is its own file now */
	has_kept(&s, 1, CHANGED);
	have_moved(&s, 0xd);
	assert_false(is_rescued(&s));
	goes_on(&s);
}

/* Written inside the moment: only the twin has the content. */
static void writes_before(struct farm *f)
{
	struct writer *w = start_writer(f, 2);
	struct vu_evict_stats st;
	struct slip s;

	slip_begin(&s, f);
	slip_twin(&s);
	assert_true(ask(w, 'o'));
	assert_true(ask(w, 'w'));
	slip_end(&s);
	evict(&s, &st);
	assert_int_equal(st.evicted, 1);
	has_kept(&s, 2, CHANGED);
	have_moved(&s, 0xb);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	others_unchanged(&s, "g[013]/");
	goes_on(&s);
}

/* Nothing has the content any more: nothing is moved, and each guest is told. */
static void content_is_gone(struct farm *f)
{
	struct writer *w = start_writer(f, 2);
	struct vu_breaker_stats b;
	struct vu_evict_stats st;
	struct slip s;

	slip_begin(&s, f);
	assert_true(ask(w, 'o'));
	assert_true(ask(w, 'w'));
	slip_end(&s);
	for (int i = 0; i < 2; i++) { /* and again by each run */
		evict(&s, &st);
		assert_int_equal(st.evicted, 0);
		assert_int_equal(st.left, 1);
		assert_int_equal(seen.n[VU_EVENT_DAMAGE], 4);
		for (unsigned g = 0; g < 4; g++)
			assert_int_equal(stat_of(f, g, F0).st_ino, s.ino);
		assert_true(immutable(f, 0, F0));
		assert_int_equal(n_objects(f), 5);
	}
	/* the way out: private copies, and then the note is settled */
	assert_true(ask(w, 'c'));
	assert_int_equal(farm_unmerge(f, &b), 0);
	assert_int_equal(b.failed, 0);
	has_text(f, 2, F0, CHANGED);
	evict(&s, &st);
	assert_int_equal(st.left, 0);
	assert_int_equal(n_objects(f), 0);
	stage_is_empty(f);
}

/* Two guests have it: neither may see what the other writes, and no write is lost. */
static void two_guests(struct farm *f)
{
	struct writer *w = start_writer(f, 1), *x = start_writer(f, 2);
	struct vu_evict_stats st;
	struct slip s;

	slip_begin(&s, f);
	assert_true(ask(w, 'o'));
	assert_true(ask(x, 'o'));
	slip_end(&s);
	evict(&s, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 1);
	have_moved(&s, 0xf);
	assert_true(ask(w, 'w'));
	have_moved(&s, 0xf);
	assert_true(is_rescued(&s));
	others_unchanged(&s, "g[0123]/");
	goes_on(&s);
}

/* Written and closed again, by nobody knows whom. */
static void comes_and_goes(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	struct slip s;

	slip_begin(&s, f);
	slip_twin(&s);
	assert_true(ask(w, 'o') && ask(w, 'w') && ask(w, 'c'));
	slip_end(&s);
	evict(&s, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 1);
	have_moved(&s, 0xf);
	assert_true(is_rescued(&s));
	goes_on(&s);
}

/* The same, but somebody of its guest is waiting when the moment ends. */
static void comes_and_goes_and_waits(struct farm *f)
{
	struct writer *w = start_writer(f, 1), *x = start_writer(f, 1);
	struct vu_evict_stats st;
	struct slip s;

	slip_begin(&s, f);
	slip_twin(&s);
	assert_true(ask(w, 'o') && ask(w, 'w') && ask(w, 'c'));
	assert_int_equal(vu_lease_take(s.o->fd), 0);
	tell(x, 'o');
	while (vu_lease_quiet(s.o->fd))
		usleep(1000);
	slip_end(&s);
	assert_false(answer(x)); /* it met the flag */
	evict(&s, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	has_kept(&s, 1, CHANGED);
	have_moved(&s, 0xd);
	goes_on(&s);
}

/* An admin at work in a guest's tree. */
static void process_of_the_host(struct farm *f)
{
	struct vu_evict_stats st;
	struct slip s;
	char p[256];

	slip_begin(&s, f);
	guest_path(f, 3, TWIN, p);
	int fd = open(p, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	slip_end(&s);
	evict(&s, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	assert_int_equal(pwrite(fd, BYTES, strlen(BYTES), 0), (ssize_t)strlen(BYTES));
	close(fd);
	has_kept(&s, 3, CHANGED);
	have_moved(&s, 0x7);
	goes_on(&s);
}

/* Opened and closed without a write: it stays an object. */
static void nothing_happens(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	struct slip s;

	slip_begin(&s, f);
	assert_true(ask(w, 'o'));
	slip_end(&s);
	assert_true(ask(w, 'c'));
	evict(&s, &st);
	assert_int_equal(st.unharmed, 1);
	assert_int_equal(st.evicted, 0);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	for (unsigned g = 0; g < 4; g++)
		assert_int_equal(stat_of(f, g, F0).st_ino, s.ino);
	assert_true(immutable(f, 0, F0));
	stage_is_empty(f);
	assert_false(ask(w, 'o'));
	goes_on(&s);
}

/* Between the walk and the eviction a guest puts another file to the path: that stays. */
static void replaced_meanwhile(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	struct break_list l = {.f = f};
	struct slip s;
	char p[256];

	slip_begin(&s, f);
	assert_true(ask(w, 'o'));
	slip_end(&s);
	struct vu_pool *pools[1] = {f->pool};
	struct vu_breaker_env env = evict_env(&s, pools);
	struct vu_evict *v = NULL;
	size_t n;

	st = (struct vu_evict_stats){0};
	assert_int_equal(vu_evict_look(&env, 0, &v, &n, &st), 0);
	assert_int_equal(n, 1);
	assert_int_equal(break_object(&l, v->ino, &v->key), 0);
	v->items = l.v;
	v->n_items = l.n;
	guest_path(f, 2, F0, p);
	assert_int_equal(
		sh("chattr -i %s && echo own >%s/new && mv %s/new %s && chattr +i %s/g2/%s", p,
		   f->fs->mnt, f->fs->mnt, p, f->fs->mnt, TWIN),
		0);
	assert_int_equal(vu_evict_run(&env, v, &st), 0);
	break_list_done(&l);
	free(v);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(st.names, 5);
	has_text(f, 2, F0, "own\n");
	has_text(f, 2, TWIN, CONTENT);
	has_kept(&s, 1, CONTENT);
	stage_is_empty(f);
	goes_on(&s);
}

/* Starts an eviction and kills it some time later. Has it ended before? */
static bool evict_and_kill(struct slip *s, unsigned after_us)
{
	struct vu_evict_stats st;
	int ready[2], status;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork();

	if (!pid) {
		evict_from(s, &st, ready[1]);
		_exit(0);
	}
	close(ready[1]);
	assert_true(read(ready[0], &c, 1) >= 0); /* 0: there was nothing left to evict */
	close(ready[0]);
	usleep(after_us);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status);
}

/* Killed at any time: each name is the old inode or the new one, and it is brought to an end. */
static void killed(struct farm *f)
{
	unsigned n = getenv("VU_KILLS") ? (unsigned)atoi(getenv("VU_KILLS")) : 25, i = 0;
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	struct slip s;
	bool ended = false;

	slip_begin(&s, f);
	assert_true(ask(w, 'o'));
	slip_end(&s);
	assert_true(ask(w, 'w'));
	for (; i < n && !ended; i++) {
		ended = evict_and_kill(&s, i * 1500 % 30000);
		farm_recover(f, false);
		assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
		has_text(f, 1, F0, CHANGED);
		for (unsigned g = 0; g < 4; g++) {
			uint64_t ino = stat_of(f, g, F0).st_ino;

			has_text(f, g, F0, ino == s.ino ? CHANGED : CONTENT);
			has_text(f, g, TWIN,
				 stat_of(f, g, TWIN).st_ino == s.ino ? CHANGED : CONTENT);
			assert_true(immutable(f, g, F0) || g == 1);
		}
	}
	print_message("killed %u times\n", i - ended);
	evict(&s, &st);
	has_kept(&s, 1, CHANGED);
	have_moved(&s, 0xd);
	others_unchanged(&s, "g[023]/.*f");
	goes_on(&s);
}

/* On ext4 the flag also stops who has it open: nothing has to be evicted. */
static void ext4_refuses(void **state)
{
	struct farm *f = &now;
	struct writer *w;
	struct slip s;

	(void)state;
	if (!fs_make(&now_fs, "ext4"))
		skip();
	farm_open(f, &now_fs, GUESTS);
	w = start_writer(f, 1);
	slip_begin(&s, f);
	assert_true(ask(w, 'o'));
	slip_end(&s);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	assert_false(ask(w, 'w'));
	stage_is_empty(f);
	others_unchanged(&s, "g[0123]/");
	goes_on(&s);
}

#define ON_BOTH(name)                                                                              \
	static void name##_xfs(void **state)                                                       \
	{                                                                                          \
		(void)state;                                                                       \
		run_on("xfs", name);                                                               \
	}                                                                                          \
	static void name##_btrfs(void **state)                                                     \
	{                                                                                          \
		(void)state;                                                                       \
		run_on("btrfs", name);                                                             \
	}
#define TESTS_BOTH(name)                                                                           \
	cmocka_unit_test_teardown(name##_xfs, clean_up_all),                                       \
		cmocka_unit_test_teardown(name##_btrfs, clean_up_all)

ON_BOTH(writes_afterwards)
ON_BOTH(writes_before)
ON_BOTH(content_is_gone)
ON_BOTH(two_guests)
ON_BOTH(comes_and_goes)
ON_BOTH(comes_and_goes_and_waits)
ON_BOTH(process_of_the_host)
ON_BOTH(nothing_happens)
ON_BOTH(replaced_meanwhile)
ON_BOTH(killed)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS_BOTH(writes_afterwards),
		TESTS_BOTH(writes_before),
		TESTS_BOTH(content_is_gone),
		TESTS_BOTH(two_guests),
		TESTS_BOTH(comes_and_goes),
		TESTS_BOTH(comes_and_goes_and_waits),
		TESTS_BOTH(process_of_the_host),
		TESTS_BOTH(nothing_happens),
		TESTS_BOTH(replaced_meanwhile),
		TESTS_BOTH(killed),
		cmocka_unit_test_teardown(ext4_refuses, clean_up_all),
	};

	signal(SIGIO, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

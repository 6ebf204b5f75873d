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
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "evict-farm.h"
#include "fs/lease.h"
#include "link/moment.h"

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

	*s = (struct slip){.f = f, .watch = watch_of(f), .twin = -EBADF};
	populate(f, 5);
	guest_path(f, 0, F0, p);
	assert_int_equal(sh("cp -p %s %s/spare", p, f->fs->mnt), 0);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	manifest(f, "a", true);
	memset(&seen, 0, sizeof(seen));
	seen.quiet = true;
	vu_moment_env_init(&s->env, &evict_sink, 65536);
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
	assert_int_equal(vu_recover_is_needed(f->pool), 1);
	assert_true(ask(w, 'w'));
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(st.names, 6);
	has_kept(f, s.ino, 1, CHANGED);
	have_moved(f, s.ino, 0xd);
	assert_int_equal(n_objects(f), 5);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	assert_int_equal(seen.n[VU_EVENT_UNIFY], 6);
	assert_int_equal(seen.n[VU_EVENT_BREAK], 2);
	others_unchanged(f, "g[023]/");
	assert_true(ask(w, 'w'));
	assert_true(ask(w, 'c'));
	assert_true(ask(w, 'o')); /* it is its own file now */
	has_kept(f, s.ino, 1, CHANGED);
	have_moved(f, s.ino, 0xd);
	assert_false(is_rescued(f));
	goes_on(f);
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
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	has_kept(f, s.ino, 2, CHANGED);
	have_moved(f, s.ino, 0xb);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	others_unchanged(f, "g[013]/");
	goes_on(f);
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
		evict(f, &st);
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
	evict(f, &st);
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
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 1);
	have_moved(f, s.ino, 0xf);
	assert_int_equal(n_objects(f), 5);
	assert_true(ask(w, 'w'));
	have_moved(f, s.ino, 0xf);
	assert_true(is_rescued(f));
	others_unchanged(f, "g[0123]/");
	goes_on(f);
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
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 1);
	have_moved(f, s.ino, 0xf);
	assert_true(is_rescued(f));
	goes_on(f);
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
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	has_kept(f, s.ino, 1, CHANGED);
	have_moved(f, s.ino, 0xd);
	goes_on(f);
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
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	assert_int_equal(pwrite(fd, BYTES, strlen(BYTES), 0), (ssize_t)strlen(BYTES));
	close(fd);
	has_kept(f, s.ino, 3, CHANGED);
	have_moved(f, s.ino, 0x7);
	goes_on(f);
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
	evict(f, &st);
	assert_int_equal(st.unharmed, 1);
	assert_int_equal(st.evicted, 0);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	for (unsigned g = 0; g < 4; g++)
		assert_int_equal(stat_of(f, g, F0).st_ino, s.ino);
	assert_true(immutable(f, 0, F0));
	stage_is_empty(f);
	assert_false(ask(w, 'o'));
	goes_on(f);
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
	struct vu_breaker_env env = evict_env(f, &s.watch, pools);
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
	has_kept(f, s.ino, 1, CONTENT);
	stage_is_empty(f);
	goes_on(f);
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
		evict_from(s->f, &st, ready[1]);
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

/* Written to, and then removed by everybody: what was written is kept all the same. */
static void nobody_has_it(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	struct slip s;

	slip_begin(&s, f);
	assert_true(ask(w, 'o') && ask(w, 'w') && ask(w, 'c'));
	slip_end(&s);
	assert_int_equal(sh("cd %s && chattr -i g0/" F0 " && rm -f g?/" F0 " g?/" TWIN
			    " && chattr +i .vunify/objects/*/$(ls .vunify/slipped)",
			    f->fs->mnt),
			 0);
	assert_int_equal(farm_recover(f, false).names_removed, 0);
	evict(f, &st);
	assert_int_equal(st.left, 0);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 1);
	assert_true(is_rescued(f));
	assert_int_equal(n_objects(f), 4);
	stage_is_empty(f);
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
	evict(f, &st);
	has_kept(f, s.ino, 1, CHANGED);
	have_moved(f, s.ino, 0xd);
	others_unchanged(f, "g[023]/.*f");
	goes_on(f);
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
	others_unchanged(f, "g[0123]/");
	goes_on(f);
}

ON_BOTH(writes_afterwards)
ON_BOTH(writes_before)
ON_BOTH(content_is_gone)
ON_BOTH(two_guests)
ON_BOTH(comes_and_goes)
ON_BOTH(comes_and_goes_and_waits)
ON_BOTH(process_of_the_host)
ON_BOTH(nothing_happens)
ON_BOTH(replaced_meanwhile)
ON_BOTH(nobody_has_it)
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
		TESTS_BOTH(nobody_has_it),
		TESTS_BOTH(killed),
		cmocka_unit_test_teardown(ext4_refuses, clean_up_all),
	};

	signal(SIGIO, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

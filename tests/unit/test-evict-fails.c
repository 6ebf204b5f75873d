/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call fails while a guest acts: one after the other, each call that changes something, or looks at what
 * came out of it. tests/crash/fail-*.bats does that where nobody interferes; here are the branches that
 * only a guest leads to: what came out of an exchange is put back, a file is rescued, an object evicted,
 * and what a killed run left is settled.
 *
 * Whatever fails: once nothing fails any more and recovery has been, what a guest has put to a path is
 * there, not only in .vunify/rescued; every other path has what it had; and nothing is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call-fails.h"
#include "evict-trap.h"
#include "link/parking.h"

#define F1 "usr/lib/f1"
#define NEWER "what the guest has put there\n"
#define OF_F1 "content of 1, longer than inline\n"

/* ---- what holds ---- */

static bool is_text(const struct farm *f, unsigned g, const char *rel, const char *want)
{
	char p[256];

	guest_path(f, g, rel, p);
	char *text = get_text(p);
	bool is = text && !strcmp(text, want);

	free(text);
	return is;
}

static unsigned n_rescued(const struct farm *f)
{
	char cmd[SCRATCH_PATH_MAX];
	unsigned n = 0;

	snprintf(cmd, sizeof(cmd), "find %s/.vunify/rescued -type f 2>/dev/null | wc -l",
		 f->fs->mnt);
	FILE *p = popen(cmd, "re");

	assert_int_equal(fscanf(p, "%u", &n), 1);
	pclose(p);
	return n;
}

static bool is_in_rescued(const struct farm *f, const char *text)
{
	return !sh("grep -qxF '%.*s' %s/.vunify/rescued/* 2>/dev/null", (int)strcspn(text, "\n"),
		   text, f->fs->mnt);
}

/* The one path that a guest has written to. */
struct own {
	unsigned g;
	const char *rel;  /* NULL: both names of f0 */
	const char *text; /* NULL: it has not */
};

static void nothing_is_lost(struct farm *f, const struct own *own)
{
	static const char *const rels[] = {F0, TWIN, F1, "usr/lib/f2"};
	static const char *const texts[] = {CONTENT, CONTENT, OF_F1,
					    "content of 2, longer than inline\n"};

	for (unsigned g = 0; g < f->n; g++)
		for (unsigned i = 0; i < 4; i++) {
			bool is_own = own->text && g == own->g &&
				      (own->rel ? !strcmp(rels[i], own->rel) : i < 2);

			if (is_own ? is_text(f, g, rels[i], own->text)
				   : is_text(f, g, rels[i], texts[i]))
				continue;
			print_message("g%u/%s is neither the old nor the new one\n", g, rels[i]);
			fail();
		}
	for (unsigned g = 0; g < f->n; g++)
		if (!own->text || g != own->g)
			assert_true(stat_of(f, g, F0).st_ino == stat_of(f, g, TWIN).st_ino);
}

/* Once nothing fails any more. */
static void recovers(struct farm *f)
{
	struct vu_evict_stats st;

	farm_recover(f, false);
	/* where somebody has slipped into the new object too, it looks again */
	for (int i = 0; i < 3 && (!i || vu_recover_is_needed(f->pool) > 0); i++)
		evict(f, &st);
	farm_recover(f, false);
	if (seen.n[VU_EVENT_DAMAGE])
		print_message("damage\n");
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	stage_is_empty(f);
}

static void let_go(void)
{
	now.watch.parking = vu_parking_free(now.watch.parking);
	now.watch = (struct vu_slip_watch){0};
	if (at.held > 0)
		close(at.held);
	at = (struct at){0};
}

/* Everything is as new, but for the file system. */
static void begin_anew(struct farm *f)
{
	trap = (struct trap){0};
	let_go();
	assert_int_equal(
		sh("cd %s && chattr -R -i . && rm -rf g?/* .vunify/rescued .vunify/slipped "
		   "&& find .vunify/objects .vunify/stage -type f -delete && "
		   "rm -f .vunify/journal.* && : >.vunify/journal",
		   f->fs->mnt),
		0);
	populate(f, 3);
	farm_scan(f);
	seen.quiet = true;
}

/* ---- what is tried ---- */

struct scene {
	void (*prepare)(struct farm *f); /* with nothing failing */
	int (*act)(struct farm *f);
	void (*check)(struct farm *f);
};

/* The n-th call fails. Returns which one that was, or NULL. */
static const char *one_fails(struct farm *f, const struct scene *s, int n, bool ever)
{
	begin_anew(f);
	s->prepare(f);
	fail_call(n, ever);
	int r = s->act(f);
	const char *what = fail_none();

	if (getenv("VU_VERBOSE"))
		print_message("call %d, %s%s: %d\n", n, what ? what : "none", ever ? " ever" : "",
			      r);
	if (!what)
		assert_int_equal(r, 0);
	recovers(f);
	s->check(f);
	return what;
}

/*
 * Each call in turn, until none is left: once, and for ever after. The latter in the short form for those
 * that put back what came out of an exchange, or rescue it: who tries that again fails again.
 */
static void each_fails(struct farm *f, const struct scene *s)
{
	const char *what;
	int n = 0, ever = 0;

	for (; (what = one_fails(f, s, n, false)); n++) {
		if (!getenv("VU_NIGHTLY") && strcmp(what, "renameat2"))
			continue;
		one_fails(f, s, n, true);
		ever++;
	}
	let_go();
	print_message("%d calls failed once, %d for ever\n", n, ever);
	assert_true(n > 40 && ever > 0);
}

static const char *watched_rel;
static unsigned watched_guest;

static void replace(void)
{
	char p[256], q[256];

	guest_path(&now, watched_guest, "usr/newer", q);
	guest_path(&now, watched_guest, watched_rel, p);
	put_text(q, NEWER);
	assert_int_equal(rename(q, p), 0);
}

/* Just before the exchange of that name. */
static void act_at(struct farm *f, unsigned g, const char *rel, void (*what)(void))
{
	char dir[64];

	snprintf(dir, sizeof(dir), "%s", rel);
	*strrchr(dir, '/') = 0;
	watched_guest = g;
	watched_rel = rel;
	at.base = strrchr(rel, '/') + 1;
	at.before = what;
	at.dir = stat_of(f, g, dir).st_ino;
}

static void all_is_as_it_was(struct farm *f)
{
	nothing_is_lost(f, &(struct own){0});
	assert_int_equal(n_rescued(f), 0);
}

/* ---- linking ---- */

static void replaced_at_f1(struct farm *f)
{
	act_at(f, 3, F1, replace);
}

/* The guest has, unless the run had ended before. */
static void f1_is_newer(struct farm *f)
{
	nothing_is_lost(f, &(struct own){3, F1, at.dir ? NULL : NEWER});
	assert_int_equal(n_rescued(f), 0);
}

static void link_replaced(struct farm *f)
{
	each_fails(f, &(struct scene){replaced_at_f1, farm_link, f1_is_newer});
}

/* One of two names: the other one goes back too. */
static void replaced_at_twin(struct farm *f)
{
	act_at(f, 3, TWIN, replace);
}

static void twin_is_newer(struct farm *f)
{
	nothing_is_lost(f, &(struct own){3, TWIN, at.dir ? NULL : NEWER});
	assert_int_equal(n_rescued(f), 0);
}

static void link_replaced_twin(struct farm *f)
{
	each_fails(f, &(struct scene){replaced_at_twin, farm_link, twin_is_newer});
}

/* What was replaced is changed before it is freed: then it is put back. */
static void hold_f1(struct farm *f)
{
	char p[256];

	guest_path(f, 3, F1, p);
	at.held = open(p, O_RDONLY | O_CLOEXEC);
	assert_true(at.held > 0);
}

static void f1_has_its_mode(struct farm *f)
{
	all_is_as_it_was(f);
	struct stat st = stat_of(f, 3, F1), mine;

	assert_int_equal(fstat(at.held, &mine), 0);
	/* or it was never moved */
	if ((mine.st_mode & 0777) == 0600)
		assert_int_equal(st.st_ino, mine.st_ino);
	assert_int_equal(stat_of(f, 0, F1).st_mode & 0777, 0644);
}

static void link_changed(struct farm *f)
{
	each_fails(f, &(struct scene){hold_f1, farm_link, f1_has_its_mode});
}

/* ---- unmerging ---- */

static int unmerge(struct farm *f)
{
	struct vu_breaker_stats b;

	return farm_unmerge(f, &b);
}

static void linked_and_replaced_at_f1(struct farm *f)
{
	assert_int_equal(farm_link(f), 0);
	act_at(f, 1, F1, replace);
}

/* rename(2) over an object's name is refused: the flag is off only in its moment. */
static void g1_f1_is_newer(struct farm *f)
{
	nothing_is_lost(f, &(struct own){1, F1, at.dir ? NULL : NEWER});
	assert_int_equal(n_rescued(f), 0);
}

static void unmerge_replaced(struct farm *f)
{
	each_fails(f, &(struct scene){linked_and_replaced_at_f1, unmerge, g1_f1_is_newer});
}

/* ---- slips ---- */

static struct writer *w;

/* He is known: to look for him each time would take longer than all the rest. */
static int is_guest_1(void *arg, uint64_t dev, uint64_t ino, const struct vu_waiters *waited,
		      struct vu_slip_seen *ret, size_t cap)
{
	const struct farm *f = arg;

	(void)dev;
	(void)ino;
	(void)waited;
	(void)cap;
	*ret = (struct vu_slip_seen){.root_ino = f->guests.v[1].ino, .holds = true};
	return 1;
}

static int is_nobody(void *arg, uint64_t dev, uint64_t ino, const struct vu_waiters *waited,
		     struct vu_slip_seen *ret, size_t cap)
{
	(void)arg;
	(void)dev;
	(void)ino;
	(void)waited;
	(void)ret;
	(void)cap;
	return 0;
}

/* Guest 1 slips into f0 while guest 3 gets a name of it again, and writes. */
static void slip(struct farm *f,
		 int (*who)(void *arg, uint64_t dev, uint64_t ino, const struct vu_waiters *waited,
			    struct vu_slip_seen *ret, size_t cap))
{
	assert_int_equal(farm_link(f), 0);
	uint64_t ino = stat_of(f, 0, F0).st_ino;

	make_private(f, 3);
	f->watch = (struct vu_slip_watch){.who = who, .arg = f};
	/* with it, nobody waits for seconds whether he who has slipped in comes out again */
	assert_int_equal(vu_parking_new(&f->watch.parking), 0);
	farm_scan(f);
	set_trap(f, ino, 3, w, "ow");
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(trap.ino, 0);
	assert_int_equal(f->stats.slips, 1);
}

static void slipped(struct farm *f)
{
	slip(f, is_guest_1);
}

static int evict_it(struct farm *f)
{
	struct vu_evict_stats st;

	return evict_or_fail(f, &st);
}

/* And nobody else; both names of guest 1 are the one inode that was written to. */
static void g1_has_it(struct farm *f)
{
	assert_true(ask(w, 'c'));
	nothing_is_lost(f, &(struct own){1, NULL, CHANGED});
	assert_true(stat_of(f, 1, F0).st_ino == stat_of(f, 1, TWIN).st_ino);
	assert_int_equal(n_rescued(f), 0);
}

static void evict_for_a_guest(struct farm *f)
{
	w = start_writer(f, 1);
	each_fails(f, &(struct scene){slipped, evict_it, g1_has_it});
}

/* He is gone, and nobody saw whose he was. */
static void slipped_by_nobody(struct farm *f)
{
	slip(f, is_nobody);
	assert_true(ask(w, 'c'));
}

static void is_rescued_for_all(struct farm *f)
{
	nothing_is_lost(f, &(struct own){0});
	assert_int_equal(n_rescued(f), 1);
	assert_true(is_in_rescued(f, CHANGED));
}

static void evict_for_nobody(struct farm *f)
{
	w = start_writer(f, 1);
	each_fails(f, &(struct scene){slipped_by_nobody, evict_it, is_rescued_for_all});
}

/* ---- a run is killed ---- */

static void is_killed(struct farm *f, int (*run)(struct farm *f))
{
	int status;
	pid_t pid;

	at.dies = true;
	pid = fork();
	if (!pid) {
		run(f);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	at.dir = 0;
}

static struct writer *second_w;
static uint64_t second; /* the new object, or 0 */

static int is_one_or_the_other(void *arg, uint64_t dev, uint64_t ino,
			       const struct vu_waiters *waited, struct vu_slip_seen *ret,
			       size_t cap)
{
	const struct farm *f = arg;

	is_guest_1(arg, dev, ino, waited, ret, cap);
	if (second && ino == second)
		ret->root_ino = f->guests.v[2].ino;
	return 1;
}

/* Guest 2 has moved to the new object when the eviction is killed, and slips into that one. */
static void killed_and_slipped_again(struct farm *f)
{
	char p[256];

	second = 0;
	slip(f, is_one_or_the_other);
	act_at(f, 2, TWIN, NULL);
	is_killed(f, evict_it);
	farm_recover(f, false);
	second = stat_of(f, 2, F0).st_ino;
	guest_path(f, 2, F0, p);
	assert_int_equal(sh("chattr -i %s", p), 0);
	assert_true(ask(second_w, 'o'));
	assert_int_equal(farm_recover(f, false).slipped, 1);
	assert_true(ask(second_w, 'w'));
}

static void both_have_theirs(struct farm *f)
{
	assert_true(ask(w, 'c') && ask(second_w, 'c'));
	for (unsigned g = 0; g < f->n; g++) {
		const char *want = g == 1 || g == 2 ? CHANGED : CONTENT;

		assert_true(is_text(f, g, F0, want) && is_text(f, g, TWIN, want));
		assert_true(stat_of(f, g, F0).st_ino == stat_of(f, g, TWIN).st_ino);
	}
	assert_true(stat_of(f, 1, F0).st_ino != stat_of(f, 2, F0).st_ino);
	assert_int_equal(n_rescued(f), 0);
}

static void evict_after_a_kill(struct farm *f)
{
	w = start_writer(f, 1);
	second_w = start_writer(f, 2);
	each_fails(f, &(struct scene){killed_and_slipped_again, evict_it, both_have_theirs});
}

static int recover(struct farm *f)
{
	struct vu_recover_stats s;

	return farm_try_recover(f, false, &s);
}

static void killed_with_a_file_in_hand(struct farm *f)
{
	act_at(f, 3, F1, replace);
	is_killed(f, farm_link);
}

static void recover_a_newer_file(struct farm *f)
{
	each_fails(f, &(struct scene){killed_with_a_file_in_hand, recover, f1_is_newer});
}

static void killed_between_two_names(struct farm *f)
{
	assert_int_equal(farm_link(f), 0);
	act_at(f, 1, F0, NULL);
	is_killed(f, unmerge);
	assert_true(stat_of(f, 1, F0).st_ino != stat_of(f, 1, TWIN).st_ino);
}

static void recover_between_two_names(struct farm *f)
{
	each_fails(f, &(struct scene){killed_between_two_names, recover, all_is_as_it_was});
}

#define FAILS(fn) ((struct CMUnitTest){#fn "_xfs", run_on_xfs, NULL, clean_up_all, (void *)(fn)})

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAILS(link_replaced),
		FAILS(link_replaced_twin),
		FAILS(link_changed),
		FAILS(unmerge_replaced),
		FAILS(evict_for_a_guest),
		FAILS(evict_for_nobody),
		FAILS(evict_after_a_kill),
		FAILS(recover_a_newer_file),
		FAILS(recover_between_two_names),
	};

	signal(SIGIO, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slips into real runs of linker, breaker and eviction, and what a killed run leaves: somebody has the
 * object open for writing when its moment is over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "evict-trap.h"
#include "ops/ops-scan.h"

/* A guest's name is being moved to the object while another guest slips in; it writes when it likes. */
static void link_while(struct farm *f, const char *acts)
{
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	uint64_t ino = begin(f);

	make_private(f, 3);
	f->watch = watch_of(f);
	farm_scan(f);
	assert_int_equal(f->plan.n_targets, 1);
	set_trap(f, ino, 3, w, acts);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(trap.ino, 0);
	assert_int_equal(f->stats.slips, 1);
	assert_int_equal(vu_recover_is_needed(f->pool), 1);
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	if (!strchr(acts, 'w'))
		assert_true(ask(w, 'w'));
	has_kept(f, ino, 1, CHANGED);
	have_moved(f, ino, 0xd);
	others_unchanged(f, "g[023]/");
	goes_on(f);
}

static void link_and_write_before(struct farm *f)
{
	link_while(f, "ow");
}

static void link_and_write_after(struct farm *f)
{
	link_while(f, "o");
}

/* Content that is nowhere else is not freed: with no copy of it put aside, the target stays private. */
static void link_without_space(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	uint64_t ino = begin(f);
	char p[256];

	make_private(f, 3);
	f->watch = watch_of(f);
	farm_scan(f);
	/* where the note and the copy would be made */
	snprintf(p, sizeof(p), "%s/.vunify/slipped", f->fs->mnt);
	put_text(p, "");
	set_trap(f, ino, 3, w, "ow");
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(trap.ino, 0);
	assert_true(seen.n[VU_EVENT_DAMAGE] > 0);
	has_text(f, 3, F0, CONTENT);
	assert_false(immutable(f, 3, F0));
	assert_int_equal(stat_of(f, 3, F0).st_ino, stat_of(f, 3, TWIN).st_ino);
	unlink(p);
}

/* The guest whose names are just given a copy slips in, or another one. */
static void unmerge_while(struct farm *f, unsigned at, const char *acts)
{
	struct writer *w = start_writer(f, 1);
	uint64_t ino = begin(f);
	struct vu_breaker_stats b;
	struct vu_evict_stats st;

	f->watch = watch_of(f);
	set_trap(f, ino, (int)at, w, acts);
	assert_int_equal(farm_unmerge(f, &b), 0);
	assert_int_equal(trap.ino, 0);
	assert_int_equal(b.slips, 1);
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	if (!strchr(acts, 'w'))
		assert_true(ask(w, 'w'));
	has_kept(f, ino, 1, CHANGED);
	for (unsigned g = 0; g < at; g++) {
		has_text(f, g, F0, CONTENT);
		assert_false(immutable(f, g, F0));
	}
	have_moved(f, ino, (0xf << at) & 0xd);
	others_unchanged(f, "g[023]/");
	goes_on(f);
}

static void unmerge_of_the_writer(struct farm *f)
{
	unmerge_while(f, 1, "ow");
}

static void unmerge_of_the_writer_who_waits(struct farm *f)
{
	unmerge_while(f, 1, "o");
}

static void unmerge_of_another(struct farm *f)
{
	unmerge_while(f, 0, "ow");
}

/*
 * Somebody slips into the new object too, while names move to it. The content is only in what was put
 * aside by then.
 */
static void evict_twice(struct farm *f)
{
	struct writer *w = start_writer(f, 1), *x = start_writer(f, 2);
	uint64_t ino = begin(f), second;
	struct vu_evict_stats st;

	make_private(f, 3);
	f->watch = watch_of(f);
	farm_scan(f);
	set_trap(f, ino, 3, w, "ow");
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(trap.ino, 0);
	/* the copy becomes the new object: its inode is known */
	char p[300], cmd[400];

	snprintf(p, sizeof(p), "%s/.vunify/slipped", f->fs->mnt);
	snprintf(cmd, sizeof(cmd), "stat -c %%i %s/*.copy", p);
	FILE *c = popen(cmd, "re");

	assert_int_equal(fscanf(c, "%lu", &second), 1);
	pclose(c);
	/* g2's first name is there already when the second one moves */
	set_trap(f, second, -1, x, "o");
	trap.dir = stat_of(f, 2, "usr").st_ino;
	evict(f, &st);
	if (trap.ino) /* the order of the two names is the file system's */
		skip();
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	assert_int_equal(vu_recover_is_needed(f->pool), 1);
	evict(f, &st);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	stage_is_empty(f);
	assert_true(ask(x, 'w'));
	has_text(f, 0, F0, CONTENT);
	has_text(f, 1, F0, CHANGED);
	has_text(f, 2, F0, CHANGED);
	has_text(f, 3, F0, CONTENT);
	assert_true(stat_of(f, 1, F0).st_ino != stat_of(f, 2, F0).st_ino);
	assert_true(immutable(f, 0, F0) && immutable(f, 3, F0));
	others_unchanged(f, "g[03]/");
	goes_on(f);
}

/* Eviction is killed in its moment: both flags are off, and a name is in the stage. */
static void killed_in_the_moment(struct farm *f, int when)
{
	struct writer *w = start_writer(f, 1);
	uint64_t ino = begin(f);
	struct vu_evict_stats st;
	int status;

	make_private(f, 3);
	f->watch = watch_of(f);
	farm_scan(f);
	set_trap(f, ino, 3, w, "ow");
	assert_int_equal(farm_link(f), 0);
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();

		if (!pid) {
			trap.ino = ino;
			trap.kill = when;
			evict(f, &st);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		if (i) /* from then on only the note knows who it was */
			assert_true(ask(w, 'c'));
		farm_recover(f, false);
		assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
		for (unsigned g = 0; g < 4; g++) {
			uint64_t now_ino = stat_of(f, g, F0).st_ino;

			has_text(f, g, F0, now_ino == ino ? CHANGED : CONTENT);
			assert_true(immutable(f, g, F0));
		}
		/* but for the note, nothing is left */
		assert_int_equal(
			sh("cd %s/.vunify && test -z \"$(find stage -type f)\" && test ! -s "
			   "journal",
			   f->fs->mnt),
			0);
	}
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	has_kept(f, ino, 1, CHANGED);
	have_moved(f, ino, 0xd);
	goes_on(f);
}

static void killed_before_an_exchange(struct farm *f)
{
	killed_in_the_moment(f, -1);
}

static void killed_after_an_exchange(struct farm *f)
{
	killed_in_the_moment(f, 1);
}

/* The same, while what came out of the exchange is a file that the guest has just put there. */
static void killed_with_a_file_in_hand(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	uint64_t ino = begin(f);
	struct vu_evict_stats st;
	char own[300];
	int status;

	make_private(f, 3);
	f->watch = watch_of(f);
	farm_scan(f);
	set_trap(f, ino, 3, w, "ow");
	assert_int_equal(farm_link(f), 0);
	snprintf(own, sizeof(own), "%s/own", f->fs->mnt);
	put_text(own, "own");
	pid_t pid = fork();

	if (!pid) {
		trap.ino = ino;
		trap.kill = 1;
		trap.own = own;
		evict(f, &st);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(farm_recover(f, false).names_restored, 1);
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	/* one of the two names in the first guest is its own file now, the other one has moved */
	assert_int_equal(
		sh("cd %s/g0/usr && grep -lx own twin lib/f0 | wc -l | grep -qx 1 && grep -l "
		   "\"^content of 0\" twin lib/f0 | wc -l | grep -qx 1",
		   f->fs->mnt),
		0);
	has_kept(f, ino, 1, CHANGED);
	stage_is_empty(f);
}

/* A run was killed in a moment, and somebody opened the object before it was flagged again. */
static void after_a_kill(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	uint64_t ino = begin(f);
	struct vu_evict_stats st;
	char p[256];

	f->watch = watch_of(f);
	guest_path(f, 0, F0, p);
	assert_int_equal(sh("chattr -i %s", p), 0);
	assert_true(ask(w, 'o'));
	struct vu_recover_stats r = farm_recover(f, false);

	assert_int_equal(r.slipped, 1);
	assert_int_equal(r.damaged, 0);
	assert_true(immutable(f, 0, F0));
	assert_true(ask(w, 'w'));
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	has_kept(f, ino, 1, CHANGED);
	have_moved(f, ino, 0xd);
	others_unchanged(f, "g[023]/");
	goes_on(f);
}

/* ---- with everything around it: catalog, walk, report ---- */

static struct vu_scan_report scan(struct farm *f, unsigned first, unsigned n, bool full)
{
	struct vu_config c = {0};
	struct vu_problem problem = {0};
	struct vu_ops ops = {.config = &c, .sink = &evict_sink, .problem = &problem};
	char *roots[GUESTS];
	struct vu_scan_options o = {
		.roots = roots, .n_roots = n, .trust_guests = true, .full = full};
	struct vu_scan_report rep;

	assert_int_equal(vu_config_default(&c), 0);
	free(c.catalog);
	free(c.lock_dir);
	assert_true(asprintf(&c.catalog, "%s/catalog.db", f->fs->dir) > 0);
	assert_true(asprintf(&c.lock_dir, "%s/lock", f->fs->dir) > 0);
	c.min_size = 1;
	for (unsigned i = 0; i < n; i++)
		roots[i] = f->guests.v[first + i].path;
	memset(seen.n, 0, sizeof(seen.n));
	int r = vu_ops_scan(&ops, &o, &rep);

	if (r)
		print_message("scan: %d %s %s\n", r, problem.what, problem.why);
	assert_int_equal(r, 0);
	vu_problem_done(&problem);
	vu_config_done(&c);
	return rep;
}

/* What the catalog knows after a run is what a run sees that believes nothing. */
static void catalog_is_right(struct farm *f)
{
	struct vu_scan_report a = scan(f, 0, 4, false), b = scan(f, 0, 4, true);

	for (unsigned g = 0; g < 4; g++) {
		assert_int_equal(a.guests[g].unified_before, b.guests[g].unified_before);
		assert_int_equal(a.guests[g].private_names, b.guests[g].private_names);
		assert_int_equal(a.guests[g].files, b.guests[g].files);
	}
	assert_int_equal(a.names_unified + b.names_unified, 0);
	assert_int_equal(a.warnings + b.warnings + a.damages + b.damages, 0);
	vu_scan_report_done(&a);
	vu_scan_report_done(&b);
}

/* A scan of an old guest and a new one, into which a third one slips; a fourth one has the file too. */
static void scan_while(struct farm *f)
{
	char *why = NULL;

	f->pool = vu_pool_close(f->pool); /* and its lock, before a child has it too */
	struct writer *w = start_writer(f, 1);

	populate(f, 5);
	struct vu_scan_report rep = scan(f, 0, 3, false);

	assert_int_equal(rep.objects_evicted, 0);
	vu_scan_report_done(&rep);
	assert_int_equal(vu_pool_open(f->roots[0], VU_POOL_LOOK, &f->pool, &why), 0);
	uint64_t ino = stat_of(f, 0, F0).st_ino;

	seen.quiet = true;
	manifest(f, "a", true);
	set_trap(f, ino, 3, w, "ow");
	rep = scan(f, 2, 2, false);
	assert_int_equal(trap.ino, 0);
	assert_int_equal(rep.objects_evicted, 1);
	assert_int_equal(rep.warnings, 1);
	assert_int_equal(rep.damages, 0);
	vu_scan_report_done(&rep);
	has_kept(f, ino, 1, CHANGED);
	have_moved(f, ino, 0xd);
	others_unchanged(f, "g[023]/");
	stop_writers();
	catalog_is_right(f);
	has_kept(f, ino, 1, CHANGED);
	have_moved(f, ino, 0xd);
}

ON_BOTH(link_and_write_before)
ON_BOTH(link_and_write_after)
ON_BOTH(link_without_space)
ON_BOTH(unmerge_of_the_writer)
ON_BOTH(unmerge_of_the_writer_who_waits)
ON_BOTH(unmerge_of_another)
ON_BOTH(evict_twice)
ON_BOTH(killed_before_an_exchange)
ON_BOTH(killed_after_an_exchange)
ON_BOTH(killed_with_a_file_in_hand)
ON_BOTH(after_a_kill)
ON_BOTH(scan_while)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS_BOTH(link_and_write_before),
		TESTS_BOTH(link_and_write_after),
		TESTS_BOTH(link_without_space),
		TESTS_BOTH(unmerge_of_the_writer),
		TESTS_BOTH(unmerge_of_the_writer_who_waits),
		TESTS_BOTH(unmerge_of_another),
		TESTS_BOTH(evict_twice),
		TESTS_BOTH(killed_before_an_exchange),
		TESTS_BOTH(killed_after_an_exchange),
		TESTS_BOTH(killed_with_a_file_in_hand),
		TESTS_BOTH(after_a_kill),
		TESTS_BOTH(scan_while),
	};

	signal(SIGIO, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who opens an object in its moment waits for the lease, which is parked: he gets in after eviction, or
 * not at all.
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
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "evict-trap.h"
#include "link/parking.h"

static void park_from_now_on(struct farm *f)
{
	f->watch = watch_of(f);
	assert_int_equal(vu_parking_new(&f->watch.parking), 0);
	trap.wait = true;
}

static void park_no_more(struct farm *f)
{
	f->watch.parking = vu_parking_free(f->watch.parking);
	trap.wait = trap.deaf = false;
}

static bool is_at(const char *path, int fd)
{
	struct stat a, b;

	return !stat(path, &a) && !fstat(fd, &b) && a.st_ino == b.st_ino;
}

/* A process that reads the file of a guest all the time; it ends with 1 when it sees what was written. */
static pid_t start_reader(const struct farm *f, unsigned guest, int *ret_stop)
{
	int stop[2];
	pid_t pid;
	char p[256];

	guest_path(f, guest, F0, p);
	assert_int_equal(pipe2(stop, O_CLOEXEC | O_NONBLOCK), 0);
	pid = fork();
	if (!pid) {
		char text[64], c;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that has failed tells it nothing */
		close(stop[1]);
		while (read(stop[0], &c, 1)) {
			int fd = open(p, O_RDONLY | O_CLOEXEC);

			/* one opened before the name has moved is the writer's own by now */
			if (fd >= 0 && pread(fd, text, sizeof(text), 0) > 0 &&
			    !strncmp(text, BYTES, strlen(BYTES)) && is_at(p, fd))
				_exit(1);
			close(fd);
		}
		_exit(0);
	}
	close(stop[0]);
	*ret_stop = stop[1];
	return pid;
}

static void nothing_was_seen(pid_t reader, int stop)
{
	int status;

	close(stop);
	assert_int_equal(waitpid(reader, &status, 0), reader);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/*
 * He cannot be interrupted, and writes as soon as he gets in: that is when the inode is his own. He
 * waits meanwhile. No other guest sees a byte of it, at no time.
 */
static void evicted_before_he_writes(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	uint64_t ino = begin(f);
	int stop;

	make_private(f, 3);
	park_from_now_on(f);
	farm_scan(f);
	pid_t reader = start_reader(f, 0, &stop);

	set_trap(f, ino, 3, w, "ow");
	trap.deaf = true;
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(trap.ino, 0);
	assert_int_equal(f->stats.slips, 0);
	wait_for_waiting(w);
	has_text(f, 1, F0, CONTENT);
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	assert_true(answer(w));
	assert_true(answer(w));
	nothing_was_seen(reader, stop);
	park_no_more(f);
	has_kept(f, ino, 1, CHANGED);
	have_moved(f, ino, 0xd);
	others_unchanged(f, "g[023]/");
	goes_on(f);
}

/* He is interrupted, does not get in at all, and the object stays one. */
static void not_evicted_without_need(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	uint64_t ino = begin(f);

	make_private(f, 3);
	park_from_now_on(f);
	farm_scan(f);
	set_trap(f, ino, 3, w, "o");
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(trap.ino, 0);
	assert_false(answer(w));
	evict(f, &st);
	park_no_more(f);
	assert_int_equal(st.evicted, 0);
	assert_int_equal(f->stats.slips, 0);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE] + seen.n[VU_EVENT_WARN], 0);
	assert_false(ask(w, 'o'));
	others_unchanged(f, "g[0-3]/");
	goes_on(f);
}

/* Lets the process go on whenever it stops, as a debugger does; it ends with this process. */
static pid_t start_tracer(const struct writer *w)
{
	pid_t pid = fork();
	int status;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_SEIZE, w->pid, NULL, NULL))
		_exit(1);
	while (waitpid(w->pid, &status, __WALL) == w->pid && WIFSTOPPED(status)) {
		bool group = status >> 16 == PTRACE_EVENT_STOP;
		int sig = group ? 0 : WSTOPSIG(status);
		bool stays = group && WSTOPSIG(status) != SIGTRAP;

		ptrace(stays ? PTRACE_LISTEN : PTRACE_CONT, w->pid, NULL, (void *)(intptr_t)sig);
	}
	_exit(0);
}

static bool is_traced(const struct writer *w)
{
	return !sh("grep -q '^TracerPid:[[:space:]]*[1-9]' /proc/%d/status", (int)w->pid);
}

/* The same with a process that somebody else traces: it cannot be interrupted by ptrace(2). */
static void not_evicted_though_traced(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	uint64_t ino = begin(f);

	now_child = start_tracer(w);
	for (int i = 0; i < 1000 && !is_traced(w); i++)
		usleep(1000);
	assert_true(is_traced(w));
	make_private(f, 3);
	park_from_now_on(f);
	farm_scan(f);
	set_trap(f, ino, 3, w, "o");
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(trap.ino, 0);
	assert_false(answer(w));
	evict(f, &st);
	park_no_more(f);
	assert_int_equal(st.evicted, 0);
	assert_int_equal(f->stats.slips, 0);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE] + seen.n[VU_EVENT_WARN], 0);
	assert_true(is_traced(w));
	others_unchanged(f, "g[0-3]/");
	goes_on(f);
}

/* Nobody knows whose process it is: then no guest keeps the inode, and there is nothing to rescue. */
static void evicted_from_all(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	struct vu_evict_stats st;
	uint64_t ino = begin(f);

	make_private(f, 3);
	park_from_now_on(f);
	f->watch.who = NULL;
	farm_scan(f);
	set_trap(f, ino, 3, w, "o");
	trap.deaf = true;
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(trap.ino, 0);
	wait_for_waiting(w);
	trap.deaf = false;
	evict(f, &st);
	assert_false(answer(w));
	park_no_more(f);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_false(is_rescued(f));
	have_moved(f, ino, 0xf);
	others_unchanged(f, "g[0-3]/");
	goes_on(f);
}

/* The same while a guest's names are given a copy. */
static void unmerged_before_he_writes(struct farm *f)
{
	struct writer *w = start_writer(f, 1);
	struct vu_breaker_stats b;
	struct vu_evict_stats st;
	uint64_t ino = begin(f);

	park_from_now_on(f);
	set_trap(f, ino, 0, w, "ow");
	trap.deaf = true;
	assert_int_equal(farm_unmerge(f, &b), 0);
	assert_int_equal(trap.ino, 0);
	assert_int_equal(b.slips, 0);
	wait_for_waiting(w);
	evict(f, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 0);
	assert_true(answer(w) && answer(w));
	park_no_more(f);
	has_kept(f, ino, 1, CHANGED);
	have_moved(f, ino, 0xd);
	others_unchanged(f, "g[023]/");
	goes_on(f);
}

ON_BOTH(evicted_before_he_writes)
ON_BOTH(not_evicted_without_need)
ON_BOTH(not_evicted_though_traced)
ON_BOTH(evicted_from_all)
ON_BOTH(unmerged_before_he_writes)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS_BOTH(evicted_before_he_writes),  TESTS_BOTH(not_evicted_without_need),
		TESTS_BOTH(not_evicted_though_traced), TESTS_BOTH(evicted_from_all),
		TESTS_BOTH(unmerged_before_he_writes),
	};

	signal(SIGIO, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The census of processes: what it says when one of them keeps it waiting, ends, or is another by now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/stop.h"
#include "mem/census.h"
#include "mem/ksm.h"

#define PAGES 600

static uint16_t stuck_owner = UINT16_MAX; /* its processes keep whoever reads them waiting */
static int failing;			  /* what looking at any process gives */

int __real_vu_census_process(struct vu_census_reader *rd, int proc_fd, uint16_t owner,
			     uint16_t program, struct vu_census_counts *ret);
int __wrap_vu_census_process(struct vu_census_reader *rd, int proc_fd, uint16_t owner,
			     uint16_t program, struct vu_census_counts *ret);

int __wrap_vu_census_process(struct vu_census_reader *rd, int proc_fd, uint16_t owner,
			     uint16_t program, struct vu_census_counts *ret)
{
	while (owner == stuck_owner)
		pause();
	return failing ? failing : __real_vu_census_process(rd, proc_fd, owner, program, ret);
}

/* A process with PAGES pages of one content, and PAGES of zeros. */
static pid_t make_process(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 2 * PAGES * page;
	int fds[2];
	char c = 0;

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();

	if (!pid) {
		char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (p == MAP_FAILED)
			_exit(1);
		madvise(p, size, MADV_NOHUGEPAGE);
		memset(p, 7, size / 2);
		memset(p + size / 2, 0, size / 2);
		c = write(fds[1], &c, 1) == 1;
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static void end_process(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static struct vu_census_options options_of(struct vu_census_subject *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		v[i] = (struct vu_census_subject){.owner = (uint16_t)i};
	return (struct vu_census_options){
		.subject = v, .n = n, .n_owners = n, .n_programs = 1, .jobs = 2};
}

static void make_subjects(struct vu_census_subject *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		v[i].pid = make_process();
		v[i].started = vu_census_started(v[i].pid);
		assert_true(v[i].started);
	}
}

static void end_subjects(const struct vu_census_subject *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		end_process(v[i].pid);
}

static bool hidden(void)
{
	struct vu_frames f;
	int r = vu_frames_open(&f);
	bool no = r || f.kpageflags < 0;

	vu_frames_close(&f);
	return no;
}

static void counts(void **state)
{
	struct vu_census_subject v[3];
	struct vu_census_options o = options_of(v, 3);
	struct vu_census c;

	(void)state;
	if (hidden())
		skip();
	make_subjects(v, 3);
	assert_int_equal(vu_census_take(&o, &c), 0);
	assert_int_equal(c.total.processes, 3);
	assert_int_equal(c.n_stuck, 0);
	for (int i = 0; i < 3; i++) {
		assert_true(c.sum.owner[i].pages >= 2 * PAGES);
		assert_true(c.sum.owner[i].zero >= PAGES);
		assert_true(c.sum.owner[i].inside >= 2 * PAGES - 2);
	}
	assert_true(c.sum.freed >= 2 * (3 * PAGES - 1));
	vu_census_done(&c);
	end_subjects(v, 3);
}

static void one_is_stuck(void **state)
{
	struct vu_census_subject v[3];
	struct vu_census_options o = options_of(v, 3);
	struct vu_census c;
	int64_t begin = vu_clock_ms();

	(void)state;
	if (hidden())
		skip();
	make_subjects(v, 3);
	stuck_owner = 1;
	assert_int_equal(vu_census_take(&o, &c), 0);
	stuck_owner = UINT16_MAX;
	assert_true(vu_clock_ms() - begin >= VU_CENSUS_STUCK_MS);
	assert_int_equal(c.n_stuck, 1);
	assert_int_equal(c.stuck, v[1].pid);
	assert_int_equal(c.total.processes, 2);
	assert_true(c.sum.owner[0].pages >= 2 * PAGES && c.sum.owner[2].pages >= 2 * PAGES);
	assert_int_equal(c.sum.owner[1].pages, 0);
	vu_census_done(&c);
	end_subjects(v, 3);
}

static void gone_or_another(void **state)
{
	struct vu_census_subject v[3];
	struct vu_census_options o = options_of(v, 3);
	struct vu_census c;

	(void)state;
	if (hidden())
		skip();
	make_subjects(v, 3);
	v[0].started++;
	end_process(v[2].pid);
	assert_int_equal(vu_census_started(v[2].pid), 0);
	assert_int_equal(vu_census_take(&o, &c), 0);
	assert_int_equal(c.total.processes, 1);
	assert_int_equal(c.sum.owner[0].pages + c.sum.owner[2].pages, 0);
	vu_census_done(&c);
	end_subjects(v, 2);
}

static void failures(void **state)
{
	struct vu_census_subject v[2];
	struct vu_census_options o = options_of(v, 2);
	struct vu_census c;

	(void)state;
	if (hidden())
		skip();
	make_subjects(v, 2);
	failing = -EPERM;
	assert_int_equal(vu_census_take(&o, &c), 0);
	assert_int_equal(c.total.denied, 2);
	vu_census_done(&c);
	failing = -ENOMEM;
	assert_int_equal(vu_census_take(&o, &c), -ENOMEM);
	failing = 0;
	end_subjects(v, 2);
}

static void frames_only(void **state)
{
	struct vu_census_subject v[2];
	struct vu_census_options o = options_of(v, 2);
	struct vu_census c;

	(void)state;
	if (hidden())
		skip();
	make_subjects(v, 2);
	o.frames_only = true;
	assert_int_equal(vu_census_take(&o, &c), 0);
	assert_int_equal(c.sum.pages, 0);
	assert_true(c.owner[0].frames >= 2 * PAGES && c.owner[1].frames >= 2 * PAGES);
	assert_int_equal(c.total.frames, c.owner[0].frames + c.owner[1].frames);
	vu_census_done(&c);
	end_subjects(v, 2);
}

static void of_nobody(void **state)
{
	struct vu_census_options o = {.jobs = 4};
	struct vu_census c;

	(void)state;
	if (hidden())
		skip();
	assert_int_equal(vu_census_take(&o, &c), 0);
	assert_int_equal(c.sum.pages, 0);
	vu_census_done(&c);
}

/* The last one: a stop is not taken back. */
static void stopped(void **state)
{
	struct vu_census_subject v[1];
	struct vu_census_options o = options_of(v, 1);
	struct vu_census c;

	(void)state;
	make_subjects(v, 1);
	stuck_owner = 0;
	vu_stop_request(SIGINT);
	assert_int_equal(vu_census_take(&o, &c), -ECANCELED);
	end_subjects(v, 1);
}

static void ksm_stat(void **state)
{
	struct vu_ksm_process p;

	(void)state;
	vu_ksm_process_parse("ksm_rmap_items 944\nksm_zero_pages 3\nksm_merging_pages 36\n"
			     "ksm_process_profit -12345\nksm_merge_any: yes\nksm_mergeable: yes\n",
			     &p);
	assert_true(p.known && p.merge_any && p.mergeable);
	assert_int_equal(p.rmap_items, 944);
	assert_int_equal(p.zero_pages, 3);
	assert_int_equal(p.merging_pages, 36);
	assert_int_equal(p.profit_bytes, -12345);
	/* an older kernel's */
	vu_ksm_process_parse("ksm_rmap_items 1\nzero_pages_sharing 0\nksm_merging_pages 2\n", &p);
	assert_true(p.known && !p.merge_any);
	assert_int_equal(p.merging_pages, 2);
	assert_int_equal(p.profit_bytes, 0);
	vu_ksm_process_parse("", &p);
	assert_int_equal(p.merging_pages, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),	   cmocka_unit_test(one_is_stuck),
		cmocka_unit_test(gone_or_another), cmocka_unit_test(failures),
		cmocka_unit_test(of_nobody),	   cmocka_unit_test(frames_only),
		cmocka_unit_test(ksm_stat),	   cmocka_unit_test(stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vunify killed, or with an error, at every system call.
 *
 * usage: every-call kill|fail VUNIFY CASES SEED THIRD DIR...
 *
 * Which calls there are is found out by tracing undisturbed runs; then each case runs a command with
 * one call disturbed, looks at the guests, lets one more run end the work, and looks again. CASES is
 * how many are tried, evenly chosen (0: all). Of recoveries, and of the places where other commands
 * are always killed, it is the THIRD third (0 to 2; -1: all). Each DIR is a room (an absolute path):
 * mnt/ is a file system of its own, state/ is not on it; the rooms are worked in at the same time.
 * VU_CASE=N: only this one, told in full. VU_LIKE=PATTERN: only such, "scan: fail * at statx *".
 *
 * Cases follow one another: a scan begins with private files and ends with unified ones, an unmerge the
 * other way. Prints a line for each case that lost something, and last "CASES LOST MISSED", MISSED
 * being cases whose call never came. Exit status: 0 nothing is lost, 1 something is, 70 it cannot work.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "fail.h"
#include "judge.h"
#include "room.h"
#include "tour.h"

/* A process, the first of its PID namespace: what vunify sees of others is always the same. */
static void in_namespace(void (*fn)(struct tour *t), struct tour *t)
{
	pid_t pid;
	int status;

	if (unshare(CLONE_NEWNS | CLONE_NEWPID) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		fail("a namespace of its own: %m");
	inject_leave_mounts(t->dir, t->cases->vunify);
	pid = fork();
	if (!pid) {
		signal(SIGTERM, SIG_DFL);
		if (mount("proc", "/proc", "proc", 0, NULL))
			fail("/proc: %m");
		fn(t);
		fflush(NULL);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		fail("fork: %m");
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 70);
}

/* In each room, at the same time. */
static void in_rooms(struct cases *p, char **dirs, void (*fn)(struct tour *t))
{
	pid_t pids[16];
	int status, n = 0;

	for (; dirs[n] && n < 16; n++) {
		struct tour t = {.cases = p, .dir = dirs[n], .number = n};

		fflush(NULL);
		pids[n] = fork();
		if (pids[n] < 0)
			fail("fork: %m");
		if (!pids[n])
			in_namespace(fn, &t);
	}
	while (n-- > 0)
		if (waitpid(pids[n], &status, 0) != pids[n] || status)
			fail("a worker ended with %#x", status);
}

int main(int argc, char **argv)
{
	struct cases *p =
		mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (argc < 7 || (strcmp(argv[1], "kill") != 0 && strcmp(argv[1], "fail") != 0))
		fail("usage: every-call kill|fail VUNIFY CASES SEED THIRD DIR...");
	if (p == MAP_FAILED)
		fail("mmap: %m");
	setvbuf(stdout, NULL, _IOLBF, 0);
	p->errors = !strcmp(argv[1], "fail");
	p->vunify = argv[2];
	p->quota = (uint32_t)strtoul(argv[3], NULL, 10);
	p->seed = (unsigned)strtoul(argv[4], NULL, 10);
	p->third = atoi(argv[5]);
	in_rooms(p, (char *[]){argv[6], NULL}, tour_explore);
	in_rooms(p, argv + 6, tour_explore_branches);
	cases_add_branches(p);
	cases_choose(p, getenv("VU_LIKE"));
	printf("# seed %u: %u of %u cases of %u scenarios\n", p->seed, p->n_chosen, p->n_jobs,
	       p->n_scenarios);
	if (getenv("VU_CASE"))
		p->only = 1 + (uint32_t)strtoul(getenv("VU_CASE"), NULL, 10);
	in_rooms(p, p->only ? (char *[]){argv[6], NULL} : argv + 6, tour_run);
	printf("%u %u %u\n", p->done, p->lost, p->missed);
	return p->lost != 0;
}

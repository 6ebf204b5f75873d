/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor of `vunify run` disturbed at every system call of a break, and the process whose call it answers.
 *
 * usage: break-calls MOUNT CASES SEED SAID VUNIFY ARG...
 *
 * MOUNT is a file system with empty guests/g1 and g2, of which g1 has /bin/break-guest. SAID gets what vunify says;
 * ARG... are its global options. For each call that breaks a link (break-ops.h), in a guest whose worker has
 * answered nothing before, the calls of the thread that answers are found out by tracing one; then, on files of
 * their own, before each of them
 *   - the worker is killed: another one takes its place, and the caller has the result all the same; also when the
 *     call, if it changes something, has just been made
 *   - all three processes are killed: the caller has it, or an error
 *   - the caller is killed, or traced
 *   - or the call fails, once or all such from then on, with each error that it can have (errnos.c)
 * Afterwards the files are the old ones or the new ones, behind `vunify recover` completely so; the other guest's are
 * what they were; nobody waits for more than 20 s; nothing is left in the stage.
 *
 * CASES: how many of both kinds are tried, evenly chosen (0: all). VU_CASE=N: only that one; VU_LIKE=PATTERN:
 * those whose text fits it, "unlink: worker at unlinkat *". Prints a line for each case that went wrong, and
 * last "KILLS LOST FAILURES LOST MISSED". Exit status: 0 nothing is lost, 1 something is, 70 it cannot work.
 */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "break-files.h"
#include "break-run.h"
#include "break-trace.h"
#include "errnos.h"
#include "fail.h"

#define LIMIT_MS 20000
#define MAX_CALLS 400
#define MAX_JOBS 40000
#define MAX_BATCH 150 /* then the worker was replaced often enough */

enum how {
	HOW_WORKER,
	HOW_BEHIND, /* the worker, when the call has been made, and nothing else */
	HOW_ALL,
	HOW_CALLER,
	HOW_TRACED,
	HOW_FAIL,
	HOW_FAIL_EVER,
};

static const char *const hows[] = {"worker", "worker behind",	"all", "caller", "traced",
				   "fails",  "fails ever after"};

struct job {
	enum break_op op;
	enum how how;
	struct call call; /* before which one: */
	unsigned nth;	  /* how often it has been made by then, from 1 */
	int err;
	bool chosen;
};

static struct job jobs[MAX_JOBS];
static unsigned n_jobs;
static unsigned n_kills, n_failures, lost_kills, lost_failures, missed;
static struct break_run vunify;
static const char *mnt;
static char guests[2][600], stage[600];

/* What is, of the case at hand. */
static char wrong[4000];
static const struct job *last; /* the one before it */

__attribute__((format(printf, 1, 2))) static void is_wrong(const char *format, ...)
{
	size_t at = strlen(wrong);
	va_list a;

	va_start(a, format);
	vsnprintf(wrong + at, sizeof(wrong) - at - 1, format, a);
	va_end(a);
	strcat(wrong, "\n");
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static void job_text(const struct job *j, char *ret, size_t size)
{
	int n = snprintf(ret, size, "%s: %s at %s %u", op_name(j->op), hows[j->how],
			 call_name(j->call), j->nth);

	if (j->err && n > 0)
		snprintf(ret + n, size - (size_t)n, " with %s", errnos_name(j->err));
}

/* ---- files ---- */

static void make_files(enum break_op op, unsigned number)
{
	for (unsigned g = 0; g < 2; g++)
		if (!g || op != BREAK_NONE)
			files_make(guests[g], op, number);
}

/* Of an object that nobody else has the other guest has had its copy before. */
static void take_away(const struct job *const *v, unsigned n)
{
	const char *words[2 + 20] = {"unmerge"};
	char paths[20][700];
	unsigned k = 0;

	for (unsigned i = 0; i <= n; i++) {
		if (k == 20 || (i == n && k)) {
			words[1 + k] = NULL;
			if (vunify_do(&vunify, words))
				fail("vunify unmerge");
			k = 0;
		}
		if (i == n || v[i]->op != BREAK_LAST)
			continue;
		snprintf(paths[k], sizeof(paths[k]), "%s/" BREAK_DIR "/%s-%u/f", guests[1],
			 op_name(BREAK_LAST), i + 1);
		words[1 + k] = paths[k];
		k++;
	}
}

/* The files of these cases, by their numbers from 1, unified. */
static void set_up(const struct job *const *v, unsigned n)
{
	make_files(BREAK_NONE, 0);
	for (unsigned i = 0; i < n; i++)
		make_files(v[i]->op, i + 1);
	if (vunify_do(&vunify, (const char *const[]){"scan", "g1", "g2", NULL}))
		fail("vunify scan");
	take_away(v, n);
}

static void remove_all(void)
{
	char command[1500];

	if (vunify_do(&vunify, (const char *const[]){"unmerge", "g1", "g2", NULL}))
		fail("vunify unmerge");
	snprintf(command, sizeof(command),
		 "rm -rf --one-file-system '%s/" BREAK_DIR "' '%s/" BREAK_DIR "'", guests[0],
		 guests[1]);
	if (system(command))
		fail("what was made cannot be removed");
}

/* Files in the stage. */
static unsigned n_staged(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;
	char below[1000];
	unsigned n = 0;

	while (d && (e = readdir(d))) {
		snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		if (e->d_name[0] != '.')
			n += e->d_type == DT_DIR ? n_staged(below) : 1;
	}
	if (d)
		closedir(d);
	return n;
}

static void check_other(enum break_op op, unsigned number)
{
	char text[300];

	files_say(guests[1], op, number, text, sizeof(text));
	/* what is its own is private there: it has the time that it was made */
	if (strcmp(text, files_old(op)))
		is_wrong("the other guest has %s, had %s", text, files_old(op));
}

/* result: of the caller, 0 or an errno; -1: it was killed. settled: behind the recovery. */
static void check_files(const struct job *j, unsigned number, int result, bool settled)
{
	const char *old = files_old(j->op), *new = files_new(j->op);
	char text[300];

	files_say(guests[0], j->op, number, text, sizeof(text));
	bool is_old = !strcmp(text, old), is_new = !strcmp(text, new);

	/* a file is opened, and nothing is written, or less */
	if (j->op == BREAK_CUT && result < 0 && !strncmp(text, "f=-644!", 7))
		is_new = true;
	if (j->op == BREAK_TWINS && !settled && result && strstr(text, "f=A644 t=A644"))
		is_old = true; /* one of the two has its copy */
	if (result == 0 && !is_new)
		is_wrong("%s: the call succeeded, and there is: %s, not %s",
			 settled ? "after recovery" : "at once", text, new);
	else if (!is_old && !is_new)
		is_wrong("%s: there is %s, neither %s nor %s",
			 settled ? "after recovery" : "at once", text, old, new);
	else if (result > 0 && j->how >= HOW_FAIL && !is_old)
		is_wrong("%s: the call failed (%s), and was made",
			 settled ? "after recovery" : "at once", strerror(result));
	check_other(j->op, number);
}

/* ---- one call ---- */

/* There is a worker, and it answers. */
static void be_served(void)
{
	char line[64], text[200] = "";

	if (!vunify.front)
		run_start(&vunify);
	run_order(&vunify, BREAK_NONE, 0);
	if (!run_hear(&vunify, LIMIT_MS, line) || strcmp(line, "0")) {
		if (last)
			job_text(last, text, sizeof(text));
		fail("nobody answers behind %s: %s", text, line);
	}
	for (int i = 0; i < LIMIT_MS && !run_is_ready(run_worker(&vunify)); i++)
		usleep(1000);
}

/* Nobody has answered a thing but what be_served has asked. */
static void fresh_worker(void)
{
	pid_t worker = vunify.front ? run_worker(&vunify) : 0;

	if (worker)
		kill(worker, SIGKILL);
	for (int i = 0; worker && i < LIMIT_MS && run_worker(&vunify) == worker; i++)
		usleep(1000);
	be_served();
}

/*
 * Asks the guest to do something to the caller. Returns false if the call is over by now, as it may be: its threads
 * make some of the worker's calls earlier in one run than in the next. result gets what the guest says of it then.
 */
static bool ask(const char *what, const char *answer, char result[64], bool *heard)
{
	char line[64];

	run_say(&vunify, what);
	while (run_hear(&vunify, LIMIT_MS, line)) {
		if (!strcmp(line, answer))
			return true;
		if (!strcmp(line, "over"))
			return false;
		memcpy(result, line, sizeof(line));
		*heard = true;
	}
	is_wrong("the guest does not say \"%s\"", answer);
	return true;
}

/* Returns false if it came too late. result and heard: see ask. */
static bool disturb(struct trace *t, enum how how, char result[64], bool *heard)
{
	bool in_time = true;

	switch (how) {
	case HOW_WORKER:
	case HOW_BEHIND:
		kill(t->worker, SIGKILL);
		trace_reap(t);
		break;
	case HOW_ALL:
		run_kill(&vunify);
		trace_reap(t);
		break;
	case HOW_CALLER:
		in_time = ask("kill\n", "killed", result, heard);
		break;
	case HOW_TRACED:
		in_time = ask("trace\n", "traced", result, heard);
		break;
	case HOW_FAIL:
	case HOW_FAIL_EVER:
		break;
	}
	if (how >= HOW_CALLER)
		trace_go_on(t);
	return in_time;
}

struct calls {
	struct call v[MAX_CALLS];
	unsigned n;
};

static void keep(void *arg, struct call c)
{
	struct calls *v = arg;

	if (v && v->n < MAX_CALLS)
		v->v[v->n++] = c;
}

/*
 * Has the guest make the call, with the worker traced and j (or NULL) done to it. Returns the result as check_files
 * has it; seen gets the calls.
 */
static int make_call(enum break_op op, unsigned number, const struct job *j, struct calls *seen)
{
	struct trace t = {.aim.nr = -1};
	bool hit = false, in_time = true, heard = false, detached = false;
	int64_t end = now_ms() + LIMIT_MS;
	char line[64] = "";

	if (j) {
		t.aim = j->call;
		t.nth = j->nth;
		t.err = j->err;
		t.ever = j->how == HOW_FAIL_EVER;
		t.behind = j->how == HOW_BEHIND;
	}
	if (!trace_begin(&t, run_worker(&vunify)))
		fail("the worker cannot be traced");
	run_order(&vunify, op, number);
	while (!(heard && (t.done || (hit && j->how <= HOW_ALL))) && now_ms() < end) {
		bool killed = hit && j->how <= HOW_ALL;

		if (!killed && trace_step(&t, keep, seen)) {
			hit = true;
			in_time = disturb(&t, j->how, line, &heard);
			heard = heard || (in_time && j->how == HOW_CALLER);
			continue;
		}
		if (hit && in_time && j->how == HOW_TRACED && t.done && !detached) {
			run_say(&vunify, "detach\n");
			detached = true;
		}
		heard = heard || run_hear(&vunify, killed ? LIMIT_MS : 0, line);
		if (!heard)
			usleep(20);
	}
	if (!heard)
		is_wrong("the caller waits");
	else if (!t.done && !(hit && j->how <= HOW_ALL))
		is_wrong("the supervisor hangs");

	trace_end(&t);
	missed += j && (!t.hit || !in_time);
	return hit && in_time && j && j->how == HOW_CALLER ? -1 : atoi(line);
}

/* ---- cases ---- */

static void add_jobs(enum break_op op, const struct calls *calls)
{
	const struct call send = {SYS_ioctl, (uint32_t)SECCOMP_IOCTL_NOTIF_SEND};
	bool mutates = false, sent = false;

	for (unsigned i = 0; i < calls->n; i++) {
		const int *errs = call_changes(calls->v[i]) ? errnos_of(calls->v[i]) : NULL;
		struct job j = {.op = op, .call = calls->v[i]};

		for (unsigned k = 0; k <= i; k++)
			j.nth += call_equal(calls->v[k], j.call);

		/* whoever has his answer waits no more */
		for (j.how = HOW_WORKER; j.how <= (sent ? HOW_ALL : HOW_TRACED); j.how++)
			if (j.how != HOW_BEHIND || call_changes(j.call))
				jobs[n_jobs++] = j;
		sent = sent || call_equal(j.call, send);
		for (; errs && *errs && n_jobs < MAX_JOBS - 8; errs++)
			/* nobody is interrupted for ever */
			for (j.how = HOW_FAIL, j.err = *errs;
			     j.how <= (*errs == EINTR ? HOW_FAIL : HOW_FAIL_EVER); j.how++)
				jobs[n_jobs++] = j;
		mutates = mutates || errs;
	}
	if (!mutates)
		fail("%s changes nothing", op_name(op));
}

/* The calls of each operation, undisturbed. */
static void explore(void)
{
	static struct job plain[BREAK_NONE];
	const struct job *v[BREAK_NONE];

	for (enum break_op op = 0; op < BREAK_NONE; op++) {
		plain[op].op = op;
		v[op] = &plain[op];
	}
	set_up(v, BREAK_NONE);
	for (enum break_op op = 0; op < BREAK_NONE; op++) {
		struct calls calls = {0};

		fresh_worker();
		wrong[0] = 0;
		int r = make_call(op, op + 1, NULL, &calls);

		check_files(v[op], op + 1, r, false);
		if (*wrong || r || calls.n == MAX_CALLS)
			fail("%s does not work undisturbed: %d, %u calls\n%s", op_name(op), r,
			     calls.n, wrong);
		add_jobs(op, &calls);
	}
	if (run_end(&vunify))
		fail("vunify run did not end well");
	remove_all();
}

/* Evenly, of each kind of which there are `all` as many as `quota`. */
static bool is_chosen(unsigned i, unsigned all, unsigned quota, unsigned seed)
{
	return !quota || quota >= all ||
	       (uint64_t)(i + seed) * quota / all != (uint64_t)(i + seed + 1) * quota / all;
}

static void choose(unsigned quota, unsigned seed)
{
	const char *only = getenv("VU_CASE"), *like = getenv("VU_LIKE");
	unsigned all[2] = {0}, k[2] = {0};
	char text[200];

	for (unsigned i = 0; i < n_jobs; i++)
		all[jobs[i].how >= HOW_FAIL]++;
	for (unsigned i = 0; i < n_jobs; i++) {
		unsigned kind = jobs[i].how >= HOW_FAIL;

		job_text(&jobs[i], text, sizeof(text));
		jobs[i].chosen = only	? (unsigned)atoi(only) == i
				 : like ? !fnmatch(like, text, 0)
					: is_chosen(k[kind], all[kind], quota, seed);
		k[kind]++;
	}
	printf("# seed %u: of %u kills and %u errors\n", seed, all[0], all[1]);
}

static void tell(const struct job *j, int result)
{
	char text[200];

	if (!*wrong && !getenv("VU_CASE"))
		return;
	job_text(j, text, sizeof(text));
	printf("# case %u: %s: %d\n%s", (unsigned)(j - jobs), text, result, wrong);
	*(j->how >= HOW_FAIL ? &lost_failures : &lost_kills) += *wrong != 0;
}

/* Returns the result. */
static int try(const struct job *j, unsigned number)
{
	wrong[0] = 0;
	fresh_worker();
	int r = make_call(j->op, number, j, NULL);

	/*
	 * By a descriptor that is open on the object still, when the file has its copy already: it is not known any
	 * more where that is. The manual says so.
	 */
	bool unknown = j->op == BREAK_FCHMOD && j->how <= HOW_BEHIND && r == EPERM;

	if ((j->how <= HOW_BEHIND || j->how == HOW_TRACED) && r && !unknown)
		is_wrong("the caller has: %s", strerror(r));
	if (j->how == HOW_ALL)
		run_reap(&vunify);
	check_files(j, number, r, false);
	*(j->how >= HOW_FAIL ? &n_failures : &n_kills) += 1;
	tell(j, r);
	last = j;
	return r;
}

/* Objects have their flag, and there is nothing else. What it says is in SAID. */
static void check_pool(const char *top)
{
	char command[2000];

	snprintf(command, sizeof(command), "'%s/tests/lib/pool-check' '%s' >/dev/null 2>>'%s'",
		 top ? top : "../..", mnt, vunify.said);
	if (system(command))
		is_wrong("pool-check complains");
}

/* Behind all of them: recovered, each is the old one or the new one, and nothing is left. */
static void settle(const struct job *const *v, const int *results, unsigned n)
{
	int code = vunify.front ? run_end(&vunify) : 0;

	wrong[0] = 0;
	if (code)
		is_wrong("vunify run: exit status %d", code);
	code = vunify_do(&vunify, (const char *const[]){"--quiet", "recover", NULL});
	if (code && code != 3)
		is_wrong("recover: exit status %d", code);
	if (n_staged(stage))
		is_wrong("%u files are left in the stage", n_staged(stage));
	check_pool(getenv("VU_TOP"));
	tell(v[0], 0);
	for (unsigned i = 0; i < n; i++) {
		wrong[0] = 0;
		check_files(v[i], i + 1, results[i], true);
		tell(v[i], results[i]);
	}
}

/* All chosen cases, so many at a time. */
static void try_all(void)
{
	const struct job *v[MAX_BATCH];
	int results[MAX_BATCH];

	for (unsigned i = 0; i < n_jobs;) {
		unsigned n = 0;

		for (; i < n_jobs && n < MAX_BATCH; i++)
			if (jobs[i].chosen)
				v[n++] = &jobs[i];
		if (!n)
			return;
		set_up(v, n);
		for (unsigned k = 0; k < n; k++)
			results[k] = try(v[k], k + 1);
		settle(v, results, n);
		remove_all();
	}
}

int main(int argc, char **argv)
{
	if (argc < 6)
		fail("usage: see the top of break-calls.c");
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	mnt = argv[1];
	snprintf(guests[0], sizeof(guests[0]), "%s/guests/g1", argv[1]);
	snprintf(guests[1], sizeof(guests[1]), "%s/guests/g2", argv[1]);
	snprintf(stage, sizeof(stage), "%s/.vunify/stage", argv[1]);
	vunify = (struct break_run){.said = argv[4], .vunify = argv + 5, .n_vunify = argc - 5};
	explore();
	choose((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
	try_all();
	printf("%u %u %u %u %u\n", n_kills, lost_kills, n_failures, lost_failures, missed);
	return lost_kills || lost_failures;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vunify clone, remove, export and import, killed, or with an error, at their system calls.
 *
 * usage: life kill|fail VUNIFY CASES SEED DIR COMMAND...
 *
 * DIR is a room (room.h). Its guests g1 to g3 are unified; g4 is a clone of g2, or comes from an archive of it, and is
 * removed; and g2 is exported. Which calls there are is found out by tracing undisturbed runs of the commands that are
 * named; each case disturbs one, looks at all guests, lets another run end the work (every other time a recovery before
 * it), and looks again. CASES is how many are tried besides those at each change behind each other kind of change (0:
 * all; -N: N, and none besides). VU_CASE=N: only that one, told in full.
 *
 * Prints a line for each case that lost something, and last "CASES LOST MISSED" as every-call does.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "errnos.h"
#include "fail.h"
#include "inject.h"
#include "room.h"

#define MAX_POINTS 20000
#define MAX_JOBS 200000
#define ALL "g1 g2 g3"

/* Beside the file system of the guests: that a disk is full there is another test's. */
#define ARCHIVE "../state/g2.tar"
#define EXPORTED "../state/new.tar"

static const struct command {
	const char *name, *line;
	const char *what; /* there behind it if it makes that; else gone */
	bool makes;
} commands[] = {
	{"clone", "clone g2 g4", "g4", true},
	{"remove", "remove -y g4", "g4", false},
	{"import", "import --setid " ARCHIVE " g4 --in .", "g4", true},
	{"export", "export g2 -o " EXPORTED, EXPORTED, true},
};

struct job {
	const struct command *command;
	struct point at;
	enum inject_mode mode;
	int err;
	bool chosen;
};

struct life {
	const char *vunify;
	bool errors;
	bool partly; /* the archive has not all: that is exit status 3, and told */
	/* Imported: of two equal objects it may have either; that it has one is another test's. */
	bool apart;
	struct room room;
	struct point points[MAX_POINTS];
	size_t n_points;
	struct job jobs[MAX_JOBS];
	size_t n_jobs;
	unsigned done, lost, missed;
};

/* ---- running ---- */

static void run(struct life *l, const char *line, struct inject *r)
{
	char config[300], catalog[300], words[200], *argv[20], *save = NULL, *w;
	int n = 0;

	snprintf(config, sizeof(config), "--config=%s/conf", l->room.state);
	snprintf(catalog, sizeof(catalog), "--catalog=%s/catalog", l->room.state);
	snprintf(words, sizeof(words), "%s", line);
	argv[n++] = (char *)(uintptr_t)l->vunify;
	argv[n++] = config;
	argv[n++] = catalog;
	argv[n++] = (char[]){"--quiet"};
	for (w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	argv[n] = NULL;
	r->dir = l->room.mnt;
	r->argv = argv;
	r->limit_s = 180;
	inject_run(r);
}

/* Undisturbed. Returns the exit status; -1: a signal ended it. */
static int plain(struct life *l, const char *line)
{
	struct inject r = {.mode = INJECT_NOTHING};
	int code;

	run(l, line, &r);
	code = WIFEXITED(r.status) ? WEXITSTATUS(r.status) : -1;
	if (code && l->room.wrong_to && code != 2)
		room_wrong(&l->room, "vunify %s: exit status %d: %s", line, code, r.err_text);
	inject_done(&r);
	return code;
}

static bool is_there(const struct life *l, const char *what)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", l->room.mnt, what);
	return !access(path, F_OK);
}

static void drop_exported(const struct life *l)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/" EXPORTED, l->room.mnt);
	if (unlink(path) && errno != ENOENT)
		fail("%s: %m", path);
}

/* g4 is as a run that was not disturbed leaves it, or has never been. */
static void set_up(struct life *l, const struct command *c)
{
	bool there = is_there(l, "g4");

	drop_exported(l);
	if (there)
		plain(l, "guests add g4"); /* one that is registered already is refused */
	if (there || c->makes)
		plain(l, "remove -y g4");
	if (!c->makes)
		plain(l, "clone g2 g4");
	if (is_there(l, c->what) == c->makes)
		fail("%s cannot begin", c->name);
}

static void start(struct life *l, const char *dir)
{
	room_make(&l->room, dir);
	if (plain(l, "scan " ALL) || plain(l, "export g2 -o " ARCHIVE))
		fail("the guests cannot be unified, or exported");
}

/* ---- looking ---- */

static size_t first_of(const struct snapshot *s, size_t i)
{
	size_t k = 0;

	while (s->v[k].ino != s->v[i].ino)
		k++;
	return k;
}

/* An archive that has its name is whole: the same bytes as the other one of the same guest. */
static void check_exported(struct life *l)
{
	char line[900];

	if (l->partly || !is_there(l, EXPORTED))
		return;
	snprintf(line, sizeof(line), "cmp -s %s/" ARCHIVE " %s/" EXPORTED, l->room.mnt,
		 l->room.mnt);
	if (system(line))
		room_wrong(&l->room, "the archive is not whole");
}

/* What is there under the name of the new guest is all of it. */
static void check_made(struct life *l)
{
	struct snapshot a, b;

	check_exported(l);
	if (!is_there(l, "g4"))
		return;
	snapshot_take_one(&l->room, "g2", &a);
	snapshot_take_one(&l->room, "g4", &b);
	if (a.n != b.n)
		room_wrong(&l->room, "half a guest: %zu names of %zu", b.n, a.n);
	for (size_t i = 0; i < a.n && a.n == b.n; i++) {
		const struct entry *x = &a.v[i], *y = &b.v[i];

		if (strcmp(x->path + 2, y->path + 2) != 0 || x->mode != y->mode ||
		    x->uid != y->uid || x->gid != y->gid || x->size != y->size ||
		    x->digest != y->digest || x->mtime_ns != y->mtime_ns ||
		    strcmp(x->xattrs, y->xattrs) != 0 || first_of(&a, i) != first_of(&b, i) ||
		    (!l->apart &&
		     (x->immutable != y->immutable || (x->immutable && x->ino != y->ino))))
			room_wrong(&l->room,
				   "%s is not as %s: flag %d and %d, inode %ju and %ju, link of "
				   "%zu and %zu, mtime %ju and %ju, xattrs %s and %s",
				   y->path, x->path, y->immutable, x->immutable, (uintmax_t)y->ino,
				   (uintmax_t)x->ino, first_of(&b, i), first_of(&a, i),
				   (uintmax_t)y->mtime_ns, (uintmax_t)x->mtime_ns, y->xattrs,
				   x->xattrs);
	}
	snapshot_done(&a);
	snapshot_done(&b);
}

static void check_others(struct life *l, unsigned may_be_open)
{
	struct snapshot s;

	snapshot_take(&l->room, &s);
	room_kept(&l->room, &s, ROOM_LINKS | ROOM_DIR_TIMES);
	room_wall(&l->room, &s, may_be_open);
	snapshot_done(&s);
}

static void check_said(struct life *l, const struct inject *r)
{
	const char *line = r->err_text;

	if (r->hung)
		room_wrong(&l->room, "it hung");
	if (l->errors && !WIFEXITED(r->status))
		room_wrong(&l->room, "ended by signal %d", WTERMSIG(r->status));
	if (l->errors && WIFEXITED(r->status) && WEXITSTATUS(r->status) > 13)
		room_wrong(&l->room, "exit status %d", WEXITSTATUS(r->status));
	if (l->errors && r->status && !*line)
		room_wrong(&l->room, "exit status %d, and nothing is told", WEXITSTATUS(r->status));
	while (*line) {
		const char *end = strchr(line, '\n');

		if (strncmp(line, "vunify: ", 8) != 0)
			room_wrong(&l->room, "a message of another form: %.200s", line);
		line = end ? end + 1 : "";
	}
}

/* ---- cases ---- */

static void keep_point(void *arg, const struct point *p)
{
	struct life *l = arg;

	if (l->n_points == MAX_POINTS)
		fail("more than %d places", MAX_POINTS);
	l->points[l->n_points++] = *p;
}

static void add(struct life *l, const struct command *c, const struct point *at,
		enum inject_mode mode, int err, bool chosen)
{
	if (l->n_jobs == MAX_JOBS)
		fail("more than %d cases", MAX_JOBS);
	l->jobs[l->n_jobs++] = (struct job){c, *at, mode, err, chosen};
}

/* The first at this call behind that change. */
static bool is_new(const struct life *l, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (call_equal(l->points[k].call, l->points[i].call) &&
		    call_equal(l->points[k].after, l->points[i].after))
			return false;
	return true;
}

static void add_place(struct life *l, const struct command *c, size_t i)
{
	const struct point *at = &l->points[i];
	bool new = is_new(l, i), changes = call_changes(at->call);
	const int *errs;

	if (!l->errors) {
		add(l, c, at, INJECT_KILL, 0, new &&changes);
		if (changes)
			add(l, c, at, INJECT_KILL_ALL, 0, new);
		return;
	}
	errs = at->in_main ? errnos_of(at->call) : NULL;
	for (; errs && *errs; errs++) {
		bool usual = *errs == EIO || *errs == ENOSPC;

		add(l, c, at, INJECT_FAIL, *errs, new &&changes &&usual);
		if (*errs != EINTR)
			add(l, c, at, INJECT_FAIL_EVER, *errs, new &&changes &&usual);
	}
}

static void explore(struct life *l, const struct command *c)
{
	struct inject r = {.mode = INJECT_TRACE, .seen = keep_point, .arg = l};

	set_up(l, c);
	l->n_points = 0;
	run(l, c->line, &r);
	if (r.status || is_there(l, c->what) != c->makes)
		fail("vunify %s: status %#x: %s", c->line, r.status, r.err_text);
	inject_done(&r);
	for (size_t i = 0; i < l->n_points; i++)
		add_place(l, c, i);
}

/* CASES more, evenly; or so many in the place of those that are. */
static void choose(struct life *l, int cases, unsigned seed)
{
	uint64_t h = seed + UINT64_C(1), n = (uint64_t)(cases < 0 ? -cases : cases), always = 0;

	for (size_t i = 0; i < l->n_jobs; i++)
		always += l->jobs[i].chosen;
	for (size_t i = 0; i < l->n_jobs; i++) {
		h = h * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		if (cases < 0)
			l->jobs[i].chosen = l->jobs[i].chosen && (h >> 33) % always < n;
		else if (!cases || (h >> 33) % l->n_jobs < n)
			l->jobs[i].chosen = true;
	}
}

static void end_it(struct life *l, const struct job *j, size_t number)
{
	if (number % 2)
		plain(l, "recover " ALL);
	if (is_there(l, j->command->what) != j->command->makes || !j->command->makes || l->partly)
		plain(l, j->command->line);
	l->partly = false;
	if (is_there(l, j->command->what) != j->command->makes)
		room_wrong(&l->room, "the run behind it did not end the work");
	check_made(l);
	check_others(l, 0);
	room_pool(&l->room);
}

static void try(struct life *l, const char *dir, size_t number, bool told)
{
	const struct job *j = &l->jobs[number];
	struct inject r = {.mode = j->mode, .at = j->at, .err = j->err};
	char *wrong;

	set_up(l, j->command);
	room_begin(&l->room);
	run(l, j->command->line, &r);
	l->partly = !strcmp(j->command->name, "export") && WIFEXITED(r.status) &&
		    WEXITSTATUS(r.status) == 3;
	/* and where an object can have no further name, or is open for writing, clone makes a copy */
	l->apart =
		!strcmp(j->command->name, "import") ||
		(j->at.call.nr == SYS_linkat && (j->err == EMLINK || j->err == EXDEV)) ||
		(j->at.call.nr == SYS_fcntl && j->at.call.kind == F_SETLEASE && j->err == EAGAIN);
	check_said(l, &r);
	check_made(l);
	check_others(l, j->mode == INJECT_KILL_ALL || l->errors);
	if (!r.status && is_there(l, j->command->what) != j->command->makes)
		room_wrong(&l->room, "exit status 0, but it is not done");
	end_it(l, j, number);
	wrong = room_end(&l->room);
	l->done++;
	l->missed += !r.hit;
	l->lost += wrong != NULL;
	if (wrong || told)
		printf("# case %zu: %s: %s %s at %s %u of thread %u\n%s%s-- stderr --\n%.1500s\n",
		       number, j->command->name,
		       j->mode == INJECT_KILL	     ? "kill"
		       : j->mode == INJECT_KILL_ALL  ? "kill all"
		       : j->mode == INJECT_FAIL_EVER ? "fail ever"
						     : "fail",
		       j->err ? errnos_name(j->err) : "", call_name(j->at.call), j->at.n,
		       j->at.thread, wrong ? wrong : "", r.hit ? "" : "the call never came\n",
		       r.err_text);
	if (wrong)
		start(l, dir);
	free(wrong);
	inject_done(&r);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	fail("there is no command %s here", name);
}

static int work(struct life *l, const char *dir, int cases, unsigned seed, char **names)
{
	const char *only = getenv("VU_CASE");

	start(l, dir);
	for (; *names; names++)
		explore(l, find_command(*names));
	choose(l, cases, seed);
	for (size_t i = 0; i < l->n_jobs && l->lost < 100; i++)
		if (only ? i == strtoul(only, NULL, 10) : l->jobs[i].chosen)
			try(l, dir, i, only);
	printf("%u %u %u\n", l->done, l->lost, l->missed);
	fflush(NULL);
	return l->lost != 0;
}

/* The first of a PID namespace of its own: what vunify sees of others is always the same. */
int main(int argc, char **argv)
{
	struct life *l = calloc(1, sizeof(*l));
	int status;
	pid_t pid;

	if (!l || argc < 7 || (strcmp(argv[1], "kill") != 0 && strcmp(argv[1], "fail") != 0))
		fail("usage: life kill|fail VUNIFY CASES SEED DIR COMMAND...");
	setvbuf(stdout, NULL, _IOLBF, 0);
	l->errors = !strcmp(argv[1], "fail");
	l->vunify = argv[2];
	if (unshare(CLONE_NEWNS | CLONE_NEWPID) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		fail("a namespace of its own: %m");
	inject_leave_mounts(argv[5], l->vunify);
	pid = fork();
	if (!pid) {
		if (mount("proc", "/proc", "proc", 0, NULL))
			fail("/proc: %m");
		_exit(work(l, argv[5], atoi(argv[3]), (unsigned)strtoul(argv[4], NULL, 10),
			   argv + 6));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		fail("fork: %m");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 70;
}

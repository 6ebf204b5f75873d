/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile guests, while vunify works: what was acknowledged to them is where it was made, and nowhere
 * else.
 *
 * usage: race make BOARD KEY=VALUE...    makes guests and the record of them, BOARD
 *        race run BOARD [KEY=VALUE...]   lets processes in the guests do what they do, for `seconds`
 *                                        or until something is to be read from stdin
 *        race guest - N                  the processes of a guest, from 0, in its root, with the record
 *                                        as stdin; while `race run` runs (supervised=1)
 *        race check BOARD                compares all files with the record
 *        race stop BOARD                 all processes end
 *        race stat BOARD                 what was done and found so far
 *        race append FILE STAMP
 *        race hold-open FILE | hold-mmap FILE | hold-append FILE
 *
 * make: top=DIR           where g1, g2 .. are made       guests=N quiet=N  the last ones do nothing
 *       workers=N         processes of each guest, of which each does everything
 *       attackers=N       processes of each guest that only attack
 *       dirs=N files=N    of each process              contents=N  different ones in a guest
 *       canary=DIR        an empty directory outside, which gets files that look like a guest's
 *       modes=a,b,..      of mode_names in race-record.c; all (default) are those of any guest,
 *                         supervised those of one under vunify run
 *       supervised=1      run starts no process of a guest
 *       hang=N            seconds after which one of such a guest's operations hangs (5)
 *       patience=N        seconds after which bytes of another guest are there for good (30)
 * run:  seconds=N         cgroup=DIR  each guest's processes go to DIR/gN (cgroup v2)
 *
 * run prints a line "KEY VALUE" for each count; "mode NAME ACKED REFUSED" for each mode. It exits with
 * 1 if anything was lost, has leaked or escaped. Times of open() are those of all that wait for leases;
 * "trunc" are those that truncate: they also wait until what is being written is on the disk (XFS).
 * "net" is without the time in which the process could have run and did not get a processor. stall_us
 * is the longest time that another process did not get one which wanted to run every millisecond.
 *
 * hold-*: opens FILE for writing (mmap: maps it shared-writable and closes it), prints "ready", waits
 * for a line, writes "later" to it, prints "written", waits for the end of stdin.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "race-guest.h"
#include "race-proc.h"

/* ---- a worker ---- */

static bool is_on(const struct board *b, enum mode m)
{
	return b->modes >> m & 1;
}

/* A file that can be reached. */
static bool some_file(struct proc *p, struct at *a)
{
	unsigned dir = dice(p, p->b->n_dirs);

	for (unsigned i = 0; i < p->b->n_dirs; i++, dir = (dir + 1) % p->b->n_dirs)
		if (!p->b->dirs[p->guest][p->proc][dir].covered) {
			at_file(p, dir, dice(p, p->b->n_files), a);
			return true;
		}
	return false;
}

static enum mode some_mode(struct proc *p, enum mode first, enum mode last)
{
	for (unsigned i = 0; i < 256; i++) {
		enum mode m = first + dice(p, last - first + 1);

		if (is_on(p->b, m))
			return m;
	}
	return N_MODES;
}

static void act(struct proc *p)
{
	enum mode m = some_mode(p, M_WRITE, M_DIE);
	struct at a;

	if (dice(p, 64) == 0) {
		enum mode d = some_mode(p, M_DIR_RENAME, M_DIR_BIND);

		if (d != N_MODES)
			act_dir(p, dice(p, p->b->n_dirs), d);
	}
	if (!some_file(p, &a))
		return;
	/* here as well as at the end: the next change would hide what is wrong */
	if (!check_file(p->b, p->n, "", p->guest, p->proc, a.dir, a.file))
		return;
	if (!a.r->exists)
		m = M_UNLINK;
	else if (m == N_MODES || (dice(p, 2) && !is_held(p, a.dir, a.file) &&
				  !is_original(p->b, a.r, p->proc, a.dir, a.file)))
		m = M_RESTORE;
	begin_op(p, m);
	if (m == M_RESTORE)
		restore(p, &a);
	else if (m <= M_URING)
		act_write(p, &a, m);
	else if (m <= M_XATTR)
		act_meta(p, &a, m);
	else if (m <= M_LINK)
		act_name(p, &a, m);
	else
		act_odd(p, &a, m);
	end_op(p);
}

/*
 * Half of the time as fast as it goes, which is for the moments in which an object has no flag; and
 * half of the time so slowly that a file stays as it is from when vunify reads it until it links it,
 * or not quite.
 */
static void work(struct proc *p)
{
	for (unsigned i = 0; !p->b->stop && !p->b->failed; i++) {
		act(p);
		if (clock_ns() / 500000000 % 2)
			nap_us(dice(p, 10000));
		else if (i % 16 == 0)
			nap_us(500);
		if (dice(p, 64) == 0)
			let_go_of(p, UINT32_MAX, 0);
	}
}

/* ---- the processes ---- */

static void be_process(struct board *b, unsigned guest, unsigned proc, const char *cgroup)
{
	struct proc p = {
		.b = b,
		.guest = guest,
		.proc = proc,
		.n = &b->counters[guest][proc],
		.seed = guest * 100 + proc + (unsigned)clock_ns(),
	};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (enum mode m = 0; m < N_MODES; m++)
		p.serial += p.n->acked[m] + p.n->refused[m];
	p.serial *= 2; /* of an earlier run: none is used twice */
	if (is_on(b, M_URING))
		p.ring = uring_new();
	if (b->supervised)
		be_in_guest(&p);
	else
		enter_guest(&p, cgroup);
	if (proc < b->n_procs - b->n_attackers) {
		work(&p);
		dirs_back(&p);
		let_go_of(&p, UINT32_MAX, 0);
	} else {
		attack(&p);
	}
	exit(0);
}

static void be_watcher(struct board *b)
{
	struct proc p = {.b = b, .n = &b->counters[b->n_guests - 1][b->n_procs], .seed = 7};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	watch(&p);
	exit(0);
}

static void start_guest(struct board *b, unsigned guest, const char *cgroup)
{
	for (unsigned i = 0; i < b->n_procs; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid)
			be_process(b, guest, i, cgroup);
	}
}

static void start_supervised(struct board *b, unsigned guest)
{
	start_guest(b, guest, NULL);
}

static void start_all(struct board *b, const char *cgroup)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid)
		be_watcher(b);
	for (unsigned g = 0; !b->supervised && g < b->n_guests - b->n_quiet; g++)
		start_guest(b, g, cgroup);
}

/* ---- the report ---- */

static void add_up(const struct board *b, struct counters *t)
{
	*t = (struct counters){0};
	for (unsigned i = 0; i < GUESTS_MAX * (PROCS_MAX + 1); i++) {
		const struct counters *n = &b->counters[i / (PROCS_MAX + 1)][i % (PROCS_MAX + 1)];

		for (enum mode m = 0; m < N_MODES; m++) {
			t->acked[m] += n->acked[m];
			t->refused[m] += n->refused[m];
		}
		t->undone += n->undone;
		t->parted += n->parted;
		t->late += n->late;
		t->lost += n->lost;
		t->leaked += n->leaked;
		t->seen += n->seen;
		t->seen_xattr += n->seen_xattr;
		t->escapes += n->escapes;
		t->opens += n->opens;
		t->over += n->over;
		t->over_net += n->over_net;
		if (n->longest_ns > t->longest_ns)
			t->longest_ns = n->longest_ns;
		if (n->block_ns > t->block_ns)
			t->block_ns = n->block_ns;
		if (n->trunc_ns > t->trunc_ns)
			t->trunc_ns = n->trunc_ns;
		if (n->block_net_ns > t->block_net_ns)
			t->block_net_ns = n->block_net_ns;
	}
}

static int report(const struct board *b)
{
	struct counters t;
	uint64_t acked = 0, refused = 0;

	add_up(b, &t);
	for (enum mode m = 0; m < N_MODES; m++) {
		acked += t.acked[m];
		refused += t.refused[m];
		if (t.acked[m] + t.refused[m])
			printf("mode %s %llu %llu\n", mode_names[m], (unsigned long long)t.acked[m],
			       (unsigned long long)t.refused[m]);
	}
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{"acked", acked},
		{"refused", refused},
		{"undone", t.undone},
		{"parted", t.parted},
		{"late", t.late},
		{"lost", t.lost},
		{"leaked", t.leaked},
		{"seen", t.seen},
		{"seen_xattr", t.seen_xattr},
		{"escapes", t.escapes},
		{"opens", t.opens},
		{"block_us", t.block_ns / 1000},
		{"block_net_us", t.block_net_ns / 1000},
		{"trunc_net_us", t.trunc_ns / 1000},
		{"over_100_ms", t.over},
		{"over_100_ms_net", t.over_net},
		{"stall_us", b->stall_ns / 1000},
		{"longest_us", t.longest_ns / 1000},
		{"hangs", b->hangs},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		printf("%s %llu\n", rows[i].key, (unsigned long long)rows[i].value);
	return t.lost || t.leaked || t.escapes || b->hangs;
}

/* ---- commands ---- */

static const char *value_of(int argc, char **argv, const char *key, const char *otherwise)
{
	size_t len = strlen(key);

	for (int i = 3; i < argc; i++)
		if (!strncmp(argv[i], key, len) && argv[i][len] == '=')
			return argv[i] + len + 1;
	return otherwise;
}

static unsigned number_of(int argc, char **argv, const char *key, const char *otherwise)
{
	return (unsigned)strtoul(value_of(argc, argv, key, otherwise), NULL, 10);
}

/* Of those that are made for a supervisor. */
static const uint32_t odd_modes =
	1U << M_PROCFD | 1U << M_STRING | 1U << M_THREADS | 1U << M_EXEC | 1U << M_DIE;

static uint32_t parse_modes(const char *text)
{
	char *copy = strdup(text), *save = NULL;
	uint32_t modes = 0;

	if (!strcmp(text, "all"))
		return ~odd_modes;
	/* there is no root of the host to mount from, and no ring */
	if (!strcmp(text, "supervised"))
		return ~(1U << M_DIR_BIND | 1U << M_URING);
	for (char *t = strtok_r(copy, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
		unsigned m = 0;

		while (m < N_MODES && strcmp(mode_names[m], t))
			m++;
		if (m == N_MODES) {
			fprintf(stderr, "race: there is no mode %s\n", t);
			exit(2);
		}
		modes |= UINT32_C(1) << m;
	}
	free(copy);
	return modes;
}

static int make(int argc, char **argv)
{
	static struct board b;

	b.n_guests = number_of(argc, argv, "guests", "4");
	b.n_quiet = number_of(argc, argv, "quiet", "1");
	b.n_attackers = number_of(argc, argv, "attackers", "1");
	b.n_procs = number_of(argc, argv, "workers", "2") + b.n_attackers;
	b.n_dirs = number_of(argc, argv, "dirs", "4");
	b.n_files = number_of(argc, argv, "files", "60");
	b.n_contents = number_of(argc, argv, "contents", "200");
	b.patience_s = number_of(argc, argv, "patience", "30");
	b.supervised = number_of(argc, argv, "supervised", "0");
	b.hang_s = number_of(argc, argv, "hang", "5");
	b.modes = parse_modes(value_of(argc, argv, "modes", "all"));
	snprintf(b.top, sizeof(b.top), "%s", value_of(argc, argv, "top", ""));
	snprintf(b.canary, sizeof(b.canary), "%s", value_of(argc, argv, "canary", ""));
	if (!b.n_guests || b.n_guests > GUESTS_MAX || b.n_quiet >= b.n_guests || !b.n_procs ||
	    b.n_procs > PROCS_MAX || !b.n_dirs || b.n_dirs > 16 || !b.n_files || !b.n_contents ||
	    b.top[0] != '/') {
		fputs("race: see the top of race.c for what can be made\n", stderr);
		return 2;
	}
	board_make_guests(board_open(argv[2], &b));
	return 0;
}

static int run(int argc, char **argv)
{
	struct board *b = board_open(argv[2], NULL);
	uint64_t end = clock_ns() + number_of(argc, argv, "seconds", "60") * UINT64_C(1000000000);
	struct pollfd in = {.fd = 0, .events = POLLIN};
	int rc = 0, status;

	b->stop = b->failed = 0;
	start_all(b, value_of(argc, argv, "cgroup", NULL));
	puts("ready");
	fflush(stdout);
	while (!b->failed && clock_ns() < end) {
		uint64_t from = clock_ns();

		if (poll(&in, 1, 1) > 0)
			break;
		uint64_t took = clock_ns() - from;

		if (took > b->stall_ns)
			b->stall_ns = took;
		if (b->supervised)
			look_for_hangs(b);
	}
	b->stop = 1;
	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			fprintf(stderr, "race: a process ended with status %#x\n", status);
			rc = 1;
		}
	if (!guests_ended(b))
		rc = 1;
	if (!rc && !b->failed && !check_all(b))
		rc = 1;
	return report(b) || b->failed || rc;
}

static int hold(const char *how, const char *path)
{
	int flags = strcmp(how, "hold-append") ? O_RDWR : O_WRONLY | O_APPEND;
	int fd = open(path, flags | O_CLOEXEC);
	char *map = NULL;

	if (fd < 0)
		die(path);
	if (!strcmp(how, "hold-mmap")) {
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			die("mmap");
		close(fd);
	}
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		return 0;
	if (map)
		memcpy(map, "later", 5);
	else if (write(fd, "later", 5) != 5)
		die("write");
	puts("written");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "make"))
		return make(argc, argv);
	if (argc >= 3 && !strcmp(argv[1], "run"))
		return run(argc, argv);
	if (argc == 4 && !strcmp(argv[1], "guest"))
		return guest_run(board_open(argv[2], NULL), (unsigned)atoi(argv[3]),
				 start_supervised);
	if (argc == 4 && !strcmp(argv[1], "append"))
		return append_to(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "check"))
		return !check_all(board_open(argv[2], NULL));
	if (argc == 3 && !strcmp(argv[1], "stop"))
		return board_open(argv[2], NULL)->stop = 1, 0;
	if (argc == 3 && !strcmp(argv[1], "stat"))
		return report(board_open(argv[2], NULL));
	if (argc == 3 && !strncmp(argv[1], "hold-", 5))
		return hold(argv[1], argv[2]);
	fputs("usage: see the top of race.c\n", stderr);
	return 2;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kills vunify's processes again and again while guests write, and looks at what is left.
 *
 *   kill-processes MOUNT KILLS SEED CGROUP VUNIFY ARG...
 *
 * Makes guests MOUNT/guests/g1 to g3 with equal files, a writer in each, and runs VUNIFY ARG... scan and
 * unmerge in turn. Each run is killed once: at a random instant, or (traced) when it enters a random
 * one of the system calls of a moment; the worker, its guardian, the front, two of them, or (with a
 * CGROUP) all. With a
 * CGROUP (a directory of cgroup2; "-": none) the writers are processes of their guests, in cgroups of
 * their own, and change metadata too.
 *
 * After each kill, unless all three were killed: every object of the pool has its flag. Always: nobody
 * is frozen; and every file is what its writer was told, in content (and metadata), with no trace of
 * what was written to another guest's. Prints, as its last line,
 *
 *   kills N phases N unflagged N frozen N lost N leaked N meta N closed-max-ms N blocked-max-ms N
 *   writes N refused N frozen-max-ms N
 *
 * With no KILLS, scan and unmerge take turns for VU_SECONDS, and it is looked how long a guest is frozen.
 *
 * where "closed" is from the kill of a worker until all flags are set and all guests run. Exits with 1 if anything was wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define GUESTS 3
#define FILES 24
#define BYTES 4096

/* What a guest was told of its file; written by its one writer, read while that one rests. */
struct told {
	uint64_t stamp;
	uint32_t mode, uid;
	int64_t mtime;
	char xattr; /* 0: none */
};

#define MODE 0644
#define MTIME 1600000000

static struct shared {
	_Atomic bool rest, end;
	_Atomic unsigned resting;
	_Atomic uint64_t blocked_max_ns, frozen_max_ns, writes, refused;
	struct told told[GUESTS][FILES];
} * shared;

static const char *mnt, *cgroup;
static char *const *vunify_args;
static int n_vunify_args;
static unsigned n_phases, n_unflagged, n_frozen, n_lost, n_leaked, n_meta, n_kills;
static uint64_t closed_max_ns;
static uint64_t rng;
static pid_t writers[GUESTS];
static unsigned killed; /* enum who; of the last kill */

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void nap_us(unsigned us)
{
	nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000L}, NULL);
}

static unsigned dice(unsigned n)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((rng >> 33) % n);
}

static void file_path(char *path, size_t size, int g, int i)
{
	snprintf(path, size, "%s/guests/g%d/usr/f%d", mnt, g + 1, i);
}

/* Equal in all guests while the stamp is 0. */
static void fill(char *buf, int i, uint64_t stamp)
{
	for (int k = 0; k < BYTES; k++)
		buf[k] = (char)(i * 31 + k % 61);
	memcpy(buf, &stamp, sizeof(stamp));
}

/* ---- writers ---- */

static void opened(uint64_t since)
{
	uint64_t ns = now_ns() - since, max = atomic_load(&shared->blocked_max_ns);

	while (ns > max && !atomic_compare_exchange_weak(&shared->blocked_max_ns, &max, ns))
		;
}

static int set_mtime(int fd, int64_t seconds)
{
	return futimens(fd, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds}});
}

static int set_xattr(int fd, char value)
{
	if (value)
		return fsetxattr(fd, "user.vu", &value, 1, 0);
	return fremovexattr(fd, "user.vu") && errno != ENODATA ? -1 : 0;
}

static void write_in_place(const char *path, struct told *t, uint64_t stamp)
{
	uint64_t since = now_ns();
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	opened(since);
	if (fd < 0) {
		atomic_fetch_add(&shared->refused, 1);
		return;
	}
	/* mostly only tries, or nothing would ever be equal long enough to be unified */
	bool writes = dice(t->stamp ? 2 : 24) == 0;

	if (writes && pwrite(fd, &stamp, sizeof(stamp), 0) == sizeof(stamp)) {
		if (set_mtime(fd, t->mtime))
			die("futimens of a file that is open for writing");
		t->stamp = stamp;
		atomic_fetch_add(&shared->writes, 1);
	}
	close(fd);
}

static void replace(const char *path, struct told *t, int i, uint64_t stamp)
{
	char tmp[300], buf[BYTES];

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	unlink(tmp);
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);

	if (fd < 0)
		return;
	fill(buf, i, stamp);
	if (write(fd, buf, BYTES) == BYTES && !fchown(fd, t->uid, 0) && !fchmod(fd, t->mode) &&
	    !set_xattr(fd, t->xattr) && !set_mtime(fd, t->mtime) && !rename(tmp, path)) {
		t->stamp = stamp;
		atomic_fetch_add(&shared->writes, 1);
	}
	close(fd);
}

/* By a descriptor for reading: metadata can be changed through it, and no lease is asked. */
static void change_metadata(const char *path, struct told *t)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = -1;
	struct told to = *t;

	if (fd < 0)
		return;
	switch (dice(4)) {
	case 0:
		to.mode = t->mode == MODE && !dice(4) ? 0600 : MODE;
		r = fchmod(fd, to.mode);
		break;
	case 1:
		to.uid = !t->uid && !dice(4) ? 7 : 0;
		r = fchown(fd, to.uid, (gid_t)-1);
		break;
	case 2:
		to.mtime = t->mtime == MTIME && !dice(4) ? MTIME + 100 : MTIME;
		r = set_mtime(fd, to.mtime);
		break;
	case 3:
		to.xattr = !t->xattr && !dice(4) ? 'x' : 0;
		r = set_xattr(fd, to.xattr);
		break;
	}
	close(fd);
	if (!r)
		*t = to;
	atomic_fetch_add(r ? &shared->refused : &shared->writes, 1);
}

static void join_guest(int g)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/g%d/cgroup.procs", cgroup, g + 1);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) != 1)
		die(path);
	close(fd);
	snprintf(path, sizeof(path), "%s/guests/g%d", mnt, g + 1);
	if (chroot(path) || chdir("/"))
		die(path);
}

static _Noreturn void writer(int g)
{
	uint64_t stamp = ((uint64_t)g + 1) << 56;
	char path[300];

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	rng += (uint64_t)g * 77777;
	if (*cgroup != '-')
		join_guest(g);
	while (!atomic_load(&shared->end)) {
		int i = (int)dice(FILES);
		struct told *t = &shared->told[g][i];

		if (atomic_load(&shared->rest)) {
			atomic_fetch_add(&shared->resting, 1);
			while (atomic_load(&shared->rest))
				nap_us(100);
			atomic_fetch_sub(&shared->resting, 1);
		}
		if (*cgroup != '-')
			snprintf(path, sizeof(path), "/usr/f%d", i);
		else
			file_path(path, sizeof(path), g, i);
		/* one that was changed is made equal to the others again */
		uint64_t next = t->stamp ? 0 : ++stamp;

		switch (dice(*cgroup != '-' ? 330 : 300)) {
		case 0:
			replace(path, t, i, next);
			break;
		case 300 ... 329:
			change_metadata(path, t);
			break;
		default:
			write_in_place(path, t, next);
			break;
		}
		nap_us(dice(300));
	}
	_exit(0);
}

/* ---- what is left ---- */

static void rest(bool on)
{
	atomic_store(&shared->rest, on);
	while (atomic_load(&shared->resting) != (on ? GUESTS : 0))
		nap_us(50);
}

static void say(const char *what, const char *path)
{
	fprintf(stderr, "%s: %s (kill %u of %u)\n", what, path, n_kills, killed);
}

static void check_file(int g, int i)
{
	const struct told *t = &shared->told[g][i];
	char path[300], buf[BYTES], want[BYTES];
	struct stat st;
	uint64_t stamp;
	char xattr;

	file_path(path, sizeof(path), g, i);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, buf, BYTES) != BYTES || fstat(fd, &st)) {
		n_lost++;
		say("gone", path);
		if (fd >= 0)
			close(fd);
		return;
	}
	if (fgetxattr(fd, "user.vu", &xattr, 1) != 1)
		xattr = 0;
	close(fd);
	memcpy(&stamp, buf, sizeof(stamp));
	fill(want, i, stamp);
	if (stamp != t->stamp || memcmp(buf, want, BYTES)) {
		bool foreign = stamp >> 56 && stamp >> 56 != (uint64_t)g + 1;

		*(foreign ? &n_leaked : &n_lost) += 1;
		fprintf(stderr, "%s: %s: %llx, told was %llx (kill %u)\n",
			foreign ? "leaked" : "lost", path, (unsigned long long)stamp,
			(unsigned long long)t->stamp, n_kills);
	}
	if ((st.st_mode & 07777) != t->mode || st.st_uid != t->uid || st.st_mtime != t->mtime ||
	    xattr != t->xattr) {
		n_meta++;
		fprintf(stderr, "%s: %o %u %lld %d, told was %o %u %lld %d (kill %u of %u)\n", path,
			st.st_mode & 07777, st.st_uid, (long long)st.st_mtime, xattr, t->mode,
			t->uid, (long long)t->mtime, t->xattr, n_kills, killed);
	}
}

/* Objects without their flag. */
static unsigned look_at_shard(const char *shard, bool tell)
{
	unsigned n = 0;
	char path[600];
	DIR *d = opendir(shard);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		int flags = 0;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%.300s/%.255s", shard, e->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd >= 0 && !ioctl(fd, FS_IOC_GETFLAGS, &flags) && !(flags & FS_IMMUTABLE_FL)) {
			n++;
			if (tell)
				say("without its flag", path);
		}
		if (fd >= 0)
			close(fd);
	}
	if (d)
		closedir(d);
	return n;
}

static unsigned unflagged(bool tell)
{
	unsigned n = 0;
	char path[600], objects[300];
	struct dirent *e;

	snprintf(objects, sizeof(objects), "%s/.vunify/objects", mnt);
	DIR *d = opendir(objects);

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%.10s", objects, e->d_name);
		n += look_at_shard(path, tell);
	}
	if (d)
		closedir(d);
	return n;
}

/* Guests that are frozen; told ones are thawed. */
static unsigned frozen(bool tell)
{
	unsigned n = 0;

	char path[300], text[8] = "";

	for (int g = 0; *cgroup != '-' && g < GUESTS; g++) {
		snprintf(path, sizeof(path), "%s/g%d/cgroup.freeze", cgroup, g + 1);
		int fd = open(path, O_RDWR | O_CLOEXEC);

		if (fd < 0 || read(fd, text, sizeof(text)) <= 0)
			die(path);
		if (text[0] != '0') {
			n++;
			if (tell)
				say("frozen", path);
			if (tell && write(fd, "0", 1) != 1)
				die(path);
		}
		close(fd);
	}
	return n;
}

/* With none of its processes left. */
static void check_closed(void)
{
	n_unflagged += unflagged(true);
	n_frozen += frozen(true);
}

/* The worker was killed (and may be traced still): how long is it until everything is closed? */
static void time_closing(uint64_t since)
{
	uint64_t ns;

	do {
		/* threads that are traced are dead when their tracer has heard of it */
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		ns = now_ns() - since;
	} while ((unflagged(false) || frozen(false)) && ns < 5000000000 && (nap_us(100), true));
	if (ns > closed_max_ns)
		closed_max_ns = ns;
}

static void check(void)
{
	rest(true);
	for (int g = 0; g < GUESTS; g++)
		for (int i = 0; i < FILES; i++)
			check_file(g, i);
	rest(false);
}

/* ---- vunify and its processes ---- */

enum who {
	FRONT = 1,
	GUARDIAN = 2,
	WORKER = 4
};

static pid_t child_of(pid_t pid)
{
	char path[64], text[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return (pid_t)atoi(text);
}

static pid_t start(const char *verb)
{
	char *args[64];
	int n = 0;
	char g[GUESTS][300];

	for (; n < n_vunify_args && n < 40; n++)
		args[n] = vunify_args[n];
	args[n++] = (char *)(uintptr_t)verb;
	for (int i = 0; i < GUESTS; i++) {
		snprintf(g[i], sizeof(g[i]), "%s/guests/g%d", mnt, i + 1);
		args[n++] = g[i];
	}
	args[n] = NULL;
	pid_t pid = fork();

	if (pid)
		return pid;
	setpgid(0, 0);
	int fd = open("vunify-said", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	dup2(fd, 1);
	dup2(fd, 2);
	execv(args[0], args);
	_exit(127);
}

/* Its processes, once all are there. False when it has ended before. */
static bool find_all(pid_t front, pid_t *guardian, pid_t *worker)
{
	for (int i = 0; i < 20000; i++) {
		siginfo_t info = {0};

		*guardian = child_of(front);
		*worker = *guardian ? child_of(*guardian) : 0;
		if (*worker)
			return true;
		if (!waitid(P_PID, (id_t)front, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid)
			return false;
		nap_us(50);
	}
	return false;
}

/* Children of this process, zombies too. */
static int n_children(void)
{
	char path[64], text[512] = "";
	int n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		die(path);
	close(fd);
	for (char *c = strtok(text, " \n"); c; c = strtok(NULL, " \n"))
		n++;
	return n;
}

/* It may have done all it had to before it could be killed. */
static bool is_running(pid_t pid)
{
	char path[64], text[512] = "", *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	if (fd >= 0)
		close(fd);
	p = strrchr(text, ')');
	return p && p[1] && p[2] != 'Z' && p[2] != 'X';
}

/* Waits for the end of all but the writers: orphans come here. */
static void reap_all(void)
{
	int status;

	while (n_children() > GUESTS) {
		pid_t p = waitpid(-1, &status, __WALL);

		for (int g = 0; g < GUESTS; g++)
			if (p == writers[g])
				die("a writer died");
		if (p > 0 && WIFSTOPPED(status))
			ptrace(PTRACE_CONT, p, NULL, NULL);
	}
}

static void kill_them(unsigned who, pid_t front, pid_t guardian, pid_t worker)
{
	if (who & GUARDIAN)
		kill(guardian, SIGKILL);
	if (who & FRONT)
		kill(front, SIGKILL);
	if (who & WORKER)
		kill(worker, SIGKILL);
}

/* ---- at a system call ---- */

static bool is_step(const struct __ptrace_syscall_info *s)
{
	if (s->op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	switch (s->entry.nr) {
	case SYS_linkat:
	case SYS_renameat2:
	case SYS_unlinkat:
		return true;
	case SYS_ioctl:
		return s->entry.args[1] == FS_IOC_SETFLAGS;
	case SYS_fcntl:
		return s->entry.args[1] == F_SETLEASE || s->entry.args[1] == F_GETLEASE;
	case SYS_write: /* of the freezer, and to the journal */
		return true;
	}
	return false;
}

static bool attach(pid_t worker)
{
	return !ptrace(PTRACE_SEIZE, worker, NULL,
		       (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE)) &&
	       !ptrace(PTRACE_INTERRUPT, worker, NULL, NULL);
}

/*
 * Lets the worker, which is traced, run until it enters its n-th such call (0: to its end). Returns how
 * many it entered; ret_stopped is the thread that was stopped in one, or 0.
 */
static unsigned run_to(pid_t worker, unsigned n, pid_t *ret_stopped)
{
	unsigned seen = 0;
	int status;

	*ret_stopped = 0;
	for (;;) {
		pid_t t = waitpid(-1, &status, __WALL);
		int sig = 0;

		if (t < 0)
			return seen;
		if (!WIFSTOPPED(status)) {
			if (t == worker)
				return seen;
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			struct __ptrace_syscall_info s = {0};

			seen += ptrace(PTRACE_GET_SYSCALL_INFO, t, (void *)sizeof(s), &s) > 0 &&
				is_step(&s);
			if (n && seen == n) {
				*ret_stopped = t;
				return seen;
			}
		} else if (!(status >> 16) && WSTOPSIG(status) != SIGTRAP) {
			sig = WSTOPSIG(status);
		}
		ptrace(PTRACE_SYSCALL, t, NULL, (void *)(intptr_t)sig);
	}
}

/* ---- the loop ---- */

static const unsigned whom[] = {
	WORKER,		WORKER,	  WORKER, WORKER | GUARDIAN,	     WORKER | GUARDIAN,
	WORKER | FRONT, GUARDIAN, FRONT,  WORKER | GUARDIAN | FRONT, /* the last */
};
#define ALL (WORKER | GUARDIAN | FRONT)

struct verb {
	const char *name;
	unsigned steps; /* of an undisturbed run, about */
	uint64_t ns;	/* its length, about */
};

static void start_all(const struct verb *v, pid_t *front, pid_t *guardian, pid_t *worker)
{
	/* on a busy machine it may have ended before it was looked at */
	for (int i = 0; i < 100; i++) {
		*front = start(v->name);
		if (find_all(*front, guardian, worker))
			return;
		reap_all();
	}
	fprintf(stderr, "%s: no processes of it were found\n", v->name);
	exit(2);
}

static void look_at(struct verb *v)
{
	pid_t front, guardian, worker, stopped;
	uint64_t since = now_ns();

	start_all(v, &front, &guardian, &worker);
	if (v->ns) {
		if (attach(worker))
			v->steps = run_to(worker, 0, &stopped);
		reap_all();
	} else {
		reap_all();
		v->ns = now_ns() - since;
	}
}

/* One more run: it has to be done with everything that the kill left. */
static void run_once(const char *verb)
{
	int status;
	pid_t pid = start(verb);

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3)) {
		fprintf(stderr, "%s after kill %u: status %x\n", verb, n_kills, status);
		n_lost++;
	}
	check_closed();
	check();
}

static void kill_one(const struct verb *v)
{
	/* guests that are not frozen can write to an object when nobody is left to set its flag */
	unsigned n_whom = sizeof(whom) / sizeof(whom[0]) - (*cgroup == '-');
	unsigned who = whom[dice(n_whom)];
	pid_t front, guardian, worker, stopped = 0;
	bool phase = dice(2);

	start_all(v, &front, &guardian, &worker);
	phase = phase && attach(worker);
	if (phase)
		run_to(worker, 1 + dice(v->steps), &stopped);
	else
		nap_us(dice((unsigned)(v->ns / 1000)));
	uint64_t since = now_ns();
	killed = who;
	bool hit = phase ? stopped != 0 : is_running(worker);

	kill_them(who, front, guardian, worker);
	if (stopped && !(who & WORKER)) {
		ptrace(PTRACE_SYSCALL, stopped, NULL, NULL);
		run_to(worker, 0, &stopped);
	} else if (who & WORKER && who != ALL)
		time_closing(since);
	reap_all();
	n_kills += hit;
	n_phases += hit && phase;
	if (who != ALL) {
		check_closed();
	} else {
		run_once("recover"); /* nobody was left to thaw */
	}
	check();
}

/* ---- without a kill ---- */

/*
 * How long is a guest frozen? Looked at from the host, all the time; what was not seen is not counted, so
 * it was at least so long.
 */
static _Noreturn void watcher(void)
{
	uint64_t since = 0, last = 0, max;
	char path[300], is;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 2});
	snprintf(path, sizeof(path), "%s/g1/cgroup.freeze", cgroup);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	for (;;) {
		uint64_t now = now_ns();

		if (pread(fd, &is, 1, 0) != 1)
			die(path);
		if (is != '1' || now > last + 2000000)
			since = now;
		last = now;
		max = atomic_load(&shared->frozen_max_ns);
		if (is == '1' && now - since > max)
			atomic_store(&shared->frozen_max_ns, now - since);
		nap_us(200);
	}
}

static void race(unsigned seconds)
{
	uint64_t end = now_ns() + seconds * UINT64_C(1000000000);
	pid_t pid = *cgroup != '-' ? fork() : -1;

	if (!pid)
		watcher();
	while (now_ns() < end) {
		run_once("scan");
		run_once("unmerge");
	}
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static void make_guests(void)
{
	char path[300], buf[BYTES];

	snprintf(path, sizeof(path), "%s/guests", mnt);
	mkdir(path, 0755);
	for (int g = 0; g < GUESTS; g++) {
		snprintf(path, sizeof(path), "%s/guests/g%d", mnt, g + 1);
		mkdir(path, 0755);
		strcat(path, "/usr");
		mkdir(path, 0755);
		for (int i = 0; i < FILES; i++) {
			file_path(path, sizeof(path), g, i);
			int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);

			fill(buf, i, 0);
			if (fd < 0 || write(fd, buf, BYTES) != BYTES || fchmod(fd, MODE) ||
			    set_mtime(fd, MTIME))
				die(path);
			close(fd);
			shared->told[g][i].mode = MODE;
			shared->told[g][i].mtime = MTIME;
		}
	}
}

int main(int argc, char **argv)
{
	struct verb verbs[] = {{.name = "scan"}, {.name = "unmerge"}};

	if (argc < 6)
		return 2;
	mnt = argv[1];
	unsigned kills = (unsigned)atoi(argv[2]);

	rng = strtoull(argv[3], NULL, 10);
	cgroup = argv[4];
	vunify_args = argv + 5;
	n_vunify_args = argc - 5;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		die("mmap");
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	make_guests();
	for (int g = 0; g < GUESTS; g++) {
		writers[g] = fork();
		if (!writers[g])
			writer(g);
	}
	if (!kills)
		race((unsigned)atoi(getenv("VU_SECONDS") ? getenv("VU_SECONDS") : "5"));
	for (int i = 0; i < 4 && kills; i++)
		look_at(&verbs[i % 2]);
	for (unsigned i = 1; n_kills < kills; i++) {
		kill_one(&verbs[dice(2)]);
		if (i % 8 == 0)
			run_once(i % 16 ? "recover" : "scan");
	}
	run_once("recover");
	run_once("unmerge");
	atomic_store(&shared->end, true);
	for (int g = 0; g < GUESTS; g++)
		waitpid(writers[g], NULL, 0);
	printf("kills %u phases %u unflagged %u frozen %u lost %u leaked %u meta %u closed-max-ms %llu "
	       "blocked-max-ms %llu writes %llu refused %llu frozen-max-ms %llu\n",
	       n_kills, n_phases, n_unflagged, n_frozen, n_lost, n_leaked, n_meta,
	       (unsigned long long)closed_max_ns / 1000000,
	       (unsigned long long)shared->blocked_max_ns / 1000000,
	       (unsigned long long)shared->writes, (unsigned long long)shared->refused,
	       (unsigned long long)shared->frozen_max_ns / 1000000);
	return n_unflagged || n_frozen || n_lost || n_leaked || n_meta;
}

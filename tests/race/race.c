/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's processes that write while vunify works.
 *
 * usage: race run DIR N SECONDS MODE...
 *        race hold-open FILE | hold-mmap FILE | hold-append FILE
 *
 * run: DIR holds the files MODE-0 .. MODE-(N-1). One process for each mode changes them, one after
 * the other, until the time is over or something is to be read from stdin, and remembers what was acknowledged: a
 * system call that succeeded. In every fourth change it puts the original file back (content, mode
 * and mtime), so that it can be unified again. EPERM, ETXTBSY and EACCES are refusals: they change
 * nothing and are counted. Before each change and at the end, a file must be what was acknowledged
 * last, its mtime included (but for mmap, where the kernel updates it some time). Prints a line
 * per mode: "MODE OPERATIONS REFUSED UNDONE WRONG", and exits with 1 if anything is wrong. UNDONE is
 * how many changes of the mode were put right because they hit an object in its moment.
 *
 *   write     open for writing, write, close          truncate   to another length
 *   append    O_APPEND                                rename     a new file over it
 *   chmod     another mode                            mmap       map shared, write, unmap
 *   hold      as write, on a descriptor that stays open for some changes
 *
 * hold-*: opens FILE for writing (mmap: maps it shared-writable and closes it), prints "ready", waits
 * for a line, writes "later" to it, prints "written", waits for the end of stdin.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX 8192

struct state { /* what a file must be */
	char bytes[FILE_MAX];
	size_t size;
	mode_t mode;
	struct timespec mtime; /* tv_sec 0: not known */
};

struct racer {
	const char *mode;
	int dirfd;
	long n;
	struct state *want;	/* of each file */
	struct state *original; /* of each file */
	unsigned long ops, refused, undone, wrong;
	unsigned seed;
	unsigned long serial;
	int held; /* mode hold: descriptor, or -1 */
	long held_i;
};

static void die(const char *what)
{
	fprintf(stderr, "race: %s: %s\n", what, strerror(errno));
	exit(3);
}

static const char *name_of(const struct racer *r, long i)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s-%ld", r->mode, i);
	return name;
}

static size_t slurp(int fd, char *to)
{
	ssize_t n = pread(fd, to, FILE_MAX, 0);

	return n < 0 ? 0 : (size_t)n;
}

static bool refused(struct racer *r)
{
	if (errno != EPERM && errno != ETXTBSY && errno != EACCES)
		die(r->mode);
	r->refused++;
	return true;
}

/* The next record, 16 bytes that occur nowhere else. */
static const char *record(struct racer *r)
{
	static char text[17];

	snprintf(text, sizeof(text), "%-5.5s%010lu\n", r->mode, ++r->serial);
	return text;
}

static void wrote(struct state *w, size_t at, const char *text, size_t len)
{
	memcpy(w->bytes + at, text, len);
	if (w->size < at + len)
		w->size = at + len;
}

/* After a change: that is the mtime which stays. */
static void changed(struct racer *r, long i, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		die("fstat");
	r->want[i].mtime = st.st_mtim;
}

static void op_write(struct racer *r, long i)
{
	int fd = openat(r->dirfd, name_of(r, i), O_RDWR | O_CLOEXEC);
	const char *text = record(r);

	if (fd < 0 && refused(r))
		return;
	if (pwrite(fd, text, 16, 0) == 16)
		wrote(&r->want[i], 0, text, 16);
	else
		refused(r);
	changed(r, i, fd);
	close(fd);
}

static void op_append(struct racer *r, long i)
{
	int fd = openat(r->dirfd, name_of(r, i), O_WRONLY | O_APPEND | O_CLOEXEC);
	const char *text = record(r);

	if (fd < 0 && refused(r))
		return;
	if (r->want[i].size + 16 <= FILE_MAX) {
		if (write(fd, text, 16) == 16)
			wrote(&r->want[i], r->want[i].size, text, 16);
		else
			refused(r);
		changed(r, i, fd);
	}
	close(fd);
}

static void op_truncate(struct racer *r, long i)
{
	struct state *w = &r->want[i];
	size_t size = (size_t)(rand_r(&r->seed) % 4096);
	struct stat st;
	char path[128];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", r->dirfd, name_of(r, i));
	if (truncate(path, (off_t)size) && refused(r))
		return;
	if (stat(path, &st))
		die(path);
	w->mtime = st.st_mtim;
	if (size > w->size)
		memset(w->bytes + w->size, 0, size - w->size);
	w->size = size;
}

/* Puts a file with this content over it, and with its mtime, if that is known. */
static void put(struct racer *r, long i, const struct state *s)
{
	struct stat st;
	char tmp[64];
	int fd;

	snprintf(tmp, sizeof(tmp), ".%s-new", r->mode);
	fd = openat(r->dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die(tmp);
	if (write(fd, s->bytes, s->size) != (ssize_t)s->size || fchmod(fd, s->mode))
		die(tmp);
	if (s->mtime.tv_sec && futimens(fd, (struct timespec[]){{0, UTIME_OMIT}, s->mtime}))
		die(tmp);
	if (fstat(fd, &st))
		die(tmp);
	close(fd);
	if (renameat(r->dirfd, tmp, r->dirfd, name_of(r, i))) {
		refused(r);
		unlinkat(r->dirfd, tmp, 0);
		return;
	}
	r->want[i] = *s;
	r->want[i].mtime = st.st_mtim;
}

static void op_rename(struct racer *r, long i)
{
	struct state s = {.size = 16, .mode = 0640};

	memcpy(s.bytes, record(r), 16);
	put(r, i, &s);
}

static void op_chmod(struct racer *r, long i)
{
	mode_t mode = rand_r(&r->seed) % 2 ? 0600 : 0755;

	if (fchmodat(r->dirfd, name_of(r, i), mode, 0) && refused(r))
		return;
	r->want[i].mode = mode;
}

static void op_mmap(struct racer *r, long i)
{
	int fd = openat(r->dirfd, name_of(r, i), O_RDWR | O_CLOEXEC);
	const char *text = record(r);
	char *map;

	if (fd < 0 && refused(r))
		return;
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED && refused(r))
		return;
	r->want[i].mtime.tv_sec = 0;
	memcpy(map, text, 16);
	wrote(&r->want[i], 0, text, 16);
	usleep(200);
	text = record(r);
	memcpy(map + 16, text, 16);
	wrote(&r->want[i], 16, text, 16);
	munmap(map, 4096);
}

static void op_hold(struct racer *r, long i)
{
	const char *text = record(r);

	if (r->held >= 0 && rand_r(&r->seed) % 8 == 0) {
		close(r->held);
		r->held = -1;
	}
	if (r->held < 0) {
		r->held = openat(r->dirfd, name_of(r, i), O_RDWR | O_CLOEXEC);
		r->held_i = i;
		if (r->held < 0 && refused(r))
			return;
	}
	if (pwrite(r->held, text, 16, 32) == 16)
		wrote(&r->want[r->held_i], 32, text, 16);
	else
		refused(r);
	changed(r, r->held_i, r->held);
	usleep(200);
}

static const struct {
	const char *name;
	void (*fn)(struct racer *r, long i);
} modes[] = {
	{"write", op_write},   {"append", op_append}, {"truncate", op_truncate},
	{"rename", op_rename}, {"chmod", op_chmod},   {"mmap", op_mmap},
	{"hold", op_hold},
};

/* Is the file what was acknowledged last? Tells what is not so if asked to. */
static bool is_right(const struct racer *r, long i, bool tell)
{
	static char now[FILE_MAX];
	int fd = openat(r->dirfd, name_of(r, i), O_RDONLY | O_CLOEXEC);
	const struct state *w = &r->want[i];
	struct stat st;
	size_t n;

	if (fd < 0 || fstat(fd, &st))
		die(name_of(r, i));
	n = slurp(fd, now);
	close(fd);
	bool mtime_differs = w->mtime.tv_sec && (w->mtime.tv_sec != st.st_mtim.tv_sec ||
						 w->mtime.tv_nsec != st.st_mtim.tv_nsec);

	if ((size_t)st.st_size == w->size && n == w->size && !memcmp(now, w->bytes, n) &&
	    (st.st_mode & 07777) == w->mode && !mtime_differs && !st.st_uid && !st.st_gid)
		return true;
	if (tell)
		fprintf(stderr,
			"race: %s is not what was acknowledged: size %lld, mode %o; wanted %zu, %o; begins '%.15s', wanted '%.15s'%s\n",
			name_of(r, i), (long long)st.st_size, st.st_mode & 07777, w->size, w->mode,
			now, w->bytes, mtime_differs ? "; another mtime" : "");
	return false;
}

/*
 * A chmod that lands in the moment in which an object has no flag is put right afterwards: that is
 * documented, and told by vunify, so that the number can be compared.
 */
static bool was_put_right(struct racer *r, long i)
{
	mode_t wanted = r->want[i].mode;

	r->want[i].mode = r->original[i].mode;
	if (wanted != r->original[i].mode && is_right(r, i, false)) {
		r->undone++;
		return true;
	}
	r->want[i].mode = wanted;
	return false;
}

/*
 * What a guest renames to a path at the very instant of the exchange comes out of that, and is put
 * back at once: so for that long a file may look older than it is.
 */
static void check(struct racer *r, long i)
{
	for (int tries = 0; tries < 300; tries++) {
		if (is_right(r, i, false))
			return;
		usleep(10000);
	}
	if (was_put_right(r, i) || is_right(r, i, true))
		return;
	r->wrong++;
}

static void begin(struct racer *r)
{
	struct stat st;

	r->held = -1;
	r->want = calloc((size_t)r->n, sizeof(*r->want));
	r->original = calloc((size_t)r->n, sizeof(*r->original));
	if (!r->want || !r->original)
		die("memory");
	for (long i = 0; i < r->n; i++) {
		int fd = openat(r->dirfd, name_of(r, i), O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fstat(fd, &st))
			die(name_of(r, i));
		r->want[i].size = slurp(fd, r->want[i].bytes);
		r->want[i].mode = st.st_mode & 07777;
		r->want[i].mtime = st.st_mtim;
		r->original[i] = r->want[i];
		close(fd);
	}
}

static bool over(time_t end)
{
	struct pollfd p = {.fd = 0, .events = POLLIN};

	return time(NULL) >= end || (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLIN));
}

/*
 * Half of the time as fast as it goes, which is for the moments in which an object has no flag; and
 * half of the time so slowly that a file stays as it is from when vunify reads it until it links it,
 * or not quite.
 */
static void pace(struct racer *r)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec * 1000 + now.tv_nsec / 1000000) / 500 % 2)
		usleep((useconds_t)(rand_r(&r->seed) % 20000));
	else if (r->ops % 16 == 0)
		usleep(500);
}

static int race(struct racer *r, void (*fn)(struct racer *, long), time_t end)
{
	begin(r);
	while (!over(end)) {
		long i = rand_r(&r->seed) % r->n;

		r->ops++;
		/* here as well as at the end: the next change would hide what is wrong */
		check(r, i);
		if (r->wrong)
			break;
		/* A descriptor that is held would write into the file that was put away. */
		if (rand_r(&r->seed) % 4 == 0 && r->held < 0)
			put(r, i, &r->original[i]);
		else
			fn(r, i);
		pace(r);
	}
	if (r->held >= 0)
		close(r->held);
	for (long i = 0; i < r->n; i++)
		check(r, i);
	printf("%s %lu %lu %lu %lu\n", r->mode, r->ops, r->refused, r->undone, r->wrong);
	fflush(stdout);
	return r->wrong > 0;
}

static int run(int argc, char **argv)
{
	time_t end = time(NULL) + atol(argv[4]);
	int rc = 0, status;

	for (int a = 5; a < argc; a++) {
		struct racer r = {.mode = argv[a], .n = atol(argv[3]), .seed = (unsigned)a};
		unsigned m = 0;
		pid_t pid;

		while (m < sizeof(modes) / sizeof(*modes) && strcmp(modes[m].name, argv[a]))
			m++;
		if (m == sizeof(modes) / sizeof(*modes)) {
			fprintf(stderr, "race: there is no mode %s\n", argv[a]);
			return 2;
		}
		r.dirfd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (r.dirfd < 0)
			die(argv[2]);
		pid = fork();
		if (pid < 0)
			die("fork");
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			exit(race(&r, modes[m].fn, end));
		}
		close(r.dirfd);
	}
	puts("ready");
	fflush(stdout);
	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			rc = 1;
	return rc;
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
	if (argc >= 6 && !strcmp(argv[1], "run"))
		return run(argc, argv);
	if (argc == 3 && !strncmp(argv[1], "hold-", 5))
		return hold(argv[1], argv[2]);
	fputs("usage: see the top of race.c\n", stderr);
	return 2;
}

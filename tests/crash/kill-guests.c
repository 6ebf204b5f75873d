/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kill-guests.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "kill-run.h"

#define FILES 24
#define BYTES 4096
#define MODE 0644
#define MTIME 1600000000
#define LATE_NS 20000000 /* see vunify-safety(7) */

/* What a guest was told of its file; written by its one writer, read while that one rests. */
struct told {
	uint64_t stamp;
	uint32_t mode, uid;
	int64_t mtime;
	char xattr; /* 0: none */
};

static struct shared {
	_Atomic bool rest, end;
	_Atomic unsigned resting;
	_Atomic uint64_t blocked_max_ns, writes, refused;
	struct told told[GUESTS][FILES];
} * shared;

static pid_t writers[GUESTS];

static void file_path(char *path, size_t size, int g, int i)
{
	snprintf(path, size, "%s/guests/g%d/usr/f%d", run.mnt, g + 1, i);
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

static char xattr_of(int fd)
{
	char value;

	return fgetxattr(fd, "user.vu", &value, 1) == 1 ? value : 0;
}

static bool has_metadata(const struct told *t, const struct stat *st, char xattr)
{
	return (st->st_mode & 07777) == t->mode && st->st_uid == t->uid &&
	       st->st_mtime == t->mtime && xattr == t->xattr;
}

static bool is_so(const char *path, const struct told *t)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool so = fd >= 0 && !fstat(fd, &st) && has_metadata(t, &st, xattr_of(fd));

	if (fd >= 0)
		close(fd);
	return so;
}

/*
 * By a descriptor for reading: metadata can be changed through it, and no lease is asked. Who has to wait for a
 * processor for longer may change a file that has been replaced since it was opened: the path tells.
 */
static void change_metadata(const char *path, struct told *t)
{
	uint64_t since = now_ns();
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
	if (!r && now_ns() - since > LATE_NS && !is_so(path, &to))
		r = -1;
	if (!r)
		*t = to;
	atomic_fetch_add(r ? &shared->refused : &shared->writes, 1);
}

static void join_guest(int g)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/g%d/cgroup.procs", run.cgroup, g + 1);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) != 1)
		die(path);
	close(fd);
	snprintf(path, sizeof(path), "%s/guests/g%d", run.mnt, g + 1);
	if (chroot(path) || chdir("/"))
		die(path);
}

static _Noreturn void writer(int g)
{
	uint64_t stamp = ((uint64_t)g + 1) << 56;
	char path[300];

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	seed_dice((uint64_t)g * 77777);
	if (in_cgroups())
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
		if (in_cgroups())
			snprintf(path, sizeof(path), "/usr/f%d", i);
		else
			file_path(path, sizeof(path), g, i);
		/* one that was changed is made equal to the others again */
		uint64_t next = t->stamp ? 0 : ++stamp;

		switch (dice(in_cgroups() ? 330 : 300)) {
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

/* ---- the record against what is there ---- */

static void rest(bool on)
{
	atomic_store(&shared->rest, on);
	while (atomic_load(&shared->resting) != (on ? GUESTS : 0))
		nap_us(50);
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
		run.n_lost++;
		say("gone", path);
		if (fd >= 0)
			close(fd);
		return;
	}
	xattr = xattr_of(fd);
	close(fd);
	memcpy(&stamp, buf, sizeof(stamp));
	fill(want, i, stamp);
	if (stamp != t->stamp || memcmp(buf, want, BYTES)) {
		bool foreign = stamp >> 56 && stamp >> 56 != (uint64_t)g + 1;

		*(foreign ? &run.n_leaked : &run.n_lost) += 1;
		fprintf(stderr, "%s: %s: %llx, told was %llx (kill %u)\n",
			foreign ? "leaked" : "lost", path, (unsigned long long)stamp,
			(unsigned long long)t->stamp, run.n_kills);
	}
	if (!has_metadata(t, &st, xattr)) {
		run.n_meta++;
		fprintf(stderr, "%s: %o %u %lld %d, told was %o %u %lld %d (kill %u of %u)\n", path,
			st.st_mode & 07777, st.st_uid, (long long)st.st_mtime, xattr, t->mode,
			t->uid, (long long)t->mtime, t->xattr, run.n_kills, run.killed);
	}
}

void check_guests(void)
{
	rest(true);
	for (int g = 0; g < GUESTS; g++)
		for (int i = 0; i < FILES; i++)
			check_file(g, i);
	rest(false);
}

/* ---- beginning and end ---- */

void make_guests(void)
{
	char path[300], buf[BYTES];

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		die("mmap");
	snprintf(path, sizeof(path), "%s/guests", run.mnt);
	mkdir(path, 0755);
	for (int g = 0; g < GUESTS; g++) {
		snprintf(path, sizeof(path), "%s/guests/g%d", run.mnt, g + 1);
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

void start_writers(void)
{
	for (int g = 0; g < GUESTS; g++) {
		writers[g] = fork();
		if (writers[g] < 0)
			die("fork");
		if (!writers[g])
			writer(g);
	}
}

void end_writers(void)
{
	atomic_store(&shared->end, true);
	for (int g = 0; g < GUESTS; g++)
		waitpid(writers[g], NULL, 0);
}

bool is_writer(pid_t pid)
{
	for (int g = 0; g < GUESTS; g++)
		if (pid == writers[g])
			return true;
	return false;
}

struct guests_told guests_told(void)
{
	return (struct guests_told){shared->writes, shared->refused, shared->blocked_max_ns};
}

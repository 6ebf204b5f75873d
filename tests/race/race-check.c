/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "race-proc.h"

#define PATIENCE_NS UINT64_C(3000000000)

/* Each takes its time: more are not told of. */
#define LOST_MAX 3

#define D_META (D_MODE | D_OWNER | D_MTIME | D_XATTR)

/* What is at a path. */
struct found {
	struct stat st;
	char bytes[FILE_MAX + 1];
	ssize_t n;
	char xattr[XATTR_MAX];
};

static bool is_there(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static unsigned read_file(const char *path, struct found *f)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &f->st)) {
		if (errno != ENOENT)
			die(path);
		return D_MISSING;
	}
	f->n = pread(fd, f->bytes, sizeof(f->bytes), 0);
	ssize_t x = fgetxattr(fd, XATTR_NAME, f->xattr, sizeof(f->xattr) - 1);

	f->xattr[x > 0 ? x : 0] = 0;
	close(fd);
	return 0;
}

/* Stamps that are not of this guest. */
static unsigned foreign_in(const struct found *f, unsigned guest)
{
	unsigned d = 0;
	char own[8];

	snprintf(own, sizeof(own), "@%02x", guest);
	for (ssize_t i = 0; i + 3 <= f->n; i++)
		if (f->bytes[i] == '@' && memcmp(f->bytes + i, own, 3))
			d = D_FOREIGN;
	return f->xattr[0] && memcmp(f->xattr, own, 3) ? d | D_FOREIGN_XATTR : d;
}

static unsigned compare(const struct record *r, const struct found *f, unsigned guest)
{
	unsigned d = 0;

	if (f->st.st_size != r->size || f->n != (ssize_t)r->size ||
	    memcmp(f->bytes, r->bytes, r->size))
		d |= D_CONTENT;
	if ((f->st.st_mode & 07777) != r->mode)
		d |= D_MODE;
	if (f->st.st_uid != r->uid || f->st.st_gid != r->gid)
		d |= D_OWNER;
	if (r->mtime.tv_sec &&
	    (f->st.st_mtim.tv_sec != r->mtime.tv_sec || f->st.st_mtim.tv_nsec != r->mtime.tv_nsec))
		d |= D_MTIME;
	if (strcmp(f->xattr, r->xattr))
		d |= D_XATTR;
	if (d & (D_CONTENT | D_XATTR))
		d |= foreign_in(f, guest);
	return d;
}

static unsigned other_names(struct board *b, const char *prefix, unsigned guest, unsigned proc,
			    unsigned dir, unsigned file, const struct record *r, ino_t ino)
{
	char path[800];
	struct stat st;

	dir_path(b, prefix, guest, proc, dir, path, sizeof(path));
	size_t at = strlen(path);

	snprintf(path + at, sizeof(path) - at, "/f%u", file);
	if ((r->away || !r->exists) && is_there(path))
		return D_PRESENT;
	if (!r->linked)
		return 0;
	snprintf(path + at, sizeof(path) - at, "/f%u.link", file);
	return lstat(path, &st) || st.st_ino != ino ? D_LINK : 0;
}

static void tell_it(const char *path, const struct record *r, const struct found *f, unsigned d)
{
	static const char *const what[] = {
		"missing", "content", "of another guest", "mode", "owner",
		"mtime",   "xattr",   "present",	  "link", "xattr of another guest"};

	fprintf(stderr, "race: %s is not what was acknowledged:", path);
	for (unsigned i = 0; i < sizeof(what) / sizeof(*what); i++)
		if (d & 1U << i)
			fprintf(stderr, " %s", what[i]);
	if (!(d & (D_MISSING | D_PRESENT)))
		fprintf(stderr,
			"; size %lld, mode %o, %u:%u, mtime %lld.%09ld, '%.15s'; wanted %u, %o, %u:%u, "
			"%lld.%09ld, '%.15s'",
			(long long)f->st.st_size, f->st.st_mode & 07777, f->st.st_uid, f->st.st_gid,
			(long long)f->st.st_mtim.tv_sec, f->st.st_mtim.tv_nsec, f->bytes, r->size,
			r->mode, r->uid, r->gid, (long long)r->mtime.tv_sec, r->mtime.tv_nsec,
			r->bytes);
	fputc('\n', stderr);
}

static unsigned look(struct board *b, const char *prefix, unsigned guest, unsigned proc,
		     unsigned dir, unsigned file, struct found *f, bool tell)
{
	const struct record *r = record_of(b, guest, proc, dir, file);
	char path[800];
	unsigned d = 0;

	memset(f, 0, sizeof(*f));
	file_path(b, prefix, guest, proc, dir, file, path, sizeof(path));
	if (r->exists)
		d = read_file(path, f);
	if (r->exists && !d)
		d = compare(r, f, guest);
	d |= other_names(b, prefix, guest, proc, dir, file, r, f->st.st_ino);
	if (d && tell)
		tell_it(path, r, f, d);
	return d;
}

unsigned differs(struct board *b, const char *prefix, unsigned guest, unsigned proc, unsigned dir,
		 unsigned file, bool tell)
{
	static struct found f;

	return look(b, prefix, guest, proc, dir, file, &f, tell);
}

/*
 * A change of metadata that hit an object while its flag was off is put right afterwards: that is the
 * documented limit of a moment without a freezer. Then it is as it was originally.
 */
static bool was_put_right(struct board *b, unsigned guest, unsigned proc, unsigned dir,
			  unsigned file, const struct found *f, unsigned d)
{
	struct record *r = record_of(b, guest, proc, dir, file), o;

	original_of(b, proc, dir, file, &o);
	if (d & ~(unsigned)D_META || compare(&o, f, guest) & d)
		return false;
	if (d & D_MODE)
		r->mode = o.mode;
	if (d & D_OWNER) {
		r->uid = o.uid;
		r->gid = o.gid;
	}
	if (d & D_MTIME)
		r->mtime = o.mtime;
	if (d & D_XATTR)
		r->xattr[0] = 0;
	return true;
}

bool check_file(struct board *b, struct counters *n, const char *prefix, unsigned guest,
		unsigned proc, unsigned dir, unsigned file)
{
	static struct found f;
	/* what came from another guest is there until the run has evicted who wrote it */
	uint64_t foreign_ns = PATIENCE_NS + b->patience_s * UINT64_C(1000000000);
	uint64_t begun = clock_ns(), now;
	unsigned d, foreign = 0;

	/*
	 * What a guest puts to a path at the very instant of an exchange comes out of that, and is put
	 * back at once: so for that long a file may look older than it is.
	 */
	while ((d = look(b, prefix, guest, proc, dir, file, &f, false))) {
		foreign |= d & (D_FOREIGN | D_FOREIGN_XATTR);
		now = clock_ns();
		if (now > begun + (foreign ? foreign_ns : PATIENCE_NS))
			break;
		nap_us(3000);
	}
	n->seen += (foreign & D_FOREIGN) != 0;
	n->seen_xattr += foreign == D_FOREIGN_XATTR;
	if (!d)
		return true;
	/* what the path itself is to be is right */
	if (d == D_LINK && record_of(b, guest, proc, dir, file)->loose) {
		record_of(b, guest, proc, dir, file)->linked = false;
		n->parted++;
		return true;
	}
	if (was_put_right(b, guest, proc, dir, file, &f, d)) {
		n->undone++;
		return true;
	}
	look(b, prefix, guest, proc, dir, file, &f, true);
	n->lost++;
	n->leaked += foreign != 0;
	b->failed = 1;
	return false;
}

/* ---- all of them ---- */

static bool is_known(const struct board *b, const char *name)
{
	static const char *const suffixes[] = {"", ".new", ".away", ".link", ".dying"};
	char *end;

	if (name[0] != 'f' || name[1] < '0' || name[1] > '9' ||
	    strtoul(name + 1, &end, 10) >= b->n_files)
		return false;
	for (unsigned i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++)
		if (!strcmp(end, suffixes[i]))
			return true;
	return false;
}

/* Names that nobody has made. */
static bool check_names(const struct board *b, const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;
	bool right = true;

	if (!d)
		die(path);
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || is_known(b, e->d_name))
			continue;
		fprintf(stderr, "race: nobody has made %s/%s\n", path, e->d_name);
		right = false;
	}
	closedir(d);
	return right;
}

bool check_all(struct board *b)
{
	char prefix[600], path[800];
	bool right = true;

	for (unsigned g = 0; g < b->n_guests; g++) {
		struct counters *n = &b->counters[g][b->n_procs];

		snprintf(prefix, sizeof(prefix), "%s/g%u", b->top, g + 1);
		for (unsigned i = 0; i < b->n_procs * b->n_dirs; i++) {
			unsigned proc = i / b->n_dirs, dir = i % b->n_dirs;

			for (unsigned f = 0; f < b->n_files && n->lost < LOST_MAX; f++)
				right &= check_file(b, n, prefix, g, proc, dir, f);
			dir_path(b, prefix, g, proc, dir, path, sizeof(path));
			right &= check_names(b, path);
		}
	}
	return right;
}

/* ---- who looks on ---- */

static int mark_canary(const struct board *b)
{
	int fd = b->canary[0]
			 ? fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY)
			 : -1;

	if (fd >= 0 &&
	    fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN | FAN_MODIFY | FAN_ONDIR | FAN_EVENT_ON_CHILD,
			  -1, b->canary))
		die(b->canary);
	return fd;
}

static void see_opens(struct proc *p, int fd)
{
	struct fanotify_event_metadata v[64], *e = v;
	ssize_t n = read(fd, v, sizeof(v));
	char path[64], comm[32] = "?";

	for (; n > 0 && FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n)) {
		if (e->fd >= 0)
			close(e->fd);
		if (e->pid == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/%d/comm", e->pid);
		int c = open(path, O_RDONLY | O_CLOEXEC);

		if (c >= 0) {
			ssize_t len = read(c, comm, sizeof(comm) - 1);

			comm[len > 0 ? len - 1 : 0] = 0;
			close(c);
		}
		fprintf(stderr, "race: process %d (%s) opened what is outside of all guests\n",
			e->pid, comm);
		p->n->escapes++;
		p->b->failed = 1;
	}
}

/* What quiet guests have is what it was, at each instant; that of others' metadata is another thing. */
static void read_quiet(struct proc *p, unsigned i)
{
	struct board *b = p->b;
	char prefix[600];
	unsigned g = b->n_guests - 1 - i % b->n_quiet;
	unsigned proc = dice(p, b->n_procs), dir = dice(p, b->n_dirs), file = dice(p, b->n_files);

	snprintf(prefix, sizeof(prefix), "%s/g%u", b->top, g + 1);
	if (differs(b, prefix, g, proc, dir, file, false) & ~(unsigned)D_META)
		check_file(b, p->n, prefix, g, proc, dir, file);
}

void watch(struct proc *p)
{
	int fd = mark_canary(p->b);

	for (unsigned i = 0; !p->b->stop && !p->b->failed; i++) {
		if (fd >= 0)
			see_opens(p, fd);
		if (p->b->n_quiet)
			read_quiet(p, i);
		if (i % 16 == 0)
			nap_us(1000);
	}
	if (fd >= 0)
		see_opens(p, fd);
}

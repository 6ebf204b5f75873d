/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "room.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fail.h"

#define PATH 600

/* What is in each guest: the kinds of files that are treated apart. */
static const struct {
	const char *path;
	unsigned size;
	char text;	  /* the content is made of it; 'g': the guest's own */
	const char *same; /* another name of that */
	uint32_t mode, uid, gid;
	const char *xattr;
} files[] = {
	{"usr/a/f1", 700, 'a', NULL, 0644, 0, 0, NULL},
	{"usr/b/f1-too", 0, 0, "usr/a/f1", 0, 0, 0, NULL},
	{"usr/a/xattr", 1200, 'b', NULL, 0644, 0, 0, "user.vu"},
	{"usr/a/owner", 300, 'c', NULL, 0640, 7, 8, NULL},
	{"usr/b/large", 70000, 'd', NULL, 0755, 0, 0, NULL},
	{"usr/b/twin1", 500, 'e', NULL, 0600, 0, 0, NULL},
	{"usr/b/twin2", 500, 'e', NULL, 0600, 0, 0, NULL},
	{"usr/own", 400, 'g', NULL, 0644, 0, 0, NULL},
	{"etc/excluded", 100, 'f', NULL, 0644, 0, 0, NULL},
};

/* ---- what is wrong ---- */

void room_begin(struct room *r)
{
	r->wrong = NULL;
	r->wrong_to = open_memstream(&r->wrong, &r->wrong_len);
	if (!r->wrong_to)
		fail("open_memstream: %m");
}

char *room_end(struct room *r)
{
	char *text;

	if (fclose(r->wrong_to))
		fail("open_memstream: %m");
	text = r->wrong;
	r->wrong = NULL;
	r->wrong_to = NULL;
	if (*text)
		return text;
	free(text);
	return NULL;
}

void room_wrong(struct room *r, const char *format, ...)
{
	va_list a;

	if (!r->wrong_to)
		return;
	va_start(a, format);
	vfprintf(r->wrong_to, format, a);
	va_end(a);
	fputc('\n', r->wrong_to);
}

/* ---- making and removing ---- */

/* Clears the immutable flag of what is in the way. */
static void empty(int dirfd)
{
	DIR *d = fdopendir(dirfd);
	struct dirent *e;

	if (!d)
		fail("fdopendir: %m");
	while ((e = readdir(d))) {
		int flags = 0, fd;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (e->d_type == DT_LNK && !unlinkat(dirfd, e->d_name, 0))
			continue;
		fd = openat(dirfd, e->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			fail("%s: %m", e->d_name);
		if (e->d_type == DT_DIR) {
			empty(fd);
			if (unlinkat(dirfd, e->d_name, AT_REMOVEDIR))
				fail("%s: %m", e->d_name);
			continue;
		}
		if (!ioctl(fd, FS_IOC_GETFLAGS, &flags) && flags & FS_IMMUTABLE_FL) {
			flags &= ~FS_IMMUTABLE_FL;
			ioctl(fd, FS_IOC_SETFLAGS, &flags);
		}
		close(fd);
		if (unlinkat(dirfd, e->d_name, 0))
			fail("%s: %m", e->d_name);
	}
	closedir(d);
}

static void empty_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		fail("%s: %m", path);
	empty(fd);
}

static void write_file(const char *path, const char *text, size_t size, uint32_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, size) != (ssize_t)size || fchmod(fd, mode))
		fail("%s: %m", path);
	close(fd);
}

static void make_file(const char *guest, size_t i)
{
	char path[PATH], from[PATH], *text;
	unsigned size = files[i].size;

	snprintf(path, sizeof(path), "%s/%s", guest, files[i].path);
	if (files[i].same) {
		snprintf(from, sizeof(from), "%s/%s", guest, files[i].same);
		if (link(from, path))
			fail("%s: %m", path);
		return;
	}
	text = malloc(size);
	for (unsigned k = 0; text && k < size; k++)
		text[k] = (char)(files[i].text + k % 23);
	if (text && files[i].text == 'g')
		memcpy(text, guest + strlen(guest) - 2, 2);
	write_file(path, text, size, files[i].mode);
	free(text);
	if (chown(path, files[i].uid, files[i].gid) || chmod(path, files[i].mode) ||
	    (files[i].xattr && setxattr(path, files[i].xattr, "x y", 3, 0)))
		fail("%s: %m", path);
}

static void set_times(const struct room *r, const struct entry *e)
{
	const struct timespec t = {.tv_sec = 1600000000, .tv_nsec = 123456789};
	char path[PATH];

	snprintf(path, sizeof(path), "%s/%s", r->mnt, e->path);
	if (utimensat(AT_FDCWD, path, (struct timespec[]){t, t}, AT_SYMLINK_NOFOLLOW))
		fail("%s: %m", path);
}

static void make_guest(const struct room *r, int n)
{
	static const char *const dirs[] = {"", "/usr", "/usr/a", "/usr/b", "/etc"};
	char guest[PATH - 300], path[PATH];

	snprintf(guest, sizeof(guest), "%s/g%d", r->mnt, n);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", guest, dirs[i]);
		if (mkdir(path, 0755))
			fail("%s: %m", path);
	}
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		make_file(guest, i);
}

void room_make(struct room *r, const char *dir)
{
	char path[PATH], text[PATH];

	snapshot_done(&r->want);
	snprintf(r->mnt, sizeof(r->mnt), "%s/mnt", dir);
	snprintf(r->state, sizeof(r->state), "%s/state", dir);
	empty_dir(r->mnt);
	empty_dir(r->state);
	for (int i = 1; i <= 3; i++)
		make_guest(r, i);
	snprintf(path, sizeof(path), "%s/conf", r->state);
	snprintf(text, sizeof(text),
		 "[policy]\nmin_size = 1\n[scan]\njobs = 1\n[paths]\nlock_dir = %s/lock\n",
		 r->state);
	write_file(path, text, strlen(text), 0644);
	snapshot_take(r, &r->want);
	for (size_t i = r->want.n; i-- > 0;)
		set_times(r, &r->want.v[i]);
	snapshot_done(&r->want);
	snapshot_take(r, &r->want);
}

/* ---- damage ---- */

static void set_flag(int fd, bool on)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		fail("FS_IOC_GETFLAGS: %m");
	flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags))
		fail("FS_IOC_SETFLAGS: %m");
}

void room_orphan(struct room *r)
{
	static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000";
	char path[PATH];
	int fd;

	snprintf(path, sizeof(path), "%s/.vunify/objects/ab", r->mnt);
	if (mkdir(path, 0700) && errno != EEXIST)
		fail("%s: %m", path);
	snprintf(path, sizeof(path), "%s/.vunify/objects/ab/ab0000%s-0", r->mnt, zeros);
	if (!access(path, F_OK))
		return; /* the run before was not to remove it */
	write_file(path, "nobody's", 8, 0644);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	set_flag(fd, true);
	close(fd);
}

#define DAMAGED "usr/a/f1"
#define DAMAGED_TOO "usr/b/f1-too"
#define DAMAGED_MODE (S_IFREG | 0604U)

void room_damage(struct room *r)
{
	char path[PATH];
	int fd;

	snprintf(path, sizeof(path), "%s/g1/" DAMAGED, r->mnt);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail("%s: %m", path);
	set_flag(fd, false);
	if (fchmod(fd, DAMAGED_MODE & 07777))
		fail("%s: %m", path);
	set_flag(fd, true);
	close(fd);
}

static bool is_damage(const struct room *r, const struct entry *e)
{
	const char *path = strchr(e->path, '/');

	return r->damaged && path && e->mode == DAMAGED_MODE &&
	       (!strcmp(path + 1, DAMAGED) || !strcmp(path + 1, DAMAGED_TOO));
}

void room_forget_rescued(struct room *r)
{
	char path[PATH];
	int fd;

	snprintf(path, sizeof(path), "%s/.vunify/rescued", r->mnt);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	empty(fd);
	rmdir(path);
}

/* ---- looking ---- */

static uint64_t mtime_of(const struct statx *st)
{
	return (uint64_t)st->stx_mtime.tv_sec * 1000000000 + (uint64_t)st->stx_mtime.tv_nsec;
}

/* FNV-1a of words: what is behind the end of the content is zeros, and its size is looked at too. */
static uint64_t digest_of(int fd, const char *path)
{
	uint64_t d = UINT64_C(14695981039346656037), words[8192];
	ssize_t n;

	while ((n = read(fd, words, sizeof(words))) > 0) {
		memset((char *)words + n, 0, (size_t)(-n & 7));
		for (ssize_t i = 0; i * 8 < n; i++)
			d = (d ^ words[i]) * UINT64_C(1099511628211);
	}
	if (n < 0)
		fail("%s: %m", path);
	return d;
}

static char *xattrs_of(int fd, const char *path)
{
	char names[1024], value[256], *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	ssize_t n = flistxattr(fd, names, sizeof(names));

	if (!f || n < 0)
		fail("%s: %m", path);
	for (char *p = names; p < names + n; p += strlen(p) + 1) {
		ssize_t k = fgetxattr(fd, p, value, sizeof(value));

		fprintf(f, "%s=%.*s;", p, (int)(k < 0 ? 0 : k), value);
	}
	fclose(f);
	return text;
}

static void take(const struct room *r, struct snapshot *s, const char *path)
{
	struct statx st;
	char full[PATH];
	struct entry *e;
	int fd;

	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 64;
		s->v = reallocarray(s->v, s->cap, sizeof(*s->v));
	}
	snprintf(full, sizeof(full), "%s/%s", r->mnt, path);
	fd = open(full, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	if (fd < 0 || !s->v || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st))
		fail("%s: %m", full);
	e = &s->v[s->n++];
	*e = (struct entry){
		.path = strdup(path),
		.mode = st.stx_mode,
		.uid = st.stx_uid,
		.gid = st.stx_gid,
		.ino = st.stx_ino,
		.size = S_ISDIR(st.stx_mode) ? 0 : st.stx_size,
		.mtime_ns = mtime_of(&st),
		.n_links = st.stx_nlink,
		.immutable = st.stx_attributes & STATX_ATTR_IMMUTABLE,
		.digest = S_ISREG(st.stx_mode) ? digest_of(fd, full) : 0,
		.xattrs = xattrs_of(fd, full),
	};
	close(fd);
}

static void take_tree(const struct room *r, struct snapshot *s, const char *path)
{
	char full[PATH], below[PATH];
	struct dirent *e;
	DIR *d;

	take(r, s, path);
	if (!S_ISDIR(s->v[s->n - 1].mode))
		return;
	snprintf(full, sizeof(full), "%s/%s", r->mnt, path);
	d = opendir(full);
	if (!d)
		fail("%s: %m", full);
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if ((size_t)snprintf(below, sizeof(below), "%s/%s", path, e->d_name) >=
		    sizeof(below))
			fail("%s: too deep", path);
		take_tree(r, s, below);
	}
	closedir(d);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

void snapshot_take_one(struct room *r, const char *guest, struct snapshot *ret)
{
	*ret = (struct snapshot){0};
	take_tree(r, ret, guest);
	qsort(ret->v, ret->n, sizeof(*ret->v), by_path);
}

void snapshot_take(struct room *r, struct snapshot *ret)
{
	char guest[8];

	*ret = (struct snapshot){0};
	for (int i = 1; i <= 3; i++) {
		snprintf(guest, sizeof(guest), "g%d", i);
		take_tree(r, ret, guest);
	}
	qsort(ret->v, ret->n, sizeof(*ret->v), by_path);
}

void room_keep_dir_times(struct room *r)
{
	char path[PATH];
	struct statx st;

	for (size_t i = 0; i < r->want.n; i++) {
		struct entry *e = &r->want.v[i];

		snprintf(path, sizeof(path), "%s/%s", r->mnt, e->path);
		if (S_ISDIR(e->mode) &&
		    !statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st))
			e->mtime_ns = mtime_of(&st);
	}
}

void snapshot_done(struct snapshot *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].path);
		free(s->v[i].xattrs);
	}
	free(s->v);
	*s = (struct snapshot){0};
}

/* The first name of it, inside the guest or in all. */
static size_t first_of(const struct snapshot *s, size_t i, bool inside)
{
	for (size_t k = 0; k < i; k++)
		if (s->v[k].ino == s->v[i].ino &&
		    (!inside || !strncmp(s->v[k].path, s->v[i].path, 3)))
			return k;
	return i;
}

static void same_entry(struct room *r, const struct entry *a, const struct entry *b, unsigned what)
{
	if ((a->mode != b->mode && !is_damage(r, b)) || a->uid != b->uid || a->gid != b->gid)
		room_wrong(r, "%s: mode and owner are %o %u:%u, were %o %u:%u", a->path, b->mode,
			   b->uid, b->gid, a->mode, a->uid, a->gid);
	if (a->size != b->size || a->digest != b->digest)
		room_wrong(r, "%s: other content", a->path);
	if (strcmp(a->xattrs, b->xattrs) != 0)
		room_wrong(r, "%s: extended attributes are %s, were %s", a->path, b->xattrs,
			   a->xattrs);
	if ((!S_ISDIR(a->mode) || what & ROOM_DIR_TIMES) && a->mtime_ns != b->mtime_ns)
		room_wrong(r, "%s: mtime is %llu ns, was %llu", a->path,
			   (unsigned long long)b->mtime_ns, (unsigned long long)a->mtime_ns);
}

void room_kept(struct room *r, const struct snapshot *s, unsigned what)
{
	const struct snapshot *w = &r->want;
	size_t i = 0, k = 0;

	while (i < w->n || k < s->n) {
		int c = i == w->n ? 1 : k == s->n ? -1 : strcmp(w->v[i].path, s->v[k].path);

		if (c < 0)
			room_wrong(r, "%s: is gone", w->v[i++].path);
		else if (c > 0)
			room_wrong(r, "%s: was not there", s->v[k++].path);
		else
			same_entry(r, &w->v[i++], &s->v[k++], what);
	}
	if (!(what & ROOM_LINKS) || w->n != s->n)
		return;
	for (i = 0; i < w->n; i++)
		if (first_of(w, i, true) != first_of(s, i, true))
			room_wrong(r, "%s: is one inode with %s, was with %s", s->v[i].path,
				   s->v[first_of(s, i, true)].path,
				   s->v[first_of(w, i, true)].path);
}

/* The first name in a second guest of an inode that two guests share. */
static bool is_second(const struct snapshot *s, size_t i)
{
	size_t first = first_of(s, i, false);

	for (size_t k = first + 1; k <= i; k++)
		if (s->v[k].ino == s->v[i].ino && strncmp(s->v[k].path, s->v[first].path, 3) != 0)
			return k == i;
	return false;
}

void room_wall(struct room *r, const struct snapshot *s, unsigned most)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!s->v[i].immutable && is_second(s, i) && ++n > most)
			room_wrong(r, "%s: shared with %s, and not immutable", s->v[i].path,
				   s->v[first_of(s, i, false)].path);
}

/* ---- the pool ---- */

static bool is_object(const char *name)
{
	return strlen(name) >= 66 && strspn(name, "0123456789abcdef") == 64 && name[64] == '-';
}

/* Returns the number of objects below. */
static unsigned look_in_pool(struct room *r, const char *dir, bool top)
{
	char path[PATH];
	unsigned n = 0;
	struct dirent *e;
	DIR *d = opendir(dir);

	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		fail("%s: %m", dir);
	while ((e = readdir(d))) {
		struct statx st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= sizeof(path) ||
		    statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st))
			fail("%s: %m", path);
		if (S_ISDIR(st.stx_mode)) {
			if (!strcmp(e->d_name, "rescued"))
				room_wrong(r, "something was rescued");
			n += look_in_pool(r, path, false);
		} else if (is_object(e->d_name)) {
			n++;
			if (!(st.stx_attributes & STATX_ATTR_IMMUTABLE))
				room_wrong(r, "%s: not immutable", path);
			if (st.stx_nlink < 2)
				room_wrong(r, "%s: nobody has it", path);
		} else if (!top || st.stx_size) {
			room_wrong(r, "%s: does not belong there", path);
		}
	}
	closedir(d);
	return n;
}

void room_pool(struct room *r)
{
	char path[PATH];

	snprintf(path, sizeof(path), "%s/.vunify", r->mnt);
	look_in_pool(r, path, true);
}

char *room_structure(struct room *r, const struct snapshot *s)
{
	FILE *wrong_to = r->wrong_to;
	char path[PATH], *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		fail("open_memstream: %m");
	for (size_t i = 0; i < s->n; i++) {
		const char *first = s->v[first_of(s, i, false)].path;

		if (!S_ISREG(s->v[i].mode))
			continue;
		/* of two equal files in a guest either may go with either of another */
		fprintf(f, "%s %.*s of %u%s\n", s->v[i].path,
			(int)(strlen(first) - (strstr(first, "twin") != NULL)), first,
			s->v[i].n_links, s->v[i].immutable ? " immutable" : "");
	}
	snprintf(path, sizeof(path), "%s/.vunify", r->mnt);
	r->wrong_to = NULL; /* only counted */
	fprintf(f, "%u objects\n", look_in_pool(r, path, true));
	r->wrong_to = wrong_to;
	fclose(f);
	return text;
}

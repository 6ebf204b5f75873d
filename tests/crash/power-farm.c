/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "power-farm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MTIME_S 1600000000
#define SIZE_MAX_BYTES (1 << 18)
#define XATTR "user.power"

static const char *const dirs[] = {"", "/usr", "/usr/a", "/usr/b", "/usr/c"};

/* ---- writing ---- */

static void fill(uint8_t *to, uint32_t size, uint32_t seed)
{
	uint32_t x = seed * UINT32_C(2654435761) + 1;

	for (uint32_t i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		to[i] = (uint8_t)x;
	}
}

static void full(const struct power_farm *f, const char *name, char *to)
{
	snprintf(to, 512, "%s/%s", f->top, name);
}

static struct timespec mtime_of(const struct power_version *v)
{
	return (struct timespec){.tv_sec = MTIME_S + v->seed, .tv_nsec = 123456789};
}

static int write_version(const struct power_version *v, const char *path)
{
	struct timespec t[2] = {mtime_of(v), mtime_of(v)};
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r = 0;
	uint8_t *buf = malloc(v->size);

	if (fd < 0 || !buf)
		return -errno;
	fill(buf, v->size, v->seed);
	if (write(fd, buf, v->size) != (ssize_t)v->size || fchown(fd, v->owner, v->owner) ||
	    fchmod(fd, v->mode) || (v->xattr && fsetxattr(fd, XATTR, "x", 1, 0)) || futimens(fd, t))
		r = -EIO;
	close(fd);
	free(buf);
	return r;
}

/* As a guest makes sure of something: the file, and the directory for its name. */
static int sync_path(const char *path)
{
	char dir[512];
	int r = 0;

	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = 0;
	for (int i = 0; i < 2; i++) {
		int fd = open(i ? dir : path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fsync(fd))
			r = -errno;
		close(fd);
	}
	return r;
}

static struct power_path *path_of(struct power_farm *f, const char *name)
{
	for (int i = 0; i < f->n; i++)
		if (!strcmp(f->p[i].name, name))
			return &f->p[i];
	if (f->n == POWER_PATHS)
		return NULL;
	f->p[f->n] = (struct power_path){.guest = name[1] - '1', .other = -1};
	snprintf(f->p[f->n].name, sizeof(f->p[f->n].name), "%s", name);
	return &f->p[f->n++];
}

/* A new file, or a new version of one. */
static int put(struct power_farm *f, const char *name, struct power_version v, bool sync)
{
	struct power_path *p = path_of(f, name);
	char path[512], tmp[520];
	int r;

	if (!p || p->n == POWER_VERSIONS)
		return -ENOSPC;
	full(f, name, path);
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	v.born = f->now(f->arg);
	v.durable = POWER_NEVER;
	r = write_version(&v, p->n ? tmp : path);
	/* who replaces a file makes sure of the new one first */
	if (!r && p->n)
		r = sync_path(tmp);
	if (!r && p->n && rename(tmp, path))
		r = -errno;
	if (!r && sync)
		r = sync_path(path);
	if (!r && sync)
		v.durable = f->now(f->arg);
	p->v[p->n++] = v;
	return r;
}

/* One more name of a file of the same guest. */
static int put_link(struct power_farm *f, const char *name, const char *of, bool sync)
{
	struct power_path *p = path_of(f, name), *other = path_of(f, of);
	char path[512], from[512];

	if (!p || !other)
		return -ENOSPC;
	full(f, name, path);
	full(f, of, from);
	p->other = (int)(other - f->p);
	p->v[0] = other->v[0];
	p->v[0].born = f->now(f->arg);
	p->v[0].durable = POWER_NEVER;
	p->n = 1;
	if (link(from, path) || (sync && sync_path(path)))
		return -errno;
	if (sync)
		p->v[0].durable = f->now(f->arg);
	return 0;
}

static int make_dirs(const struct power_farm *f, int guest)
{
	char path[512];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/g%d%s", f->top, guest + 1, dirs[i]);
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static const uint32_t sizes[] = {40, 5000, 4096, 70000, 9000, 20, 130000, 12288};

static struct power_version version(uint32_t seed)
{
	return (struct power_version){
		.seed = seed,
		.size = sizes[seed % 8],
		.mode = seed % 3 ? 0644 : 0640,
		.owner = seed % 5 ? 0 : 7,
		.xattr = seed % 4 == 1,
	};
}

/* The files that every guest has. */
static int put_common(struct power_farm *f, int guest, int synced_of_2)
{
	char name[64], second[64];
	int r = make_dirs(f, guest);

	for (uint32_t i = 0; !r && i < 8; i++) {
		bool sync = synced_of_2 == 2 || (synced_of_2 && i % 2);

		snprintf(name, sizeof(name), "g%d/usr/c/c%u", guest + 1, i);
		snprintf(second, sizeof(second), "g%d/usr/b/c%u-too", guest + 1, i);
		r = put(f, name, version(i), sync);
		if (!r && i < 2)
			r = put_link(f, second, name, sync);
	}
	return r;
}

int power_farm_begin(struct power_farm *f)
{
	int r = mkdir(f->top, 0755) ? -errno : 0;

	for (int g = 0; !r && g < 2; g++)
		r = put_common(f, g, 0);
	if (r)
		return r;
	sync();
	for (int i = 0; i < f->n; i++)
		f->p[i].v[0].durable = f->now(f->arg);
	return 0;
}

int power_farm_join(struct power_farm *f, int guest)
{
	return put_common(f, guest, 1);
}

/* Which of the copies are synced: each file of a wave has another set. */
static const int synced_sets[] = {2, 1, 4, 0, 6, 5};

int power_farm_wave(struct power_farm *f, int wave, int n_guests)
{
	char name[64], second[64];
	int r = 0;

	for (uint32_t i = 0; i < sizeof(synced_sets) / sizeof(synced_sets[0]); i++)
		for (int g = 0; !r && g < n_guests; g++) {
			bool sync = synced_sets[i] >> g & 1;

			snprintf(name, sizeof(name), "g%d/usr/a/w%d-%u", g + 1, wave, i);
			snprintf(second, sizeof(second), "g%d/usr/b/w%d-%u", g + 1, wave, i);
			r = put(f, name, version((uint32_t)(100 * wave) + i + 3), sync);
			if (!r && (i == 0 || i == 4))
				r = put_link(f, second, name, sync);
		}
	return r;
}

int power_farm_replace(struct power_farm *f, int guest)
{
	char name[64];
	int r = 0;

	for (uint32_t i = 2; !r && i < 6; i++) {
		snprintf(name, sizeof(name), "g%d/usr/c/c%u", guest + 1, i);
		r = put(f, name, version(i + 1000), i % 2);
	}
	return r;
}

/* ---- looking ---- */

static void mix(uint64_t *h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		*h = (*h ^ p[i]) * UINT64_C(1099511628211);
}

static bool is_version(const struct power_version *v, const struct stat *st, const uint8_t *bytes,
		       ssize_t xattr)
{
	static uint8_t want[SIZE_MAX_BYTES];
	struct timespec t = mtime_of(v);

	if (st->st_size != v->size || st->st_mode != (S_IFREG | v->mode) ||
	    st->st_uid != v->owner || st->st_gid != v->owner || (xattr == 1) != v->xattr ||
	    st->st_mtim.tv_sec != t.tv_sec || st->st_mtim.tv_nsec != t.tv_nsec)
		return false;
	fill(want, v->size, v->seed);
	return !memcmp(want, bytes, v->size);
}

/* What is at the path: which version, and all that can be seen of it. */
static void look(const struct power_farm *f, const struct power_path *p, struct power_seen *s)
{
	static uint8_t bytes[SIZE_MAX_BYTES];
	char path[512], list[256] = "";
	struct stat st;
	long flags = 0;

	*s = (struct power_seen){.version = -1};
	full(f, p->name, path);
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	ssize_t n = pread(fd, bytes, sizeof(bytes), 0), x = flistxattr(fd, list, sizeof(list));

	if (fstat(fd, &st) || n != st.st_size)
		memset(&st, 0, sizeof(st));
	ioctl(fd, FS_IOC_GETFLAGS, &flags);
	close(fd);
	s->flag = flags & FS_IMMUTABLE_FL;
	s->ino = st.st_ino;
	s->digest = UINT64_C(14695981039346656037);
	if (n > 0)
		mix(&s->digest, bytes, (size_t)n);
	mix(&s->digest, &st.st_mode, sizeof(st.st_mode));
	mix(&s->digest, &st.st_uid, sizeof(st.st_uid));
	mix(&s->digest, &st.st_mtim, sizeof(st.st_mtim));
	mix(&s->digest, list, sizeof(list));
	s->version = -2;
	for (int i = 0; i < p->n; i++)
		if (is_version(&p->v[i], &st, bytes, x > 0 && !strcmp(list, XATTR) ? 1 : x))
			s->version = i;
}

/* The last version that was synced by then, or -1. */
static int surely(const struct power_path *p, uint32_t instant)
{
	int k = p->n - 1;

	while (k >= 0 && (p->v[k].durable == POWER_NEVER || p->v[k].durable > instant))
		k--;
	return k;
}

int power_farm_look(const struct power_farm *f, uint32_t instant, const char *what,
		    struct power_seen *seen)
{
	int wrong = 0;

	for (int i = 0; i < f->n; i++) {
		const struct power_path *p = &f->p[i];
		int least = surely(p, instant);

		look(f, p, &seen[i]);
		/* who was not told that it is on disk may have lost it, but not to an object */
		if (least < 0 ? seen[i].version != -2 || !seen[i].flag : seen[i].version >= least)
			continue;
		wrong++;
		printf("# %s: %s is %s\n", what, p->name,
		       seen[i].version == -1   ? "gone"
		       : seen[i].version == -2 ? "neither the old nor the new file"
					       : "an older file");
	}
	/* names that are one file stay one file */
	for (int i = 0; i < f->n; i++) {
		int o = f->p[i].other;

		if (o < 0 || surely(&f->p[i], instant) < 0 || surely(&f->p[o], instant) < 0 ||
		    seen[i].version < 0 || seen[o].version < 0 || seen[i].ino == seen[o].ino)
			continue;
		if (!strncmp(what, "cut", 3)) /* two names cannot change in one instant */
			continue;
		wrong++;
		printf("# %s: %s and %s are one file no more\n", what, f->p[i].name, f->p[o].name);
	}
	return wrong;
}

bool power_farm_complete(const struct power_farm *f, uint32_t instant,
			 const struct power_seen *seen)
{
	char path[512], from[512];
	bool remade[POWER_PATHS] = {0};

	for (int g = 0; g < POWER_GUESTS; g++)
		for (int i = 0; i < f->n; i++)
			if (f->p[i].guest == g && f->p[i].v[0].born <= instant) {
				if (make_dirs(f, g))
					return false;
				break;
			}
	for (int i = 0; i < f->n; i++) {
		const struct power_path *p = &f->p[i];
		int k = p->n - 1;

		while (k >= 0 && p->v[k].born > instant)
			k--;
		full(f, p->name, path);
		if (p->other >= 0)
			full(f, f->p[p->other].name, from);
		bool apart =
			p->other >= 0 && (remade[p->other] || seen[i].ino != seen[p->other].ino);

		if (k < 0 || (seen[i].version == k && !apart))
			continue;
		remade[i] = true;
		if (seen[i].version != -1 && unlink(path))
			return false;
		if (p->other >= 0 ? link(from, path) : write_version(&p->v[k], path))
			return false;
	}
	return true;
}

char *power_farm_shape(const struct power_farm *f, const struct power_seen *seen)
{
	char *text = malloc((size_t)f->n * 128 + 1), *to = text;

	if (!text)
		return NULL;
	*to = 0;
	for (int i = 0; i < f->n; i++) {
		int k = 0;

		while (seen[k].ino != seen[i].ino || seen[k].version == -1)
			if (k++ == i)
				break;
		if (seen[i].version != -1)
			to += sprintf(to, "%s is %s%s\n", f->p[i].name, f->p[k].name,
				      seen[i].flag ? ", immutable" : "");
	}
	return text;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line of maps is "START-END PERMS OFFSET MAJOR:MINOR INODE   PATH", numbers in hexadecimal but for the
 * inode. All but the path is the kernel's own. In the path it escapes newlines, and nothing else; it may be
 * longer than PATH_MAX.
 */
#include "mem/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"

#define DELETED " (deleted)"

/* One number, and the character that must follow it. Linux has 100,000 lines a process: no sscanf(3). */
static bool number(char **p, unsigned base, char end, uint64_t *ret)
{
	const char *begin = *p;
	uint64_t n = 0;

	for (;; (*p)++) {
		unsigned c = (unsigned char)**p;
		unsigned digit = c >= '0' && c <= '9'		      ? c - '0'
				 : base == 16 && c >= 'a' && c <= 'f' ? c - 'a' + 10
								      : 16;

		if (digit >= base)
			break;
		n = n * base + digit;
	}
	*ret = n;
	return *p > begin && *(*p)++ == end;
}

int vu_map_parse(char *line, struct vu_map *ret)
{
	struct vu_map m = {0};
	uint64_t major, minor;
	char *p = line;

	if (!number(&p, 16, '-', &m.start) || !number(&p, 16, ' ', &m.end) || strnlen(p, 5) < 5 ||
	    p[4] != ' ')
		return -EINVAL;
	memcpy(m.perms, p, 4);
	p += 5;
	if (!number(&p, 16, ' ', &m.offset) || !number(&p, 16, ':', &major) ||
	    !number(&p, 16, ' ', &minor) || !number(&p, 10, ' ', &m.ino) || m.end < m.start)
		return -EINVAL;
	m.dev = makedev((unsigned)major, (unsigned)minor);
	p += strspn(p, " ");
	size_t n = strlen(p), suffix = sizeof(DELETED) - 1;

	m.deleted = m.ino && n >= suffix && !strcmp(p + n - suffix, DELETED);
	if (m.deleted)
		p[n - suffix] = 0;
	m.path = p;
	*ret = m;
	return 0;
}

bool vu_map_is_special(const struct vu_map *m)
{
	return !m->ino && m->path[0] == '[' && m->path[1] == 'v';
}

struct lines {
	int (*fn)(void *arg, const struct vu_map *m);
	int (*fn_swapped)(void *arg, const struct vu_map *m, uint64_t bytes); /* or NULL: of maps */
	void *arg;
	struct vu_map now; /* of smaps: what the lines behind it are about */
	char line[VU_MAPS_LINE_MAX + 1];
	size_t len;
	bool cut;
};

/* "Swap:                 12 kB" */
static int take_swapped(struct lines *l)
{
	char *p = l->line + sizeof("Swap:") - 1;
	uint64_t kib;

	p += strspn(p, " ");
	return number(&p, 10, ' ', &kib) ? l->fn_swapped(l->arg, &l->now, kib * 1024) : 0;
}

static int take_line(struct lines *l)
{
	struct vu_map m;
	bool cut = l->cut;

	l->line[l->len] = 0;
	l->len = 0;
	l->cut = false;
	if (l->fn_swapped && !strncmp(l->line, "Swap:", sizeof("Swap:") - 1))
		return take_swapped(l);
	if (vu_map_parse(l->line, &m))
		return 0;
	if (l->fn_swapped) {
		l->now = m;
		l->now.path = "";
		return 0;
	}
	m.cut = cut;
	m.deleted = m.deleted || cut;
	return l->fn(l->arg, &m);
}

static int take_text(struct lines *l, const char *p, size_t n)
{
	int r = 0;

	while (!r && n) {
		const char *end = memchr(p, '\n', n);
		size_t len = end ? (size_t)(end - p) : n;
		size_t keep = VU_MIN(len, VU_MAPS_LINE_MAX - l->len);

		memcpy(l->line + l->len, p, keep);
		l->len += keep;
		l->cut = l->cut || keep < len;
		if (end) {
			r = take_line(l);
			len++;
		}
		p += len;
		n -= len;
	}
	return r;
}

static int read_lines(int task_fd, const char *name, uint64_t max_bytes, struct lines *l)
{
	_cleanup_fd_ int fd = openat(task_fd, name, O_RDONLY | O_CLOEXEC);
	char buf[16384];
	uint64_t sum = 0;
	int r = 0;

	if (fd < 0)
		return -errno;
	while (!r && (!max_bytes || sum < max_bytes)) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		sum += (uint64_t)n;
		r = take_text(l, buf, (size_t)n);
	}
	return r;
}

int vu_maps_each(int task_fd, uint64_t max_bytes, int (*fn)(void *arg, const struct vu_map *m),
		 void *arg)
{
	struct lines l = {.fn = fn, .arg = arg};

	return read_lines(task_fd, "maps", max_bytes, &l);
}

int vu_maps_each_swapped(int task_fd, int (*fn)(void *arg, const struct vu_map *m, uint64_t bytes),
			 void *arg)
{
	struct lines l = {.fn_swapped = fn, .arg = arg};

	return read_lines(task_fd, "smaps", 0, &l);
}

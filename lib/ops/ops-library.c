/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest by guest the frames of its file are read, then page by page compared: who has the same frame has the same
 * copy, which is that of the first guest that has it. Files are looked at one after the other, so a page that
 * is read in or given up meanwhile is in memory for some of them only.
 */
#include "ops/ops-library.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "base/want.h"
#include "fs/beneath.h"
#include "mem/file-frames.h"
#include "mem/frames.h"
#include "ops/session.h"

#define CELLS_MAX (UINT64_C(8) << 20) /* pages of all guests: 64 MiB */

/* Where a C library is, of distributions and architectures that are around. */
static const char *const libc_paths[] = {
	"usr/lib/x86_64-linux-gnu/libc.so.6",
	"lib/x86_64-linux-gnu/libc.so.6",
	"usr/lib/aarch64-linux-gnu/libc.so.6",
	"lib/aarch64-linux-gnu/libc.so.6",
	"usr/lib/riscv64-linux-gnu/libc.so.6",
	"usr/lib/i386-linux-gnu/libc.so.6",
	"lib/i386-linux-gnu/libc.so.6",
	"usr/lib64/libc.so.6",
	"lib64/libc.so.6",
	"usr/lib/libc.so.6",
	"lib/libc.so.6",
	"lib/ld-musl-x86_64.so.1",
	"lib/ld-musl-aarch64.so.1",
	"usr/lib/ld-musl-x86_64.so.1",
	"usr/lib/ld-musl-aarch64.so.1",
};

/* ---- opening ---- */

/* Opens name, or what a symbolic link of that name leads to in the same directory. */
static int open_in(int dir, const char *name)
{
	char target[NAME_MAX + 1];
	int fd = vu_regular_open(dir, name, NULL);
	ssize_t n =
		fd == -ESTALE || fd == -ELOOP ? readlinkat(dir, name, target, sizeof(target)) : -1;

	if (n <= 0 || n == sizeof(target))
		return fd;
	target[n] = 0;
	return strchr(target, '/') ? -ELOOP : vu_regular_open(dir, target, NULL);
}

static int open_beneath(int root, const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *above = strndup(path, slash ? (size_t)(slash - path) : 0);

	if (!above)
		return -ENOMEM;
	_cleanup_fd_ int dir = vu_beneath_open(root, above, O_PATH | O_DIRECTORY);

	return dir < 0 ? dir : open_in(dir, slash ? slash + 1 : path);
}

/* Is it an answer of one guest, and no want of ours? */
static bool is_of_guest(int r)
{
	return r < 0 && !vu_is_want(r);
}

/* Opens the first of the paths that is there, and notes which. Returns the fd or a negative errno. */
static int open_any(int root, const char *const *paths, size_t n, struct vu_library_guest *g)
{
	int first = -ENOENT;

	for (size_t i = 0; i < n; i++) {
		int fd = open_beneath(root, paths[i]);

		if (fd >= 0 && !(g->path = strdup(paths[i]))) {
			close(fd);
			return -ENOMEM;
		}
		if (fd >= 0 || !is_of_guest(fd))
			return fd;
		if (first == -ENOENT && fd != -ENOTDIR)
			first = fd;
	}
	return first;
}

/* ---- reading ---- */

static int read_frames(const struct vu_file_frames *f, int fd, uint64_t most,
		       struct vu_library_guest *g, bool *ret_cut)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	uint64_t pages = ((uint64_t)st.st_size + f->page - 1) / f->page;

	*ret_cut = pages > most;
	g->pages = VU_MIN(pages, most);
	g->copy = calloc(g->pages + 1, sizeof(*g->copy));
	if (!g->copy)
		return -ENOMEM;
	for (uint64_t at = 0; at < g->pages; at += VU_FILE_FRAMES_MAX) {
		size_t n = (size_t)VU_MIN(g->pages - at, VU_FILE_FRAMES_MAX);
		int r = vu_stop_requested() ? -ECANCELED
					    : vu_file_frames_read(f, fd, at, n, 0, g->copy + at);

		if (r)
			return r;
	}
	return 0;
}

static int look_at_guest(const struct vu_file_frames *f, const struct vu_session *s, size_t guest,
			 const char *const *paths, size_t n, struct vu_library *l)
{
	struct vu_library_guest *g = &l->guests[guest];
	_cleanup_fd_ int fd = open_any(s->root_fds[guest], paths, n, g);
	bool cut = false;
	int r = fd < 0 ? fd
		       : read_frames(f, fd, VU_MIN(VU_LIBRARY_PAGES_MAX, CELLS_MAX / l->n_guests),
				     g, &cut);

	l->cut = l->cut || cut;
	l->pages = VU_MAX(l->pages, g->pages);
	if (!is_of_guest(r) || r == -ECANCELED)
		return r;
	g->err = r == -ENOENT ? 0 : r;
	g->pages = 0;
	return 0;
}

/* ---- comparing ---- */

struct have {
	uint64_t frame;
	size_t guest;
};

static int by_frame(const void *a, const void *b)
{
	const struct have *x = a, *y = b;

	return x->frame != y->frame ? (x->frame > y->frame) - (x->frame < y->frame)
				    : (x->guest > y->guest) - (x->guest < y->guest);
}

/* Puts in place of the frames of a page the first guest (from 1) that has the same one. */
static void compare_page(struct vu_library *l, uint64_t page, struct have *have)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_guests; i++)
		if (page < l->guests[i].pages && l->guests[i].copy[page])
			have[n++] = (struct have){l->guests[i].copy[page], i};
	qsort(have, n, sizeof(*have), by_frame);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i; end < n && have[end].frame == have[i].frame; end++)
			l->guests[have[end].guest].copy[page] = have[i].guest + 1;
		l->guests[have[i].guest].alone += end == i + 1;
		l->physical++;
	}
	l->resident += n;
}

/* Numbers copies as they come up. number: one for each guest and one more, zeroed. */
static void number_copies(struct vu_library *l, uint64_t *number)
{
	for (size_t i = 0; i < l->n_guests; i++)
		for (uint64_t k = 0; k < l->guests[i].pages; k++) {
			uint64_t *c = &l->guests[i].copy[k];

			if (*c && !number[*c])
				number[*c] = ++l->n_copies;
			*c = number[*c];
			l->guests[i].resident += *c != 0;
		}
}

/* count: one for each copy and one more. */
static void find_main(struct vu_library *l, struct vu_library_guest *g, uint64_t *count)
{
	memset(count, 0, (l->n_guests + 1) * sizeof(*count));
	for (uint64_t k = 0; k < g->pages; k++)
		count[g->copy[k]] += g->copy[k] != 0;
	for (uint64_t c = 1; c <= l->n_copies; c++)
		if (count[c] > count[g->main])
			g->main = c;
}

static int compare(struct vu_library *l)
{
	_cleanup_free_ struct have *have = calloc(l->n_guests + 1, sizeof(*have));
	_cleanup_free_ uint64_t *count = calloc(l->n_guests + 1, sizeof(*count));

	if (!have || !count)
		return -ENOMEM;
	for (uint64_t k = 0; k < l->pages; k++)
		compare_page(l, k, have);
	number_copies(l, count);
	for (size_t i = 0; i < l->n_guests; i++)
		find_main(l, &l->guests[i], count);
	return 0;
}

/* ---- */

static int name_guests(const struct vu_session *s, struct vu_library *l)
{
	l->guests = calloc(s->guests.n + 1, sizeof(*l->guests));
	if (!l->guests)
		return -ENOMEM;
	l->n_guests = s->guests.n;
	for (size_t i = 0; i < l->n_guests; i++)
		if (!(l->guests[i].name = strdup(s->guests.v[i].name)))
			return -ENOMEM;
	return 0;
}

static int look(const struct vu_session *s, const char *path, struct vu_library *l)
{
	struct vu_file_frames f = {.pagemap = -EBADF};
	int r = name_guests(s, l);

	if (!r)
		r = vu_file_frames_open(&f);
	l->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	for (size_t i = 0; !r && i < l->n_guests; i++)
		r = path ? look_at_guest(&f, s, i, &path, 1, l)
			 : look_at_guest(&f, s, i, libc_paths, VU_ARRAY_SIZE(libc_paths), l);
	vu_file_frames_close(&f);
	l->hidden = r == VU_FRAMES_HIDDEN;
	return l->hidden ? 0 : r ? r : compare(l);
}

int vu_ops_library(struct vu_ops *ops, char *const *guests, size_t n, const char *path,
		   struct vu_library *ret)
{
	struct vu_session s = {.lock_fd = -EBADF};
	int r = vu_session_open(&s, ops, n ? VU_SESSION_NO_CATALOG : 0, guests, n);

	*ret = (struct vu_library){0};
	if (!r)
		r = look(&s, path ? path + strspn(path, "/") : NULL, ret);
	vu_session_close(&s);
	return r;
}

void vu_library_done(struct vu_library *l)
{
	for (size_t i = 0; i < l->n_guests; i++) {
		free(l->guests[i].name);
		free(l->guests[i].path);
		free(l->guests[i].copy);
	}
	free(l->guests);
	*l = (struct vu_library){0};
}

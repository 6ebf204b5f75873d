/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For a piece of address space: pagemap says which frames there are, kpageflags what they are, the set of frames
 * which of them are new. Their content is read, and then pagemap once more: where another frame is there by now, it
 * is not known whose content that was, and the frame is left out and counted as moved.
 *
 * Flags are asked for in runs, since what was allocated together lies together often: a call for each frame would
 * cost as much as reading its content.
 */
#include "mem/census-process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "mem/census-swap.h"

#define STEP VU_CENSUS_STEP

struct looking {
	struct vu_census_reader *rd;
	int mem, pagemap; /* borrowed */
	uint16_t owner, program;
	struct vu_census_counts *counts;
	uint64_t flags[STEP];
	bool want[STEP];
};

int vu_census_reader_init(struct vu_census_reader *rd)
{
	int r = vu_frames_open(&rd->frames);

	if (r)
		return r;
	if (rd->frames.kpageflags < 0)
		return VU_FRAMES_HIDDEN;
	/* O_DIRECT wants it aligned */
	rd->buf = aligned_alloc(rd->frames.page, STEP * rd->frames.page);
	return rd->buf ? 0 : -ENOMEM;
}

void vu_census_reader_done(struct vu_census_reader *rd)
{
	vu_frames_close(&rd->frames);
	free(rd->buf);
	rd->buf = NULL;
}

/* May be of anonymous memory, by pagemap. */
static bool may_be(uint64_t entry)
{
	return vu_frame_is_present(entry) && !vu_frame_is_file(entry) && vu_frame_number(entry);
}

/* The flags of all frames that may be, in l->flags; 0 for others. */
static void ask_flags(struct looking *l, const uint64_t *entry, size_t n)
{
	memset(l->flags, 0, sizeof(l->flags));
	for (size_t i = 0, end; i < n; i = end) {
		uint64_t pfn = vu_frame_number(entry[i]);

		end = i + 1;
		if (!may_be(entry[i]))
			continue;
		while (end < n && may_be(entry[end]) &&
		       vu_frame_number(entry[end]) == pfn + (end - i))
			end++;
		(void)vu_frames_flags(&l->rd->frames, pfn, l->flags + i, end - i);
	}
}

/* Is the frame to be read? Counts it otherwise. Returns 1, 0 or -ENOMEM. */
static int take(struct looking *l, uint64_t entry, uint64_t flags)
{
	if (vu_frame_is_swapped(entry))
		l->counts->swapped++;
	if (!may_be(entry))
		return 0;
	if (vu_frame_has(flags, VU_FRAME_ZERO))
		l->counts->zero_maps++;
	if (!vu_frame_has(flags, VU_FRAME_ANON) || vu_frame_has(flags, VU_FRAME_ZERO))
		return 0;
	l->counts->merged_maps += vu_frame_has(flags, VU_FRAME_KSM);
	int r = vu_frame_set_add(l->rd->seen, vu_frame_number(entry));

	if (r <= 0)
		return r == -ERANGE ? 0 : r;
	if (vu_frame_has(flags, VU_FRAME_HUGETLB)) {
		l->counts->hugetlb++;
		return 0;
	}
	l->counts->merged += vu_frame_has(flags, VU_FRAME_KSM);
	l->counts->huge += vu_frame_has(flags, VU_FRAME_THP);
	l->counts->frames += l->rd->frames_only;
	return !l->rd->frames_only;
}

/* Tallies the n pages in buf, which were those of entry when that was read. */
static int add_read(struct looking *l, uint64_t address, const uint64_t *entry,
		    const uint64_t *flags, size_t n)
{
	struct vu_tally_page page[STEP];
	uint64_t again[STEP];
	size_t size = l->rd->frames.page, k = 0;

	if (pread(l->pagemap, again, n * sizeof(*again),
		  (off_t)(address / size * sizeof(*again))) != (ssize_t)(n * sizeof(*again)))
		memset(again, 0, sizeof(again));
	for (size_t i = 0; i < n; i++) {
		if (!vu_frame_is_present(again[i]) ||
		    vu_frame_number(again[i]) != vu_frame_number(entry[i])) {
			l->counts->moved++;
			continue;
		}
		page[k] = (struct vu_tally_page){
			.owner = l->owner,
			.program = l->program,
			.merged = vu_frame_has(flags[i], VU_FRAME_KSM),
		};
		vu_tally_look(l->rd->buf + i * size, size, &page[k++]);
	}
	return vu_tally_add(l->rd->tally, page, k);
}

/* Reads n pages that are side by side, and leaves out the one that cannot be read. */
static int read_run(struct looking *l, uint64_t address, const uint64_t *entry,
		    const uint64_t *flags, size_t n)
{
	size_t size = l->rd->frames.page;
	int r = 0;

	for (size_t i = 0; !r && i < n;) {
		ssize_t got =
			pread(l->mem, l->rd->buf, (n - i) * size, (off_t)(address + i * size));
		size_t k = got > 0 ? (size_t)got / size : 0;

		if (got < 0 && errno == EINTR)
			continue;
		if (k)
			r = add_read(l, address + i * size, entry + i, flags + i, k);
		else
			l->counts->unread++;
		i += VU_MAX(k, (size_t)1);
	}
	return r;
}

static int take_step(void *arg, uint64_t address, const uint64_t *entry, size_t n)
{
	struct looking *l = arg;
	int r = 0;

	ask_flags(l, entry, n);
	for (size_t i = 0; i < n; i++) {
		r = take(l, entry[i], l->flags[i]);
		if (r < 0)
			return r;
		l->want[i] = r;
	}
	r = 0;
	for (size_t i = 0, end; !r && i < n; i = end) {
		for (end = i; end < n && l->want[end]; end++)
			;
		if (end > i)
			r = read_run(l, address + i * l->rd->frames.page, entry + i, l->flags + i,
				     end - i);
		else
			end++;
	}
	return r;
}

int vu_census_steps(struct vu_census_reader *rd, const struct vu_map *m, uint64_t address,
		    uint64_t *entry, size_t n, vu_census_step_fn *step, void *arg)
{
	int r = 0;

	atomic_fetch_add_explicit(rd->beat, 1, memory_order_relaxed);
	if (m->perms[3] == 's')
		return 0;
	for (size_t i = 0; !r && i < n; i += STEP) {
		r = step(arg, address + i * rd->frames.page, entry + i,
			 VU_MIN(n - i, (size_t)STEP));
		atomic_fetch_add_explicit(rd->beat, 1, memory_order_relaxed);
	}
	return r;
}

static int take_piece(void *arg, const struct vu_map *m, uint64_t address, uint64_t *entry,
		      size_t n)
{
	struct looking *l = arg;

	return vu_census_steps(l->rd, m, address, entry, n, take_step, l);
}

int vu_census_process(struct vu_census_reader *rd, int proc_fd, uint16_t owner, uint16_t program,
		      struct vu_census_counts *ret)
{
	_cleanup_fd_ int mem = openat(proc_fd, "mem", O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int pagemap =
		mem < 0 ? -EBADF : openat(proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	struct looking l = {rd, mem, pagemap, owner, program, ret, {0}, {0}};

	if (mem < 0 || pagemap < 0)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	ret->processes++;
	int r = rd->swap ? vu_census_swapped(rd, proc_fd, mem, pagemap, owner, program, ret)
			 : vu_frames_process(&rd->frames, proc_fd, take_piece, &l);

	return r == -ENOENT || r == -ESRCH || r == -EACCES ? 0 : r;
}

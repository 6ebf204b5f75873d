/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pagemap says which slot a page is in, the set of slots which of them are new. Runs of slots are read from
 * their area, and then pagemap once more: where the page is somewhere else by now, the slot may be another's already,
 * and is left out and counted as moved.
 *
 * Through the owner there is no such question: an address has its content. The page goes out again by
 * process_madvise(2), which leaves what others have mapped too.
 */
#include "mem/census-swap.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "mem/swaps.h"

#define STEP VU_CENSUS_STEP

struct looking {
	struct vu_census_reader *rd;
	int mem, pagemap; /* borrowed */
	uint16_t owner, program;
	struct vu_census_counts *counts;
	bool want[STEP];
};

/* Is the slot to be read? Counts it. Returns 1, 0 or -ENOMEM. */
static int take(struct looking *l, uint64_t entry)
{
	const struct vu_swaps *s = l->rd->swap;
	unsigned number = vu_frame_swap_area(entry), area = vu_swaps_index(s, number);
	uint64_t slot = vu_frame_swap_offset(entry);

	/* a page on its way between two frames, a marker of userfaultfd(2), a poisoned page: no swap */
	if (!vu_frame_is_swapped(entry) || vu_frame_is_present(entry) || vu_frame_is_file(entry) ||
	    number >= VU_SWAPS_AREAS_MAX)
		return 0;
	l->counts->swapped++;
	/* through the owner, nothing has to be known of the area */
	if (l->rd->pidfd < 0 && (area >= s->n || slot >= s->area[area].pages)) {
		l->counts->unnumbered++;
		return 0;
	}
	if (slot >> VU_SWAPS_SLOT_BITS || (area < s->n && s->area[area].skip))
		return 0;
	return vu_frame_set_add(l->rd->seen, vu_swaps_number(number, slot));
}

/* Those of entry that are ok: of one area, if that is to be the owner. */
static int add_pages(struct looking *l, const uint64_t *entry, const bool *ok, size_t n)
{
	struct vu_tally_page page[STEP];
	size_t size = l->rd->frames.page, k = 0;
	uint16_t area = (uint16_t)vu_swaps_index(l->rd->swap, vu_frame_swap_area(*entry));

	for (size_t i = 0; i < n; i++) {
		if (!ok[i])
			continue;
		page[k] = (struct vu_tally_page){
			.owner = l->rd->by_area ? area : l->owner,
			.program = l->program,
		};
		vu_tally_look(l->rd->buf + i * size, size, &page[k++]);
	}
	return vu_tally_add(l->rd->tally, page, k);
}

/* What pagemap has for n pages; zeros where it cannot be read. */
static void ask_again(const struct looking *l, uint64_t address, uint64_t *ret, size_t n)
{
	size_t bytes = n * sizeof(*ret);
	off_t at = (off_t)(address / l->rd->frames.page * sizeof(*ret));

	if (pread(l->pagemap, ret, bytes, at) != (ssize_t)bytes)
		memset(ret, 0, bytes);
}

/* ---- from the area ---- */

/* Tallies the n pages in buf, which were in the slots that entry has. */
static int add_slots(struct looking *l, uint64_t address, const uint64_t *entry, size_t n)
{
	uint64_t again[STEP];
	bool ok[STEP];

	ask_again(l, address, again, n);
	for (size_t i = 0; i < n; i++) {
		ok[i] = vu_frame_is_swapped(again[i]) && !vu_frame_is_present(again[i]) &&
			vu_frame_swap_area(again[i]) == vu_frame_swap_area(entry[i]) &&
			vu_frame_swap_offset(again[i]) == vu_frame_swap_offset(entry[i]);
		l->counts->moved += !ok[i];
	}
	return add_pages(l, entry, ok, n);
}

/* Reads n slots that are side by side, and leaves out the one that cannot be read. */
static int read_slots(struct looking *l, uint64_t address, const uint64_t *entry, size_t n)
{
	const struct vu_swaps *s = l->rd->swap;
	unsigned area = vu_swaps_index(s, vu_frame_swap_area(*entry));
	uint64_t slot = vu_frame_swap_offset(*entry);
	int r = 0;

	for (size_t i = 0; !r && i < n;) {
		long got = vu_swaps_read(s, area, slot + i, l->rd->buf, n - i);
		size_t k = got > 0 ? (size_t)got : 0;

		if (k)
			r = add_slots(l, address + i * l->rd->frames.page, entry + i, k);
		else
			l->counts->unread++;
		i += VU_MAX(k, (size_t)1);
	}
	return r;
}

/* Pages side by side in slots side by side. */
static size_t run_of_slots(const struct looking *l, const uint64_t *entry, size_t i, size_t n)
{
	size_t end = i + 1;

	while (end < n && l->want[end] &&
	       vu_frame_swap_area(entry[end]) == vu_frame_swap_area(entry[i]) &&
	       vu_frame_swap_offset(entry[end]) == vu_frame_swap_offset(entry[i]) + (end - i))
		end++;
	return end - i;
}

/* ---- through the owner ---- */

static void push_out(struct looking *l, uint64_t address, size_t n)
{
	uint64_t again[STEP];
	struct iovec v = {(void *)(uintptr_t)address, n * l->rd->frames.page};

	(void)syscall(SYS_process_madvise, l->rd->pidfd, &v, 1, MADV_PAGEOUT, 0);
	ask_again(l, address, again, n);
	for (size_t i = 0; i < n; i++)
		l->counts->stayed += vu_frame_is_present(again[i]);
}

static int read_pages(struct looking *l, uint64_t address, const uint64_t *entry, size_t n)
{
	size_t size = l->rd->frames.page;
	bool ok[STEP];
	ssize_t got;

	do {
		got = pread(l->mem, l->rd->buf, n * size, (off_t)address);
	} while (got < 0 && errno == EINTR);
	for (size_t i = 0; i < n; i++) {
		ok[i] = got > 0 && (i + 1) * size <= (size_t)got;
		l->counts->unread += !ok[i];
	}
	push_out(l, address, n);
	return add_pages(l, entry, ok, n);
}

static size_t run_of_pages(const struct looking *l, size_t i, size_t n)
{
	size_t end = i + 1;

	while (end < n && l->want[end])
		end++;
	return end - i;
}

/* ---- all of it ---- */

static int take_step(void *arg, uint64_t address, const uint64_t *entry, size_t n)
{
	struct looking *l = arg;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		r = take(l, entry[i]);
		if (r < 0)
			return r;
		l->want[i] = r;
	}
	r = 0;
	for (size_t i = 0, k; !r && i < n; i += k) {
		uint64_t at = address + i * l->rd->frames.page;

		k = 1;
		if (!l->want[i])
			continue;
		k = l->rd->pidfd >= 0 ? run_of_pages(l, i, n) : run_of_slots(l, entry, i, n);
		r = l->rd->pidfd >= 0 ? read_pages(l, at, entry + i, k)
				      : read_slots(l, at, entry + i, k);
	}
	return r;
}

static int take_piece(void *arg, const struct vu_map *m, uint64_t address, uint64_t *entry,
		      size_t n)
{
	struct looking *l = arg;

	return vu_census_steps(l->rd, m, address, entry, n, take_step, l);
}

int vu_census_swapped(struct vu_census_reader *rd, int proc_fd, int mem, int pagemap,
		      uint16_t owner, uint16_t program, struct vu_census_counts *ret)
{
	struct looking l = {rd, mem, pagemap, owner, program, ret, {0}};

	return vu_frames_process(&rd->frames, proc_fd, take_piece, &l);
}

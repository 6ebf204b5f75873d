/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/pages-swap.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "ops/session.h"

/* The area of that name or node, or NULL. */
static const struct vu_swaps_area *area_of(const struct vu_swaps *s, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return NULL;
	for (size_t i = 0; i < s->n; i++) {
		const struct vu_swaps_area *a = &s->area[i];

		if (a->file ? S_ISREG(st.st_mode) && st.st_dev == a->dev && st.st_ino == a->ino
			    : S_ISBLK(st.st_mode) && st.st_rdev == a->dev)
			return a;
	}
	return NULL;
}

bool vu_pages_swap_areas(const struct vu_pages_options *o, const struct vu_swaps *s)
{
	for (size_t i = 0; i < o->n; i++)
		if (!area_of(s, o->operands[i]))
			return false;
	return o->n;
}

int vu_pages_swap_numbers(struct vu_ops *ops)
{
	return vu_fail(
		ops, VU_OPS_REFUSED, "cannot count what is swapped out", "/proc/swaps",
		"areas of swap were given up, and the kernel does not show how it numbers the "
		"others",
		"give all up and take them again (swapoff -a; swapon -a), or use --swap-in");
}

static int refuse(struct vu_ops *ops, const struct vu_swaps *s, int e, int err)
{
	const char *what = "cannot count what is swapped out";
	const char *path = s->n ? s->area[s->n - 1].path : NULL;

	if (e == VU_SWAPS_NUMBERS)
		return vu_pages_swap_numbers(ops);
	if (e == VU_SWAPS_AREA)
		return vu_fail(ops, VU_OPS_REFUSED, what, path, strerror(-err),
			       "run where the area of swap can be read, or use --swap-in");
	if (e == VU_SWAPS_BLOCKS)
		return vu_fail(
			ops, VU_OPS_REFUSED, what, path,
			"the blocks of its file system are smaller than a page, so what lies "
			"where is not known",
			"use --swap-in");
	return vu_fail(ops, e, what, NULL, NULL, NULL);
}

static void skip_others(const struct vu_pages_options *o, struct vu_swaps *s)
{
	for (size_t i = 0; i < s->n; i++)
		s->area[i].skip = true;
	for (size_t i = 0; i < o->n; i++)
		s->area[area_of(s, o->operands[i]) - s->area].skip = false;
}

int vu_pages_swap_open(struct vu_ops *ops, const struct vu_pages_options *o, struct vu_swaps *ret)
{
	int err = 0, e;

	*ret = (struct vu_swaps){0};
	if (o->swap_in)
		return 0;
	if (vu_swaps_has_zswap())
		return vu_fail(
			ops, VU_OPS_REFUSED, "cannot count what is swapped out", "zswap",
			"it has pages that the areas of swap do not have, or have old ones of",
			"use --swap-in, or turn zswap off and wait until Zswapped of /proc/meminfo is "
			"0");
	e = vu_swaps_open(ret, &err);
	if (e)
		return refuse(ops, ret, e, err);
	if (vu_pages_swap_areas(o, ret))
		skip_others(o, ret);
	return 0;
}

/*
 * Since Linux 6.12 the kernel writes no page of zeros, but remembers that it is one: in its slot is what was there
 * before. zram forgets that with the slot; a disk does not. How many there are now is only known by how many have
 * come and gone (and some of these have not been swapped in, but given up).
 */
uint64_t vu_pages_swap_zero_unsure(const struct vu_swaps *s)
{
	uint64_t out = vu_swaps_vmstat("swpout_zero"), in = vu_swaps_vmstat("swpin_zero");

	for (size_t i = 0; i < s->n; i++)
		if (!s->area[i].skip && !s->area[i].zram)
			return out > in ? out - in : 0;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/handoff-guest.h"

#include <string.h>

#include "base/cleanup.h"

static bool is_known(const struct vu_handoff_dir *d)
{
	return d->ino;
}

static bool is_same(const struct vu_handoff_dir *a, const struct vu_handoff_dir *b)
{
	return a->ino == b->ino && a->dev == b->dev;
}

/* Nothing can be told from it: there is none, or the process has not left the host. */
static bool is_mute(const struct vu_handoff_facts *f, const struct vu_handoff_dir *d)
{
	return !is_known(d) || is_same(d, &f->host);
}

/* The index of the guest with this root, or n. */
static size_t by_dir(const struct vu_guests *guests, const struct vu_handoff_dir *d)
{
	size_t i = 0;

	while (i < guests->n && (guests->v[i].ino != d->ino || guests->v[i].dev != d->dev))
		i++;
	return i;
}

/* The index of the guest that metadata names, or n. */
static size_t by_metadata(const struct vu_handoff_facts *f, const struct vu_guests *guests)
{
	size_t i = 0;

	while (i < guests->n && (!f->metadata || strcmp(guests->v[i].name, f->metadata)))
		i++;
	return i;
}

static bool is_host(const struct vu_handoff_facts *f, const struct vu_guest *g)
{
	return is_same(&(struct vu_handoff_dir){g->dev, g->ino}, &f->host);
}

int vu_handoff_guest(const struct vu_handoff_facts *f, const struct vu_guests *guests,
		     struct vu_handoff_found *ret)
{
	const struct vu_handoff_dir *dirs[] = {
		[VU_HANDOFF_BY_ROOT] = &f->root,
		[VU_HANDOFF_BY_INIT] = &f->init_root,
	};
	size_t named = by_metadata(f, guests), found = guests->n;
	unsigned by = 0;

	while (by < VU_ARRAY_SIZE(dirs) && is_mute(f, dirs[by]))
		by++;
	if (by < VU_ARRAY_SIZE(dirs))
		found = by_dir(guests, dirs[by]);
	else if (!is_known(&f->root))
		return VU_HANDOFF_NOT_YET;
	if (found == guests->n || is_host(f, &guests->v[found]))
		return f->creating ? VU_HANDOFF_NOT_YET : VU_HANDOFF_NO_GUEST;
	*ret = (struct vu_handoff_found){found, by, named < guests->n && named != found};
	return 0;
}

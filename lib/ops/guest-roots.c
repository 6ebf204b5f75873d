/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/guest-roots.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"

VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)

static void add(struct vu_guest_roots *r, uint64_t dev, uint64_t ino)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].dev == dev && r->v[i].ino == ino)
			return;
	r->v[r->n++] = (struct vu_procs_root){.dev = dev, .ino = ino};
}

int vu_guest_roots_of(struct vu_session *s, size_t more, struct vu_guest_roots *ret)
{
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	int r = s->catalog ? vu_session_known_guests(s, &known) : 0;
	size_t n = s->guests.n + known.n + more;

	*ret = (struct vu_guest_roots){0};
	if (r)
		return r;
	ret->v = calloc(n + 1, sizeof(*ret->v));
	ret->unread = calloc(n + 1, sizeof(*ret->unread));
	if (!ret->v || !ret->unread)
		return -ENOMEM;
	for (size_t i = 0; i < s->guests.n; i++)
		add(ret, s->guests.v[i].dev, s->guests.v[i].ino);
	for (size_t i = 0; i < known.n; i++) {
		struct stat st;

		/* where another directory is by now, that is no guest */
		if (!stat(known.v[i].path, &st) && st.st_ino == known.v[i].ino)
			add(ret, st.st_dev, st.st_ino);
	}
	return 0;
}

void vu_guest_roots_done(struct vu_guest_roots *r)
{
	free(r->v);
	free(r->unread);
	*r = (struct vu_guest_roots){0};
}

int vu_guest_roots_add_host(struct vu_guest_roots *r)
{
	struct stat st;

	if (stat("/", &st))
		return -errno;
	/* if a guest is the host itself, it stands before this one and is found first */
	r->v[r->n++] = (struct vu_procs_root){.dev = st.st_dev, .ino = st.st_ino};
	return 0;
}

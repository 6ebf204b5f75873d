/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames are read by a child, since a process can make that wait for ever (base/watched.h). Where the child made no
 * progress it is killed, and another one counts everything anew without the guest whose process that was.
 */
#include "ops/ops-mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/watched.h"
#include "ops/guest-roots.h"
#include "ops/session.h"

#define IDLE_MAX_MS 2000

VU_DEFINE_CLEANUP(struct vu_pages *, vu_pages_free)
VU_DEFINE_CLEANUP_DONE(struct vu_guest_roots, vu_guest_roots_done)

struct counting {
	struct vu_guest_roots roots;
	struct vu_pages *pages;
};

static int add_process(void *arg, size_t root, pid_t pid, int task_fd)
{
	struct counting *c = arg;

	(void)pid;
	return c->roots.unread[root] ? 0 : vu_pages_add(c->pages, root, task_fd);
}

/* In the child. */
static int add_all(void *arg)
{
	struct counting *c = arg;

	return vu_procs_each(c->roots.v, c->roots.n, add_process, c);
}

static int count_pages(struct counting *c)
{
	int r;

	while ((r = vu_watched_run(vu_pages_progress(c->pages), IDLE_MAX_MS, add_all, c)) ==
	       VU_WATCHED_STUCK) {
		size_t guest = vu_pages_guest_at_hand(c->pages);

		if (guest >= c->roots.n || c->roots.unread[guest])
			return -EIO;
		c->roots.unread[guest] = true;
		vu_pages_clear(c->pages);
	}
	return r;
}

static int name_guests(const struct vu_session *s, struct vu_mem *m)
{
	m->guests = calloc(s->guests.n + 1, sizeof(*m->guests));
	if (!m->guests)
		return -ENOMEM;
	m->n_guests = s->guests.n;
	for (size_t i = 0; i < m->n_guests; i++) {
		m->guests[i].name = strdup(s->guests.v[i].name);
		m->guests[i].path = strdup(s->guests.v[i].path);
		if (!m->guests[i].name || !m->guests[i].path)
			return -ENOMEM;
	}
	return 0;
}

/* What can be said of a guest whose frames are not known. */
static int count_processes(const struct vu_guest_roots *roots, struct vu_mem *m)
{
	_cleanup_free_ struct vu_procs_found *found = calloc(roots->n + 1, sizeof(*found));
	int r = found ? vu_procs_scan(roots->v, roots->n, found) : -ENOMEM;

	for (size_t i = 0; !r && i < m->n_guests; i++)
		if (!m->guests[i].known)
			m->guests[i].pages =
				(struct vu_pages_guest){.processes = found[i].n_processes};
	return r;
}

static int add_charges(const struct vu_guest_roots *roots, struct vu_mem *m)
{
	_cleanup_free_ struct vu_charge *charges = calloc(roots->n + 1, sizeof(*charges));
	int r = charges ? vu_cgroup_charges(roots->v, roots->n, charges) : -ENOMEM;

	for (size_t i = 0; !r && i < m->n_guests; i++)
		m->guests[i].charge = charges[i];
	return r;
}

static int sum_up(struct counting *c, struct vu_mem *m)
{
	_cleanup_free_ struct vu_pages_guest *pages = calloc(c->roots.n + 1, sizeof(*pages));
	int r = pages ? vu_pages_sum(c->pages, pages, &m->total) : -ENOMEM;

	for (size_t i = 0; !r && i < m->n_guests; i++) {
		m->guests[i].known = !c->roots.unread[i];
		m->guests[i].pages = pages[i];
	}
	m->page_bytes = vu_pages_page_bytes(c->pages);
	return r;
}

static int look(struct vu_session *s, struct vu_mem *ret)
{
	vu_cleanup(vu_pages_free_p) struct vu_pages *pages = NULL;
	vu_cleanup(vu_guest_roots_done_p) struct vu_guest_roots roots = {0};
	int r = vu_guest_roots_of(s, 0, &roots);

	if (!r)
		r = name_guests(s, ret);
	if (!r)
		r = vu_pages_new(roots.n, &pages);
	ret->hidden = r == VU_FRAMES_HIDDEN;
	struct counting c = {.roots = roots, .pages = pages};

	if (!r)
		r = count_pages(&c);
	if (!r)
		r = sum_up(&c, ret);
	if (ret->hidden)
		r = 0;
	for (size_t i = 0; i < ret->n_guests; i++)
		ret->n_unknown += !ret->guests[i].known;
	if (!r && ret->n_unknown)
		r = count_processes(&roots, ret);
	return r ? r : add_charges(&roots, ret);
}

int vu_ops_mem(struct vu_ops *ops, char *const *guests, size_t n, struct vu_mem *ret)
{
	struct vu_session s = {.lock_fd = -EBADF};
	int r = vu_session_open(&s, ops, n ? VU_SESSION_NO_CATALOG : 0, guests, n);

	*ret = (struct vu_mem){0};
	if (!r)
		r = look(&s, ret);
	vu_session_close(&s);
	return r;
}

void vu_mem_done(struct vu_mem *m)
{
	for (size_t i = 0; i < m->n_guests; i++) {
		free(m->guests[i].name);
		free(m->guests[i].path);
	}
	free(m->guests);
	*m = (struct vu_mem){0};
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ksm-guests.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

bool vu_ksm_is_in(const struct vu_ksm_process *p)
{
	/* before Linux 6.16 ksm_stat does not say it, but what is scanned was opted in */
	return p->merge_any || p->mergeable || p->rmap_items || p->merging_pages;
}

/* Fits vu_procs_each. */
static int add_member(void *arg, size_t root, pid_t pid, int task_fd)
{
	struct vu_ksm_guests *k = arg;
	char path[32];

	(void)task_fd; /* of any thread: the name wanted is the process' */
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	_cleanup_fd_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct vu_ksm_member m = {
		.pid = pid,
		.guest = root < k->all.guests.n ? root : VU_KSM_NO_GUEST,
	};

	if (fd < 0 || vu_ksm_process_read(fd, &m.ksm))
		return 0;
	vu_procs_name(fd, m.name);
	if (k->n == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 64;
		struct vu_ksm_member *v = reallocarray(k->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		k->v = v;
		k->cap = cap;
	}
	k->v[k->n++] = m;
	return 0;
}

int vu_ksm_guests_look(struct vu_ksm_guests *k)
{
	k->n = 0;
	return vu_procs_each(k->roots, k->all.guests.n + 1, add_member, k);
}

static int know_roots(struct vu_ksm_guests *k)
{
	size_t n = k->all.guests.n;
	struct stat st;

	k->roots = calloc(n + 1, sizeof(*k->roots));
	if (!k->roots)
		return -ENOMEM;
	if (stat("/", &st))
		return -errno;
	for (size_t i = 0; i < n; i++)
		k->roots[i] =
			(struct vu_procs_root){k->all.guests.v[i].dev, k->all.guests.v[i].ino};
	k->roots[n] = (struct vu_procs_root){st.st_dev, st.st_ino};
	return 0;
}

int vu_ksm_guests_open(struct vu_ksm_guests *k, struct vu_ops *ops, char *const *guests, size_t n)
{
	*k = (struct vu_ksm_guests){.ops = ops, .of.lock_fd = -EBADF, .all.lock_fd = -EBADF};
	int r = vu_session_open(&k->of, ops, VU_SESSION_NO_CATALOG, guests, n);

	if (r == VU_OPS_NOT_SET_UP && !n) /* then all processes are of no guest */
		r = 0;
	if (!r)
		r = vu_session_open_beside(&k->all, &k->of);
	if (!r)
		r = know_roots(k);
	if (!r)
		r = vu_ksm_guests_look(k);
	return r;
}

void vu_ksm_guests_close(struct vu_ksm_guests *k)
{
	vu_session_close(&k->all);
	vu_session_close(&k->of);
	free(k->roots);
	free(k->v);
	*k = (struct vu_ksm_guests){.of.lock_fd = -EBADF, .all.lock_fd = -EBADF};
}

bool vu_ksm_guests_has(const struct vu_ksm_guests *k, size_t guest)
{
	/* those that were named are the first of all */
	return guest < k->of.guests.n;
}

int vu_ksm_guests_may(const struct vu_ksm_guests *k, size_t guest)
{
	const struct vu_guest *all = k->all.guests.v, *g = &all[guest];
	_cleanup_free_ char *why = NULL;

	for (size_t i = 0; i < k->n; i++) {
		const struct vu_ksm_member *m = &k->v[i];

		if (m->guest == VU_KSM_NO_GUEST || !vu_ksm_is_in(&m->ksm) ||
		    !strcmp(all[m->guest].domain, g->domain))
			continue;
		if (asprintf(&why,
			     "process %d of the guest %s is opted in, which is of another domain "
			     "(\"%s\", not \"%s\"), and KSM merges across all of them",
			     (int)m->pid, all[m->guest].name, all[m->guest].domain, g->domain) < 0)
			why = NULL;
		return vu_fail(k->ops, VU_OPS_REFUSED, "refused for the guest", g->path, why,
			       "detach that one first, or use --across-domains where neither needs "
			       "to be kept from guessing at the other's memory");
	}
	return 0;
}

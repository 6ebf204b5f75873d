/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/handed-guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "ops/ops-guests.h"

VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)

/* A directory that cannot be told is not known: its process has ended, or it is gone. */
static struct vu_handoff_dir dir_of(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return (struct vu_handoff_dir){0};
	return (struct vu_handoff_dir){st.st_dev, st.st_ino};
}

static struct vu_handoff_dir root_of(pid_t pid)
{
	char path[32];

	if (pid <= 0)
		return (struct vu_handoff_dir){0};
	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	return dir_of(path);
}

/* Where they are now: the catalog may have been written before the machine was started. */
static void see_roots(struct vu_guests *guests)
{
	for (size_t i = 0; i < guests->n; i++) {
		struct vu_handoff_dir d = dir_of(guests->v[i].path);

		guests->v[i].dev = d.dev;
		guests->v[i].ino = d.ino;
	}
}

static void tell_contradiction(const struct vu_ops *ops, const struct vu_kept *k,
			       const struct vu_guest *g)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text,
		     "container '%s' has this guest's root, though its profile says '%s': the root "
		     "is believed",
		     k->id, k->metadata) < 0)
		return;
	vu_emit(ops->sink,
		&(struct vu_event){.kind = VU_EVENT_WARN, .guest = g->name, .text = text});
}

int vu_handed_guest(struct vu_ops *ops, const struct vu_kept *k, pid_t caller, char **ret_root)
{
	vu_cleanup(vu_guests_done_p) struct vu_guests guests = {0};
	struct vu_handoff_found found;
	struct vu_handoff_facts f = {
		.host = dir_of("/"),
		.root = root_of(caller ? caller : k->pid),
		.init_root = root_of(k->init),
		.metadata = *k->metadata ? k->metadata : NULL,
		.creating = k->creating && !caller,
	};
	/* the runtime itself, before it goes to the container */
	if (caller && f.root.ino == f.host.ino && f.root.dev == f.host.dev)
		return VU_HANDOFF_NOT_YET;
	int r = vu_ops_guests_list(ops, &guests);

	if (r == VU_OPS_NOT_SET_UP)
		return VU_HANDOFF_NO_GUEST;
	if (r)
		return r < 0 ? r : -EIO;
	see_roots(&guests);
	r = vu_handoff_guest(&f, &guests, &found);
	if (r)
		return r;
	if (found.contradicted)
		tell_contradiction(ops, k, &guests.v[found.guest]);
	*ret_root = strdup(guests.v[found.guest].path);
	return *ret_root ? 0 : -ENOMEM;
}

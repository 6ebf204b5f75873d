/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lsm/asks.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/cleanup.h"

struct vu_asks {
	struct vu_lsm_asking maps;
	void (*fn)(void *arg, const struct vu_ask *ask);
	void *arg;
	struct ring_buffer *ring; /* owned */
	uint64_t missed;	  /* names_missed as it was seen last */
};

/* The kernel's programs wrote it: but a path is what a guest has named things. */
static bool is_whole(const struct vu_ask *ask, size_t size)
{
	if (size < offsetof(struct vu_ask, path) ||
	    ask->length > size - offsetof(struct vu_ask, path))
		return false;
	return ask->kind == VU_ASK_NAMES ||
	       (ask->kind == VU_ASK_OPEN && ask->length && !ask->path[ask->length - 1]);
}

static int on_record(void *arg, void *data, size_t size)
{
	const struct vu_asks *a = arg;
	const struct vu_ask *ask = data;

	if (is_whole(ask, size))
		a->fn(a->arg, ask);
	return 0;
}

int vu_asks_new(const struct vu_lsm_asking *asking, void (*fn)(void *arg, const struct vu_ask *ask),
		void *arg, struct vu_asks **ret)
{
	struct vu_asks *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	*a = (struct vu_asks){.maps = *asking, .fn = fn, .arg = arg};
	a->ring = ring_buffer__new(asking->asks, on_record, a, NULL);
	if (!a->ring) {
		int r = -errno;

		free(a);
		return r;
	}
	*ret = a;
	return 0;
}

struct vu_asks *vu_asks_free(struct vu_asks *a)
{
	if (!a)
		return NULL;
	ring_buffer__free(a->ring);
	free(a);
	return NULL;
}

int vu_asks_fd(const struct vu_asks *a)
{
	return ring_buffer__epoll_fd(a->ring);
}

int vu_asks_read(struct vu_asks *a)
{
	int n = ring_buffer__consume(a->ring);

	return VU_MIN(n, 0);
}

bool vu_asks_missed(struct vu_asks *a)
{
	uint64_t now = __atomic_load_n(a->maps.names_missed, __ATOMIC_RELAXED);
	bool more = now != a->missed;

	a->missed = now;
	return more;
}

int vu_asks_hold(struct vu_asks *a, const struct vu_guard_mark *mark)
{
	__u32 one = 1;

	return bpf_map_update_elem(a->maps.held, mark, &one, BPF_ANY) ? -errno : 0;
}

int vu_asks_let_go(struct vu_asks *a, const struct vu_guard_mark *mark)
{
	return bpf_map_delete_elem(a->maps.held, mark) && errno != ENOENT ? -errno : 0;
}

int vu_asks_refusals(const struct vu_asks *a)
{
	return a->maps.refusals;
}

int vu_ask_refuse(int refusals, uint32_t tid, uint64_t ino, int err)
{
	struct vu_ask_refusal who = {.ino = ino, .tid = tid};
	__s32 value = err;

	return bpf_map_update_elem(refusals, &who, &value, BPF_ANY) ? -errno : 0;
}

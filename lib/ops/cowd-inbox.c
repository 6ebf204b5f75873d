/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/cowd-inbox.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cow/handoff-peer.h"

#define MESSAGE_MS 5000 /* for all of it: runtimes write it at once */

struct connection {
	int sock;			  /* owned */
	struct vu_handoff_reader *reader; /* owned */
	int64_t until;			  /* ms, monotonic */
};

struct vu_inbox {
	struct connection v[VU_INBOX_MAX];
	size_t n;
};

struct vu_inbox *vu_inbox_new(void)
{
	return calloc(1, sizeof(struct vu_inbox));
}

static void drop(struct vu_inbox *b, size_t i)
{
	vu_handoff_reader_free(b->v[i].reader);
	close(b->v[i].sock);
	b->v[i] = b->v[--b->n];
}

struct vu_inbox *vu_inbox_free(struct vu_inbox *b)
{
	while (b && b->n)
		drop(b, 0);
	free(b);
	return NULL;
}

bool vu_inbox_has_room(const struct vu_inbox *b)
{
	return b->n < VU_INBOX_MAX;
}

int vu_inbox_add_consume(struct vu_inbox *b, int sock, int proc, const char **ret_why)
{
	_cleanup_fd_ int fd = sock;
	int r = vu_handoff_check_peer(fd, proc, NULL);

	*ret_why = "the peer is not the host's root";
	if (r)
		return r < 0 ? r : VU_INBOX_REFUSED;
	struct connection c = {
		.sock = fd,
		.reader = vu_handoff_reader_new(fd),
		.until = vu_clock_ms() + MESSAGE_MS,
	};

	if (!c.reader)
		return -ENOMEM;
	(void)vu_take_fd(fd);
	b->v[b->n++] = c;
	return 0;
}

size_t vu_inbox_poll(const struct vu_inbox *b, struct pollfd *p, int *ret_ms)
{
	int64_t first = INT64_MAX;

	for (size_t i = 0; i < b->n; i++) {
		p[i] = (struct pollfd){.fd = b->v[i].sock, .events = POLLIN};
		first = VU_MIN(first, b->v[i].until);
	}
	*ret_ms = b->n ? (int)VU_MAX(first - vu_clock_ms(), 0) : -1;
	return b->n;
}

int vu_inbox_next(struct vu_inbox *b, struct vu_handoff **ret, const char **ret_why)
{
	for (size_t i = 0; i < b->n;) {
		struct connection *c = &b->v[i];
		int r = vu_handoff_read(c->reader, ret);

		if (r == VU_HANDOFF_MORE && vu_clock_ms() < c->until) {
			i++;
			continue;
		}
		*ret_why =
			r == VU_HANDOFF_MORE ? "it did not end in time" : vu_handoff_why(c->reader);
		drop(b, i);
		if (r != VU_HANDOFF_EMPTY)
			return r > 0 ? VU_INBOX_REFUSED : r;
	}
	return VU_INBOX_NOTHING;
}

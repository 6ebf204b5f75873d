/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "race-guest.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>

#include "race-proc.h"

#define END_NS UINT64_C(60000000000)

int guest_run(struct board *b, unsigned guest, void (*start)(struct board *b, unsigned guest))
{
	int status, rc = 0;

	atomic_fetch_add(&b->running, 1);
	start(b, guest);
	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			fprintf(stderr, "race: a process of guest %u ended with status %#x\n",
				guest + 1, status);
			b->failed = 1;
			rc = 1;
		}
	atomic_fetch_sub(&b->running, 1);
	return rc;
}

/* Where nobody gets to run when he wants to, neither does who is to answer, several times. */
static uint64_t limit_ns(const struct board *b)
{
	return b->hang_s * UINT64_C(1000000000) + 8 * b->stall_ns;
}

void look_for_hangs(struct board *b)
{
	uint64_t now = clock_ns();

	for (unsigned i = 0; !b->failed && i < b->n_guests * b->n_procs; i++) {
		const struct counters *n = &b->counters[i / b->n_procs][i % b->n_procs];
		uint64_t since = atomic_load(&n->since_ns);

		if (!since || now < since + limit_ns(b))
			continue;
		fprintf(stderr, "race: process %u of guest %u hangs in '%s' for %llu ms\n",
			i % b->n_procs, i / b->n_procs + 1, mode_names[n->doing],
			(unsigned long long)((now - since) / 1000000));
		b->hangs++;
		b->failed = 1;
	}
}

bool guests_ended(struct board *b)
{
	uint64_t end = clock_ns() + END_NS;

	while (atomic_load(&b->running) && clock_ns() < end)
		nap_us(10000);
	if (atomic_load(&b->running))
		fprintf(stderr, "race: processes of %u guests do not end\n",
			atomic_load(&b->running));
	return !atomic_load(&b->running);
}

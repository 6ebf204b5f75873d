/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is broken while a guest runs, on its way to the catalog (db/catalog-broken.h): collected from events,
 * written now and then, and at the end. So much memory, however much the guest has broken: then it is only
 * known that there was more. Of what cannot be written, because a run has the catalog, only that is told later.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/event.h"
#include "ops/context.h"

struct vu_broken_log {
	const struct vu_ops *ops;   /* borrowed */
	const struct vu_sink *next; /* borrowed: hears of everything, too */
	struct vu_sink sink;	    /* to be told events */
	uint32_t guest;	      /* the catalog's number; 0: there is none, and nothing is written */
	pthread_mutex_t lock; /* of what follows */
	char **paths;	      /* owned */
	size_t n;
	bool more;	  /* than are in paths */
	int64_t write_at; /* ms (vu_clock_ms): not before */
};

void vu_broken_log_init(struct vu_broken_log *l, const struct vu_ops *ops,
			const struct vu_sink *next, uint32_t guest);

/* Writes what there is, if it is time. */
void vu_broken_log_look(struct vu_broken_log *l);

/* Writes it, and frees what is owned. */
void vu_broken_log_done(struct vu_broken_log *l);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/broken-log.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "db/catalog-broken.h"
#include "ops/run.h"

#define PATHS_MAX 16384
#define EACH_MS 60000

static void on_event(void *arg, const struct vu_event *e)
{
	struct vu_broken_log *l = arg;

	if (e->kind == VU_EVENT_BREAK && e->path && l->guest) {
		pthread_mutex_lock(&l->lock);
		char *path = l->n < PATHS_MAX ? strdup(e->path) : NULL;

		if (path)
			l->paths[l->n++] = path;
		else
			l->more = true;
		pthread_mutex_unlock(&l->lock);
	}
	vu_emit(l->next, e);
}

void vu_broken_log_init(struct vu_broken_log *l, const struct vu_ops *ops,
			const struct vu_sink *next, uint32_t guest)
{
	*l = (struct vu_broken_log){
		.ops = ops,
		.next = next,
		.sink = {on_event, l},
		.guest = guest,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.paths = calloc(PATHS_MAX + 1, sizeof(*l->paths)),
		.write_at = vu_clock_ms() + EACH_MS,
	};
	if (!l->paths)
		l->guest = 0;
}

/* paths has room for one more. Returns whether it was written. */
static bool write_paths(const struct vu_broken_log *l, char **paths, size_t n, bool more)
{
	static char rest[] = "";
	_cleanup_catalog_ struct vu_catalog *cat = NULL;

	if (more)
		paths[n] = rest;
	return !vu_catalog_open(l->ops->config->catalog, VU_CATALOG_NOTE, &cat, NULL) &&
	       !vu_catalog_broken_add(cat, l->guest, (const char *const *)paths, n + more,
				      vu_clock_real_ns());
}

/* Who answers calls does not wait for a disk meanwhile. */
static void flush(struct vu_broken_log *l)
{
	char **fresh = calloc(PATHS_MAX + 1, sizeof(*fresh)), **paths = l->paths;
	size_t n;
	bool more;

	if (!fresh)
		return;
	pthread_mutex_lock(&l->lock);
	n = l->n;
	more = l->more;
	l->paths = fresh;
	l->n = 0;
	l->more = false;
	pthread_mutex_unlock(&l->lock);
	bool written = (!n && !more) || write_paths(l, paths, n, more);

	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	free(paths);
	if (written)
		return;
	/* it is not told which they were, the next time */
	pthread_mutex_lock(&l->lock);
	l->more = true;
	pthread_mutex_unlock(&l->lock);
}

void vu_broken_log_look(struct vu_broken_log *l)
{
	if (!l->guest || vu_clock_ms() < l->write_at)
		return;
	l->write_at = vu_clock_ms() + EACH_MS;
	flush(l);
}

void vu_broken_log_done(struct vu_broken_log *l)
{
	if (l->guest)
		flush(l);
	for (size_t i = 0; i < l->n; i++)
		free(l->paths[i]);
	free(l->paths);
	l->paths = NULL;
	l->guest = 0;
	l->n = 0;
}

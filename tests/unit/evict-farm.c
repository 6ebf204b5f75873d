/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evict-farm.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/openers.h"

/* ---- processes in guests ---- */

static struct writer writers[4];
static unsigned n_writers;

/* Does what it is told: open, write, close; answers with 1 or 0. */
static void be_writer(int in, int out)
{
	int fd = -1;
	char c;

	while (read(in, &c, 1) == 1) {
		bool ok = true;

		if (c == 'o')
			ok = (fd = open("/" F0, O_RDWR | O_CLOEXEC)) >= 0;
		else if (c == 'w')
			ok = pwrite(fd, BYTES, strlen(BYTES), 0) == (ssize_t)strlen(BYTES);
		else if (c == 'c')
			ok = !close(fd);
		c = ok;
		if (write(out, &c, 1) != 1)
			break;
	}
	_exit(0);
}

struct writer *start_writer(const struct farm *f, unsigned guest)
{
	struct writer *w = &writers[n_writers];
	int to[2], from[2];

	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	w->pid = fork();
	if (!w->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned i = 0; i < n_writers; i++)
			close(writers[i].in);
		if (chroot(f->guests.v[guest].path) || chdir("/"))
			_exit(1);
		be_writer(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	w->in = to[1];
	w->out = from[0];
	n_writers++;
	return w;
}

void tell(struct writer *w, char c)
{
	assert_int_equal(write(w->in, &c, 1), 1);
}

bool answer(struct writer *w)
{
	struct pollfd p = {.fd = w->out, .events = POLLIN};
	char c = 0;

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(read(w->out, &c, 1), 1);
	return c;
}

bool ask(struct writer *w, char c)
{
	tell(w, c);
	return answer(w);
}

void stop_writers(void)
{
	for (; n_writers; n_writers--) {
		kill(writers[n_writers - 1].pid, SIGKILL);
		waitpid(writers[n_writers - 1].pid, NULL, 0);
		close(writers[n_writers - 1].in);
		close(writers[n_writers - 1].out);
	}
}

int clean_up_all(void **state)
{
	stop_writers();
	return clean_up(state);
}

/* ---- the watch, as ops gives it ---- */

static int who(void *arg, uint64_t dev, uint64_t ino, const struct vu_waiters *waited,
	       struct vu_slip_seen *ret, size_t cap)
{
	const struct farm *f = arg;
	struct vu_procs_root roots[GUESTS];
	const char *paths[GUESTS];
	struct vu_openers_found found[GUESTS + 1];
	int n = 0;

	for (unsigned g = 0; g < f->n; g++) {
		roots[g] = (struct vu_procs_root){f->guests.v[g].dev, f->guests.v[g].ino};
		paths[g] = f->guests.v[g].path;
	}
	assert_int_equal(vu_openers_find(roots, paths, f->n, dev, ino, waited->v, waited->n, found),
			 0);
	for (unsigned g = 0; g <= f->n && (size_t)n < cap; g++)
		if (found[g].holds || found[g].waited)
			ret[n++] = (struct vu_slip_seen){
				.root_ino = g < f->n ? roots[g].ino : 0,
				.holds = found[g].holds,
				.waited = found[g].waited,
			};
	return n;
}

struct vu_slip_watch watch_of(struct farm *f)
{
	return (struct vu_slip_watch){.who = who, .arg = f};
}

const struct vu_sink evict_sink = {on_event, &seen};

struct vu_breaker_env evict_env(struct farm *f, const struct vu_slip_watch *w,
				struct vu_pool **pools)
{
	return (struct vu_breaker_env){
		.guests = &f->guests,
		.root_fds = f->roots,
		.pools = pools,
		.n_pools = 1,
		.max_xattr_bytes = 65536,
		.sink = &evict_sink,
		.watch = w,
	};
}

static int evict_one(const struct vu_breaker_env *env, struct vu_evict *e,
		     struct vu_evict_stats *stats, struct farm *f, int ready)
{
	struct break_list l = {.f = f};

	assert_int_equal(break_object(&l, e->ino, &e->key), 0);
	e->items = l.v;
	e->n_items = l.n;
	if (ready >= 0)
		assert_int_equal(write(ready, "r", 1), 1);
	int r = vu_evict_run(env, e, stats);

	break_list_done(&l);
	return r;
}

static int try_evict(struct farm *f, struct vu_evict_stats *ret, int ready)
{
	struct vu_pool *pools[1] = {f->pool};
	struct vu_slip_watch w = f->watch.who ? f->watch : watch_of(f);

	w.parking = f->watch.parking;

	struct vu_breaker_env env = evict_env(f, &w, pools);
	struct vu_evict *v = NULL;
	size_t n = 0;

	*ret = (struct vu_evict_stats){0};
	memset(seen.n, 0, sizeof(seen.n));
	int r = vu_evict_look(&env, 0, &v, &n, ret);

	for (size_t i = 0; !r && i < n; i++)
		r = evict_one(&env, &v[i], ret, f, ready);
	free(v);
	return r;
}

void evict_from(struct farm *f, struct vu_evict_stats *ret, int ready)
{
	assert_int_equal(try_evict(f, ret, ready), 0);
}

int evict_or_fail(struct farm *f, struct vu_evict_stats *ret)
{
	return try_evict(f, ret, -1);
}

void evict(struct farm *f, struct vu_evict_stats *ret)
{
	evict_from(f, ret, -1);
}

/* ---- what must hold ---- */

void has_text(const struct farm *f, unsigned g, const char *rel, const char *want)
{
	char p[256];

	guest_path(f, g, rel, p);
	char *text = get_text(p);

	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
}

void has_kept(const struct farm *f, uint64_t ino, unsigned g, const char *want)
{
	has_text(f, g, F0, want);
	assert_int_equal(stat_of(f, g, F0).st_ino, ino);
	assert_int_equal(stat_of(f, g, TWIN).st_ino, ino);
	assert_int_equal(stat_of(f, g, F0).st_nlink, 2);
	assert_false(immutable(f, g, F0));
}

void have_moved(const struct farm *f, uint64_t old, unsigned mask)
{
	uint64_t ino = 0;
	unsigned n = 0;

	for (unsigned g = 0; g < f->n; g++) {
		if (!(mask & 1U << g))
			continue;
		has_text(f, g, F0, CONTENT);
		if (!n++)
			ino = stat_of(f, g, F0).st_ino;
		assert_int_equal(stat_of(f, g, F0).st_ino, ino);
		assert_int_equal(stat_of(f, g, TWIN).st_ino, ino);
		assert_int_equal(stat_of(f, g, F0).st_mtim.tv_sec, MTIME);
		assert_int_equal(stat_of(f, g, F0).st_mtim.tv_nsec, 123456789);
		assert_true(immutable(f, g, F0));
		assert_int_equal(stat_of(f, g, F0).st_nlink, 2 * __builtin_popcount(mask) + 1);
	}
	assert_true(ino != old);
	stage_is_empty(f);
}

bool is_rescued(const struct farm *f)
{
	return !sh("grep -q " BYTES " %s/.vunify/rescued/* 2>/dev/null", f->fs->mnt);
}

void others_unchanged(const struct farm *f, const char *which)
{
	manifest(f, "b", true);
	assert_int_equal(sh("cd %s && grep '%s' a >a1; grep '%s' b >b1; diff a1 b1", f->fs->dir,
			    which, which),
			 0);
}

void goes_on(struct farm *f)
{
	struct vu_breaker_stats b;

	stop_writers();
	assert_int_equal(farm_recover(f, false).damaged, 0);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(farm_unmerge(f, &b), 0);
	assert_int_equal(b.failed, 0);
	assert_int_equal(n_objects(f), 0);
	assert_int_equal(seen.n[VU_EVENT_WARN] + seen.n[VU_EVENT_DAMAGE], 0);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cases.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "errnos.h"
#include "fail.h"

static void add_job(struct cases *p, struct job j)
{
	if (p->n_jobs == MAX_JOBS)
		fail("more than %d cases", MAX_JOBS);
	p->jobs[p->n_jobs++] = j;
}

static void add_place(struct cases *p, const struct point *at)
{
	struct job j = {.scenario = (uint16_t)p->n_scenarios, .at = *at};
	const int *errs;

	if (!p->errors) {
		j.mode = INJECT_KILL;
		add_job(p, j);
		j.mode = INJECT_KILL_ALL;
		if (call_changes(at->call))
			add_job(p, j);
		return;
	}
	errs = at->in_main ? errnos_of(at->call) : NULL;
	for (; errs && *errs; errs++) {
		j.err = *errs;
		j.mode = INJECT_FAIL;
		add_job(p, j);
		/* whoever tries again what was interrupted is right */
		j.mode = INJECT_FAIL_EVER;
		if (j.err != EINTR)
			add_job(p, j);
	}
}

void cases_add(struct cases *p, const struct scenario *s, const struct point *v, size_t n)
{
	if (p->n_scenarios == MAX_SCENARIOS)
		fail("more than %d scenarios", MAX_SCENARIOS);
	p->scenarios[p->n_scenarios] = *s;
	for (size_t i = 0; i < n; i++)
		add_place(p, &v[i]);
	p->n_scenarios++;
}

void cases_add_branches(struct cases *p)
{
	for (unsigned i = 0; i < p->n_branches; i++) {
		const struct branch *b = &p->branches[i];
		bool new = b->n > 0;

		for (unsigned k = 0; new &&k < i; k++)
			new = p->branches[k].signature != b->signature;
		if (new)
			cases_add(p, &b->scenario, p->points + b->from, b->n);
	}
}

/* ---- which ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static uint64_t mix_call(uint64_t h, struct call c)
{
	return mix(mix(h, (uint64_t)(unsigned)c.nr), c.kind);
}

/* A set of values; 0 is none of them. */
struct seen {
	uint64_t *v;
	size_t mask;
};

static bool is_new(struct seen *s, uint64_t h)
{
	size_t i = h & s->mask;

	h |= 1;
	for (; s->v[i]; i = (i + 1) & s->mask)
		if (s->v[i] == h)
			return false;
	s->v[i] = h;
	return true;
}

static uint64_t mix_text(uint64_t h, const char *s)
{
	while (*s)
		h = mix(h, (unsigned char)*s++);
	return h;
}

/* In which command a call is: all recoveries are one. */
static uint64_t mix_command(uint64_t h, const struct cases *p, const struct job *j)
{
	const struct scenario *sc = &p->scenarios[j->scenario];

	return mix_text(h, sc->cuts[0].command ? "recover" : sc->name);
}

/*
 * A place is a call of a command behind another call. Two thirds of them are left to the runs on other file
 * systems, of which each has another third. Of recoveries two thirds are left to them as a whole.
 */
static bool left_out(const struct cases *p, const struct job *j)
{
	uint64_t h = mix_call(mix_call(4, j->at.call), j->at.after);

	if (p->third < 0 || p->errors || p->scenarios[j->scenario].cuts[0].command)
		return false;
	return (int)(mix_command(h, p, j) % 3) != p->third;
}

/*
 * At least once, in each command and in recovery: killed at each call behind each kind of change; each
 * change with each of its errors, and behind each kind of change. Each error of the calls that only
 * look: somewhere.
 */
static bool must(struct seen *s, const struct cases *p, const struct job *j)
{
	bool changes = call_changes(j->at.call), where, what;
	uint64_t h = mix_call(1, j->at.call);

	if (changes || !p->errors)
		h = mix_command(h, p, j);
	where = (changes || !p->errors) && is_new(s, mix_call(mix(h, 2), j->at.after));
	what = p->errors && is_new(s, mix(mix(h, 3), (uint64_t)j->err));
	return where || what;
}

/* Of the changes of each kind some more. */
static bool wanted(const struct cases *p, const struct job *j)
{
	return !p->errors && j->mode == INJECT_KILL && call_changes(j->at.call) &&
	       !p->scenarios[j->scenario].cuts[0].command && (j->at.n < 3 || j->at.n % 16 == 0);
}

static uint32_t choose(struct cases *p, uint32_t i)
{
	if (p->jobs[i].chosen)
		return 0;
	p->jobs[i].chosen = true;
	return 1;
}

/* The cases in an order that has nothing to do with where they come from. */
static uint32_t *shuffled(const struct cases *p)
{
	uint32_t *v = calloc(p->n_jobs + 1, sizeof(*v));
	uint64_t h = p->seed + 1;

	if (!v)
		fail("no memory");
	for (uint32_t i = 0; i < p->n_jobs; i++) {
		uint32_t k;

		h = mix(h, i + UINT64_C(1));
		k = (uint32_t)(h % (i + 1));
		v[i] = v[k];
		v[k] = i;
	}
	return v;
}

static void put_in_order(struct cases *p)
{
	uint32_t n = 0;

	for (unsigned s = 0; s < STATE_N; s++) {
		p->next[s] = n;
		for (uint32_t i = 0; i < p->n_jobs; i++)
			if (p->jobs[i].chosen && p->scenarios[p->jobs[i].scenario].from == s)
				p->order[n++] = i;
		p->end[s] = n;
	}
	p->n_chosen = n;
}

static uint32_t choose_needed(struct cases *p, const uint32_t *v)
{
	struct seen s = {.mask = (1 << 20) - 1};
	uint32_t n = 0;

	s.v = calloc(s.mask + 1, sizeof(*s.v));
	if (!s.v)
		fail("no memory");
	for (uint32_t i = 0; i < p->n_jobs; i++)
		if (!left_out(p, &p->jobs[v[i]]) &&
		    (must(&s, p, &p->jobs[v[i]]) || wanted(p, &p->jobs[v[i]])))
			n += choose(p, v[i]);
	free(s.v);
	return n;
}

static bool fits(const struct cases *p, const struct job *j, const char *pattern)
{
	char *text = pattern ? cases_job_text(p, j) : NULL;
	bool fits = !pattern || !fnmatch(pattern, text, 0);

	free(text);
	return fits;
}

void cases_choose(struct cases *p, const char *like)
{
	uint32_t *v = shuffled(p), n = like ? 0 : choose_needed(p, v);

	for (uint32_t i = 0; i < p->n_jobs && (!p->quota || n < p->quota); i++)
		if (fits(p, &p->jobs[v[i]], like))
			n += choose(p, v[i]);
	free(v);
	put_in_order(p);
}

char *cases_job_text(const struct cases *p, const struct job *j)
{
	static const char *const modes[] = {[INJECT_KILL] = "kill",
					    [INJECT_KILL_ALL] = "kill all",
					    [INJECT_FAIL] = "fail once",
					    [INJECT_FAIL_EVER] = "fail for ever"};
	char *text = NULL, call[80];

	snprintf(call, sizeof(call), "%s", call_name(j->at.call));
	if (asprintf(&text, "%s: %s%s%s at %s %u of thread %u, after %s",
		     p->scenarios[j->scenario].name, modes[j->mode], j->err ? " with " : "",
		     j->err ? errnos_name(j->err) : "", call, j->at.n, j->at.thread,
		     call_name(j->at.after)) < 0)
		fail("no memory");
	return text;
}

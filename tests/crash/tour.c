/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tour.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "fail.h"
#include "judge.h"

#define LIMIT_S 180 /* SQLite waits for a lock six times, for 5 s and more each */
#define MAX_ARGS 32
#define MAX_LOST 400 /* then it is not worth to go on */
#define ALL "g1 g2 g3"

/* ---- running ---- */

/* The command in the room; r has what is done to it. */
static void run(struct tour *t, const char *command, bool json, struct inject *r)
{
	char config[300], catalog[300], words[400], *argv[MAX_ARGS], *save = NULL, *w;
	int n = 0;

	snprintf(config, sizeof(config), "--config=%s/conf", t->room.state);
	snprintf(catalog, sizeof(catalog), "--catalog=%s/catalog", t->room.state);
	snprintf(words, sizeof(words), "%s", command);
	argv[n++] = (char *)(uintptr_t)t->cases->vunify;
	argv[n++] = config;
	argv[n++] = catalog;
	argv[n++] = json ? "--json" : "--quiet";
	for (w = strtok_r(words, " ", &save); w && n < MAX_ARGS - 1; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	argv[n] = NULL;
	r->dir = t->room.mnt;
	r->argv = argv;
	r->limit_s = LIMIT_S;
	inject_run(r);
}

/* Undisturbed, and it has to succeed. */
static void plain(struct tour *t, const char *command)
{
	struct inject r = {.mode = INJECT_NOTHING};

	run(t, command, false, &r);
	if (r.status)
		fail("vunify %s: status %#x: %s", command, r.status, r.err_text);
	inject_done(&r);
}

static void make_room(struct tour *t)
{
	room_make(&t->room, t->dir);
	t->state = STATE_PRIVATE;
	plain(t, "scan " ALL);
	plain(t, "unmerge " ALL);
	room_catalog_save(&t->room);
}

/* Whatever begins in a state where something is unified finds the catalog of a scan. */
static void go_to(struct tour *t, enum state to)
{
	if (t->state == to)
		return;
	if (to == STATE_PRIVATE) {
		plain(t, "unmerge " ALL);
	} else if (t->state != STATE_UNIFIED) {
		if (t->state != STATE_THIRD_PRIVATE)
			room_catalog_remove(&t->room);
		plain(t, "scan " ALL);
	}
	if (to == STATE_THIRD_PRIVATE)
		plain(t, "unmerge g3");
	t->state = to;
}

static void set_catalog(struct tour *t, enum catalog c)
{
	if (c == CATALOG_NONE)
		room_catalog_remove(&t->room);
	else if (c == CATALOG_SAVED)
		room_catalog_restore(&t->room);
}

static void cut(struct tour *t, const struct scenario *s)
{
	for (size_t i = 0; i < MAX_CUTS && s->cuts[i].command; i++) {
		struct inject r = {.mode = INJECT_KILL, .at = s->cuts[i].at};

		run(t, s->cuts[i].command, false, &r);
		inject_done(&r);
	}
}

/* In the state and with the catalog that it begins with, and cut short what comes before. */
static void set_up(struct tour *t, const struct scenario *s)
{
	go_to(t, s->from);
	set_catalog(t, s->catalog);
	if (s->prepare == PREPARE_ORPHAN)
		room_orphan(&t->room);
	if (s->prepare == PREPARE_DAMAGE)
		room_damage(&t->room);
	t->room.damaged = s->prepare == PREPARE_DAMAGE;
	cut(t, s);
}

/* ---- exploring ---- */

struct points {
	struct point *v;
	size_t n, cap;
};

static void keep_point(void *arg, const struct point *p)
{
	struct points *ps = arg;

	if (ps->n == ps->cap) {
		ps->cap = ps->cap ? 2 * ps->cap : 1024;
		ps->v = reallocarray(ps->v, ps->cap, sizeof(*ps->v));
		if (!ps->v)
			fail("no memory");
	}
	ps->v[ps->n++] = *p;
}

/* Traces the scenario; it has to succeed. */
static struct points trace(struct tour *t, const struct scenario *s)
{
	struct points ps = {0};
	struct inject r = {.mode = INJECT_TRACE, .seen = keep_point, .arg = &ps};

	set_up(t, s);
	run(t, s->command, t->cases->errors, &r);
	if (r.status && !judge_fine(s, r.status))
		fail("vunify %s: status %#x: %s", s->command, r.status, r.err_text);
	inject_done(&r);
	room_forget_rescued(&t->room);
	t->state = s->cuts[0].command ? STATE_BETWEEN : s->to;
	return ps;
}

/* The last time that a call is made behind another one is the place: there most is done already. */
static void add_branches(struct cases *p, const struct scenario *of, const struct points *ps,
			 enum state back)
{
	for (size_t i = 0; i < ps->n; i++) {
		const struct point *at = &ps->v[i];
		struct scenario *s = &p->branches[p->n_branches].scenario;
		bool last = true;

		for (size_t k = i + 1; last && k < ps->n; k++)
			last = !call_equal(ps->v[k].call, at->call) ||
			       !call_equal(ps->v[k].after, at->after);
		if (!call_changes(at->call) || !last || p->n_branches == MAX_BRANCHES)
			continue;
		*s = *of;
		s->command = "recover " ALL;
		s->finish = of->command;
		s->cuts[0] = (struct cut){.command = of->command, .at = *at};
		s->to = back;
		if (snprintf(s->name, sizeof(s->name), "recover after %s cut at %s %u", of->name,
			     call_name(at->call), at->n) >= (int)sizeof(s->name))
			fail("long names");
		p->n_branches++;
	}
}

static const struct scenario first[] = {
	{.name = "scan",
	 .command = "scan " ALL,
	 .from = STATE_PRIVATE,
	 .to = STATE_UNIFIED,
	 .catalog = CATALOG_NONE},
	{.name = "unmerge of one guest",
	 .command = "unmerge g3",
	 .from = STATE_UNIFIED,
	 .to = STATE_THIRD_PRIVATE},
	{.name = "verify --repair",
	 .command = "verify --repair " ALL,
	 .from = STATE_THIRD_PRIVATE,
	 .to = STATE_THIRD_PRIVATE,
	 .prepare = PREPARE_DAMAGE},
	{.name = "scan again",
	 .command = "scan " ALL,
	 .from = STATE_THIRD_PRIVATE,
	 .to = STATE_UNIFIED},
	/* what g3 had has come apart; without the catalog it is no guest */
	{.name = "remerge",
	 .command = "remerge",
	 .finish = "scan " ALL,
	 .from = STATE_THIRD_PRIVATE,
	 .to = STATE_UNIFIED},
	{.name = "remerge of nothing",
	 .command = "remerge",
	 .finish = "scan " ALL,
	 .from = STATE_UNIFIED,
	 .to = STATE_UNIFIED},
	{.name = "gc",
	 .command = "gc " ALL,
	 .from = STATE_UNIFIED,
	 .to = STATE_UNIFIED,
	 .prepare = PREPARE_ORPHAN},
	{.name = "unmerge", .command = "unmerge " ALL, .from = STATE_UNIFIED, .to = STATE_PRIVATE},
	{.name = "guests add",
	 .command = "guests add --domain=blue g1",
	 .from = STATE_PRIVATE,
	 .to = STATE_PRIVATE,
	 .catalog = CATALOG_NONE,
	 .guests = true},
	{.name = "guests set",
	 .command = "guests set --domain=blue --trust=yes --name=second g2",
	 .from = STATE_PRIVATE,
	 .to = STATE_PRIVATE,
	 .catalog = CATALOG_SAVED,
	 .guests = true},
	{.name = "guests remove",
	 .command = "guests remove g3",
	 .from = STATE_PRIVATE,
	 .to = STATE_PRIVATE,
	 .catalog = CATALOG_SAVED,
	 .guests = true},
};

static void keep_structure(struct tour *t)
{
	char *kept = t->cases->structure[t->state], *text;
	struct snapshot s;

	snapshot_take(&t->room, &s);
	text = room_structure(&t->room, &s);
	if (*kept && strcmp(kept, text) != 0)
		fail("two undisturbed ways end differently:\n%s\n%s", kept, text);
	snprintf(kept, MAX_TEXT, "%s", text);
	free(text);
	snapshot_done(&s);
}

void tour_explore(struct tour *t)
{
	make_room(t);
	keep_structure(t);
	for (size_t i = 0; i < sizeof(first) / sizeof(*first); i++) {
		struct scenario s = first[i];
		struct points ps;

		if (!s.finish)
			s.finish = s.command;
		ps = trace(t, &s);
		if (!s.guests)
			keep_structure(t);
		cases_add(t->cases, &s, ps.v, ps.n);
		if (!strcmp(s.name, "scan") || !strcmp(s.name, "unmerge"))
			add_branches(t->cases, &s, &ps, s.to);
		free(ps.v);
	}
}

/* What a recovery does, told by what it changes. */
static uint64_t signature(const struct points *ps)
{
	uint64_t h = 1;

	for (size_t i = 0; i < ps->n; i++)
		if (call_changes(ps->v[i].call))
			h = (h ^
			     ((uint64_t)(unsigned)ps->v[i].call.nr << 32 | ps->v[i].call.kind)) *
			    UINT64_C(0x9e3779b97f4a7c15);
	return h;
}

/* Every third recovery is itself cut in its middle, and what has to recover is the next one. */
static void cut_twice(struct tour *t, struct scenario *s, struct points *ps)
{
	const struct point *at = NULL;
	size_t seen = 0, changing = 0;

	for (size_t i = 0; i < ps->n; i++)
		changing += call_changes(ps->v[i].call);
	for (size_t i = 0; i < ps->n; i++)
		if (call_changes(ps->v[i].call) && seen++ == changing * 2 / 3)
			at = &ps->v[i];
	if (!at)
		return;
	s->cuts[1] = (struct cut){.command = s->command, .at = *at};
	snprintf(s->name + strlen(s->name), sizeof(s->name) - strlen(s->name),
		 " and recover cut at %s %u", call_name(at->call), at->n);
	free(ps->v);
	*ps = trace(t, s);
}

void tour_explore_branches(struct tour *t)
{
	struct cases *p = t->cases;
	uint32_t i;

	make_room(t);
	while ((i = p->next_branch++) < p->n_branches) {
		struct branch *b = &p->branches[i];
		bool twice = i / 3 % 3 == 2;
		struct points ps;

		if (p->third >= 0 && (int)(i % 3) != p->third)
			continue;
		ps = trace(t, &b->scenario);
		if (twice)
			cut_twice(t, &b->scenario, &ps);
		b->signature = signature(&ps) + twice;
		b->n = (uint32_t)ps.n;
		b->from = atomic_fetch_add(&p->n_points, b->n);
		if (b->from + b->n > MAX_POINTS)
			fail("more than %d places", MAX_POINTS);
		memcpy(p->points + b->from, ps.v, ps.n * sizeof(*ps.v));
		free(ps.v);
	}
}

/* ---- trying ---- */

/* Recovery finds nothing to do where one has just been. */
static void recover_twice(struct tour *t)
{
	struct inject r = {.mode = INJECT_NOTHING};

	run(t, "recover " ALL, false, &r);
	if (r.status)
		room_wrong(&t->room, "the recovery behind it: status %#x: %s", r.status,
			   r.err_text);
	inject_done(&r);
	run(t, "recover " ALL, true, &r);
	if (r.status || !strstr(r.out, "\"reflagged\":0") ||
	    !strstr(r.out, "\"names_removed\":0") || !strstr(r.out, "\"names_restored\":0"))
		room_wrong(&t->room, "the second recovery: status %#x: %s%s", r.status, r.out,
			   r.err_text);
	inject_done(&r);
}

/*
 * One of four ways to go on behind it. The cases of a place stand together, error by error: of their
 * numbers as they are the last bit says whether a call fails once or for ever.
 */
static unsigned way_on(uint32_t number)
{
	return number * UINT32_C(2654435761) >> 30;
}

static void finish(struct tour *t, const struct job *j, uint32_t number, const char *before)
{
	const struct scenario *s = &t->cases->scenarios[j->scenario];
	struct inject r = {.mode = INJECT_NOTHING};
	char *now = s->guests ? room_catalog(&t->room) : NULL;
	bool done = now && strcmp(before, now) != 0;
	unsigned way = way_on(number);

	free(now);
	if (done)
		return;
	if (way == 0 && !s->guests)
		recover_twice(t);
	if (way % 2 && !s->guests && s->to != STATE_THIRD_PRIVATE && !s->prepare)
		room_catalog_remove(&t->room);
	run(t, s->finish, false, &r);
	judge_ended(t->cases, &t->room, j, &r);
	inject_done(&r);
}

static void try(struct tour *t, uint32_t number)
{
	struct cases *p = t->cases;
	const struct job *j = &p->jobs[number];
	const struct scenario *s = &p->scenarios[j->scenario];
	struct inject r = {.mode = j->mode, .at = j->at, .err = j->err};
	char *before, *wrong, *text;

	set_up(t, s);
	room_begin(&t->room);
	before = s->guests ? room_catalog(&t->room) : NULL;
	room_keep_dir_times(&t->room);
	run(t, s->command, p->errors, &r);
	judge_disturbed(p, &t->room, j, &r, before);
	finish(t, j, number, before);
	t->state = s->to;
	wrong = room_end(&t->room);
	p->done++;
	p->missed += !r.hit;
	if (wrong || p->only) {
		text = cases_job_text(p, j);
		p->lost += wrong != NULL;
		printf("# case %u: %s\n%s%s-- stdout --\n%.9000s-- stderr --\n%.1500s\n", number,
		       text, wrong ? wrong : "", r.hit ? "" : "the call never came\n", r.out,
		       r.err_text);
		free(text);
	}
	if (wrong || t->room.blind)
		make_room(t);
	free(wrong);
	free(before);
	inject_done(&r);
}

/* The next case that begins here, or else one that begins elsewhere. */
static bool next_job(struct tour *t, uint32_t *ret)
{
	struct cases *p = t->cases;

	for (unsigned i = 0; i < STATE_N; i++) {
		unsigned s = (t->state + i) % STATE_N;
		uint32_t k;

		if (p->next[s] >= p->end[s])
			continue;
		k = p->next[s]++;
		if (k >= p->end[s])
			continue;
		*ret = p->order[k];
		return true;
	}
	return false;
}

void tour_run(struct tour *t)
{
	struct cases *p = t->cases;
	uint32_t number;

	make_room(t);
	if (p->only) {
		try(t, p->only - 1);
		return;
	}
	while (p->lost < MAX_LOST && next_job(t, &number))
		try(t, number);
}

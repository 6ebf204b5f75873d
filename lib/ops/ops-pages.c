/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "guest/procs.h"
#include "mem/census.h"
#include "mem/ksm.h"
#include "mem/page-file.h"
#include "ops/farm.h"
#include "ops/freezing.h"
#include "ops/pages-swap.h"
#include "ops/pages-zram.h"
#include "ops/session.h"

#define MAX_MEMORY (UINT64_C(512) << 20)
#define PROGRAMS_MAX 4096 /* further ones are counted together: guests choose the names */

struct asking {
	struct vu_ops *ops;
	const struct vu_pages_options *o;
	struct vu_pages_report *r;
	struct vu_census_subject *subject; /* owned */
	size_t n_subjects, cap_subjects;
	struct vu_swaps swap; /* empty unless o->swap */
};

static uint64_t max_memory(const struct vu_pages_options *o)
{
	return o->max_memory ? o->max_memory : MAX_MEMORY;
}

/* ---- rows ---- */

static int add_row(struct vu_pages_report *r, const char *name, const char *path)
{
	struct vu_pages_row *row = reallocarray(r->row, r->n + 1, sizeof(*row));

	if (!row)
		return -ENOMEM;
	r->row = row;
	row[r->n] = (struct vu_pages_row){.name = strdup(name), .path = path ? strdup(path) : NULL};
	r->n++;
	return row[r->n - 1].name && (!path || row[r->n - 1].path) ? 0 : -ENOMEM;
}

static int find_program(struct asking *a, const char *name, uint16_t *ret)
{
	struct vu_pages_report *r = a->r;

	for (size_t i = 0; i < r->n_programs; i++)
		if (!strcmp(r->program[i].name, name)) {
			*ret = (uint16_t)i;
			return 0;
		}
	if (r->n_programs >= PROGRAMS_MAX) {
		*ret = PROGRAMS_MAX;
		name = "(others)";
	}
	if (r->n_programs > PROGRAMS_MAX)
		return 0;
	struct vu_pages_row *p = reallocarray(r->program, r->n_programs + 1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	r->program = p;
	p[r->n_programs] = (struct vu_pages_row){.name = strdup(name)};
	if (!p[r->n_programs].name)
		return -ENOMEM;
	*ret = (uint16_t)r->n_programs++;
	return 0;
}

static void take_share(struct vu_pages_row *row, const struct vu_tally_share *s)
{
	row->pages = s->pages;
	row->zero = s->zero;
	row->identical = s->identical;
	row->inside = s->inside;
	row->freed = (uint64_t)(s->freed + 0.5);
}

static void take_counts(struct vu_pages_row *row, const struct vu_census_counts *c)
{
	row->processes = c->processes;
	row->merged_maps = c->merged_maps;
	row->huge = c->huge;
	row->hugetlb = c->hugetlb;
	row->swapped = c->swapped;
	row->swapped_shared = c->shared;
	row->moved = c->moved;
	row->unread = c->unread;
	row->denied = c->denied;
}

static void take_sum(struct vu_pages_report *r, const struct vu_tally_sum *s)
{
	r->total.pages = s->pages;
	r->total.zero = s->zero;
	r->total.identical = s->identical;
	r->total.inside = s->freed_inside;
	r->total.freed = s->freed;
	r->freed_zero = s->freed_zero;
	r->merged = s->merged;
	r->level = s->level;
	for (size_t i = 0; i < r->n; i++)
		take_share(&r->row[i], &s->owner[i]);
	for (size_t i = 0; i < r->n_programs; i++)
		take_share(&r->program[i], &s->program[i]);
}

static int by_freed(const void *a, const void *b)
{
	const struct vu_pages_row *x = a, *y = b;

	if (x->freed != y->freed)
		return x->freed < y->freed ? 1 : -1;
	if (x->pages != y->pages)
		return x->pages < y->pages ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* ---- files ---- */

static bool is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && !S_ISDIR(st.st_mode);
}

static int count_files(struct asking *a, struct vu_tally *t)
{
	struct vu_pages_report *r = a->r;
	uint64_t page = r->page_bytes;
	int e = 0;

	for (size_t i = 0; !e && i < r->n; i++) {
		struct vu_page_file f = {0};

		vu_progress_guest(a->ops->progress, (unsigned)i);
		e = vu_page_file_count(r->row[i].path, page, (uint16_t)i, t, a->ops->progress, &f);
		if (e == -ECANCELED)
			return VU_OPS_CANCELLED;
		if (e)
			return vu_fail(a->ops, e == VU_PAGE_FILE_KIND ? VU_OPS_USAGE : e,
				       "cannot read the pages", r->row[i].path,
				       e == VU_PAGE_FILE_KIND ? "neither a file nor a block device"
							      : NULL,
				       NULL);
		r->row[i].holes = f.holes;
		r->total.holes += f.holes;
	}
	return e;
}

static int look_at_files(struct asking *a)
{
	struct vu_pages_report *r = a->r;
	struct vu_tally *t = NULL;
	struct vu_tally_sum sum;
	int e = 0;

	r->of = VU_PAGES_FILES;
	if (a->o->n > VU_TALLY_OWNERS_MAX)
		return vu_fail(a->ops, VU_OPS_USAGE, "too many files", NULL, NULL, NULL);
	for (size_t i = 0; !e && i < a->o->n; i++)
		e = add_row(r, a->o->operands[i], a->o->operands[i]);
	if (!e)
		e = vu_tally_new(max_memory(a->o), r->n, 1, &t);
	if (a->ops->progress)
		vu_progress_begin(a->ops->progress, VU_PHASE_READ, 0, 0);
	if (!e)
		e = count_files(a, t);
	if (!e) {
		vu_tally_end(t, &(struct vu_tally_rules){0}, &sum);
		take_sum(r, &sum);
		vu_tally_sum_done(&sum);
	}
	vu_tally_free(t);
	return e;
}

/* ---- processes ---- */

/* Fits vu_procs_each. */
static int add_subject(void *arg, size_t owner, pid_t pid, int task_fd)
{
	struct asking *a = arg;
	char path[32], name[VU_PROCS_NAME_MAX] = "";
	uint64_t started = vu_census_started(pid);
	uint16_t program;

	(void)task_fd; /* of any thread: the name wanted is the process' */
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	_cleanup_fd_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || !started)
		return 0;
	vu_procs_name(fd, name);
	int e = find_program(a, name, &program);

	if (e)
		return e;
	if (a->n_subjects == a->cap_subjects) {
		size_t cap = a->cap_subjects ? 2 * a->cap_subjects : 64;
		struct vu_census_subject *s = reallocarray(a->subject, cap, sizeof(*s));

		if (!s)
			return -ENOMEM;
		a->subject = s;
		a->cap_subjects = cap;
	}
	a->subject[a->n_subjects++] =
		(struct vu_census_subject){pid, started, (uint16_t)owner, program};
	a->r->program[program].processes++;
	return 0;
}

/* How merging would be: of memory, as KSM does it; of swap, where nobody does it, ideal. */
static struct vu_tally_rules rules_of(const struct asking *a)
{
	struct vu_ksm ksm = {0};

	if (a->o->swap)
		return (struct vu_tally_rules){.zero_kept_free = true};
	if (vu_ksm_read(&ksm))
		return (struct vu_tally_rules){0};
	return (struct vu_tally_rules){.max_sharing = ksm.max_page_sharing,
				       .zero_free = ksm.use_zero_pages};
}

/* What only a census of swap says. */
static int take_swap(struct asking *a, const struct vu_census *c, uint64_t pushed_out)
{
	struct vu_pages_report *r = a->r;

	if (c->total.unnumbered)
		return vu_pages_swap_numbers(a->ops);
	r->stayed = c->total.stayed;
	r->pushed_out = a->o->swap_in ? 0 : vu_swaps_vmstat("pswpout") - pushed_out;
	r->zero_unsure = VU_MIN(vu_pages_swap_zero_unsure(&a->swap), r->total.pages);
	return 0;
}

static int take_census(struct asking *a)
{
	struct vu_pages_report *r = a->r;
	uint64_t pushed_out = vu_swaps_vmstat("pswpout");
	struct vu_census_options o = {
		.subject = a->subject,
		.n = a->n_subjects,
		.n_owners = r->n,
		.n_programs = r->n_programs,
		.jobs = vu_farm_jobs(a->ops->config),
		.max_bytes = max_memory(a->o),
		.swap = a->o->swap ? &a->swap : NULL,
		.by_area = r->of == VU_PAGES_AREAS,
		.swap_in = a->o->swap_in,
		.rules = rules_of(a),
		.progress = a->ops->progress,
	};
	struct vu_census c;
	int e = vu_census_take(&o, &c);

	if (e == -ECANCELED)
		return VU_OPS_CANCELLED;
	if (e == VU_CENSUS_HIDDEN)
		return vu_fail(a->ops, VU_OPS_REFUSED, "cannot count pages", "/proc/kpageflags",
			       "the kernel does not show which physical pages there are",
			       "run with CAP_SYS_ADMIN, on a kernel with CONFIG_PROC_PAGE_MONITOR");
	if (e == -ETIMEDOUT)
		return vu_fail(a->ops, e, "cannot count pages", NULL,
			       "too many processes keep whoever reads them waiting",
			       "name guests or processes that do not");
	if (e == -EIO)
		return vu_fail(a->ops, e, "cannot count pages", NULL, "the census was killed",
			       "give it less memory by --max-memory, if it was for that");
	if (e)
		return vu_fail(a->ops, e, "cannot count pages", NULL, NULL, NULL);
	take_sum(r, &c.sum);
	for (size_t i = 0; i < r->n && r->of != VU_PAGES_AREAS; i++)
		take_counts(&r->row[i], &c.owner[i]);
	take_counts(&r->total, &c.total);
	if (a->o->swap)
		e = take_swap(a, &c, pushed_out);
	r->n_stuck = c.n_stuck;
	r->stuck = c.stuck;
	qsort(r->program, r->n_programs, sizeof(*r->program), by_freed);
	vu_census_done(&c);
	return e;
}

static int look_at_processes(struct asking *a)
{
	int e = 0;

	a->r->of = VU_PAGES_PROCESSES;
	for (size_t i = 0; !e && i < a->o->n_pids; i++) {
		const char *text = a->o->pids[i];
		char *end;
		long pid = strtol(text, &end, 10);
		size_t before = a->n_subjects;

		if (*end || end == text || pid <= 0 || pid > INT32_MAX)
			return vu_fail(a->ops, VU_OPS_USAGE, "no number of a process", text, NULL,
				       NULL);
		e = i < VU_TALLY_OWNERS_MAX ? add_row(a->r, text, NULL) : -E2BIG;
		if (!e)
			e = add_subject(a, i, (pid_t)pid, -EBADF);
		if (!e && a->n_subjects == before)
			return vu_fail(a->ops, VU_OPS_USAGE, "there is no such process", text, NULL,
				       NULL);
	}
	return e ? e : take_census(a);
}

/* ---- areas of swap ---- */

/* The rows of areas that were not asked for go. */
static void drop_skipped(struct asking *a)
{
	struct vu_pages_report *r = a->r;
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (!a->swap.area[i].skip) {
			r->row[n++] = r->row[i];
			continue;
		}
		free(r->row[i].name);
		free(r->row[i].path);
	}
	r->n = n;
}

/* Of all processes that there are. */
static int look_at_areas(struct asking *a)
{
	_cleanup_closedir_ DIR *d = opendir("/proc");
	const struct dirent *entry;
	int e = 0;

	if (!d)
		return -errno;
	a->r->of = VU_PAGES_AREAS;
	for (size_t i = 0; !e && i < a->swap.n; i++)
		e = add_row(a->r, a->swap.area[i].path, a->swap.area[i].path);
	while (!e && (entry = readdir(d))) {
		int pid = atoi(entry->d_name);

		if (pid > 0 && pid != getpid())
			e = add_subject(a, 0, pid, -EBADF);
	}
	if (!e)
		e = take_census(a);
	drop_skipped(a);
	return e;
}

/* ---- guests ---- */

/* Nothing of this is about moments: what vunify.conf says of these does not count. */
static int refuse_unfrozen(struct asking *a, int e)
{
	struct vu_problem *p = a->ops->problem;

	if (e == VU_OPS_REFUSED && p) {
		free(p->todo);
		p->todo =
			strdup("run each guest in a cgroup (v2) of its own, or leave --freeze out");
	}
	return e;
}

static int take_frozen(struct asking *a, struct vu_session *s, const struct vu_procs_root *roots,
		       const char *const *paths)
{
	struct vu_config config = *a->ops->config;
	struct vu_ops *ops = s->ops, own = *ops;
	struct vu_freezing f = {0};
	int e;

	config.moment = VU_MOMENT_FREEZE;
	own.config = &config;
	s->ops = &own;
	if (vu_freezing_is_left(s))
		vu_freezing_lift(s);
	e = vu_freezing_open(&f, s, roots, s->guests.n, paths);
	s->ops = ops;
	if (e)
		return refuse_unfrozen(a, e);
	f.watch.hold_ns = UINT64_C(1000000000) * VU_PAGES_FREEZE_SECONDS;
	e = vu_freezer_enter(f.freezer);
	if (e) {
		vu_freezing_close(&f);
		return vu_fail(a->ops, VU_OPS_REFUSED, "cannot freeze the guests", NULL,
			       "they did not stand still, or somebody else froze them",
			       "try again, or leave --freeze out");
	}
	/* who is there now stays */
	e = vu_procs_each(roots, s->guests.n, add_subject, a);
	if (!e)
		e = take_census(a);
	a->r->frozen = vu_freezer_holds(f.freezer);
	a->r->thawed = !a->r->frozen && vu_freezer_stats(f.freezer).times;
	vu_freezer_leave(f.freezer);
	vu_freezing_close(&f);
	return e;
}

static int take_running(struct asking *a, const struct vu_session *s,
			const struct vu_procs_root *roots)
{
	int e = vu_procs_each(roots, s->guests.n, add_subject, a);

	return e ? e : take_census(a);
}

static int look_at_session(struct asking *a, struct vu_session *s)
{
	size_t n = s->guests.n;
	_cleanup_free_ struct vu_procs_root *roots = calloc(n + 1, sizeof(*roots));
	_cleanup_free_ const char **paths = calloc(n + 1, sizeof(*paths));
	int e = roots && paths ? 0 : -ENOMEM;

	for (size_t i = 0; !e && i < n; i++) {
		const struct vu_guest *g = &s->guests.v[i];

		roots[i] = (struct vu_procs_root){g->dev, g->ino};
		paths[i] = g->path;
		e = add_row(a->r, g->name, g->path);
	}
	if (e)
		return e;
	return a->o->freeze ? take_frozen(a, s, roots, paths) : take_running(a, s, roots);
}

static int look_at_guests(struct asking *a)
{
	struct vu_session s;
	unsigned flags = VU_SESSION_NO_CATALOG | (a->o->freeze ? VU_SESSION_WRITE : 0);
	int e = vu_session_open(&s, a->ops, flags, a->o->operands, a->o->n);

	a->r->of = VU_PAGES_GUESTS;
	if (!e)
		e = look_at_session(a, &s);
	vu_session_close(&s);
	return e;
}

/*
 * Are they files? A name without a slash is a guest's where there is one of that name, whatever files the current
 * directory has.
 */
static int are_files(struct asking *a, bool *ret)
{
	struct vu_guests known = {0};
	struct vu_session s;
	size_t n = 0;
	int e = vu_session_open_catalog(&s, a->ops, VU_SESSION_NO_CATALOG);

	if (!e)
		e = vu_session_known_guests(&s, &known);
	for (size_t i = 0; !e && i < a->o->n; i++)
		n += !vu_guests_find(&known, a->o->operands[i]) && is_file(a->o->operands[i]);
	vu_guests_done(&known);
	vu_session_close(&s);
	if (!e && n && n < a->o->n)
		e = vu_fail(a->ops, VU_OPS_USAGE, "cannot count guests and files together", NULL,
			    "some operands are files", "name guests, or files");
	*ret = n;
	return e;
}

static int check(struct vu_ops *ops, const struct vu_pages_options *o)
{
	if (o->n_pids && (o->n || o->freeze))
		return vu_fail(ops, VU_OPS_USAGE, "too much was asked for", NULL,
			       "--pid goes with neither guests, nor files, nor --freeze", NULL);
	if ((o->swap_in || o->replay) && !o->swap)
		return vu_fail(ops, VU_OPS_USAGE, "too little was asked for", NULL,
			       "--swap-in and --replay say how what is swapped out is looked at",
			       "add --swap");
	return 0;
}

static int look_at_swap(struct asking *a, bool files)
{
	bool areas = false;
	int e;

	a->r->swap = true;
	if (files && vu_pages_are_zram(a->o) && !a->o->swap_in)
		return vu_pages_zram(a->ops, a->o, max_memory(a->o), a->r);
	if (a->o->replay)
		return vu_fail(a->ops, VU_OPS_USAGE, "cannot replay what is no zram device", NULL,
			       NULL, "name zram devices, or leave --replay out");
	e = vu_pages_swap_open(a->ops, a->o, &a->swap);
	if (e)
		return e;
	a->r->n_areas = a->swap.n;
	areas = files && vu_pages_swap_areas(a->o, &a->swap);
	if (files && !areas)
		return vu_fail(
			a->ops, VU_OPS_USAGE, "cannot count what is swapped out", a->o->operands[0],
			a->o->swap_in
				? "--swap-in looks at guests and processes only"
				: "not all operands are areas of swap in use, nor all zram devices",
			"/proc/swaps lists the areas");
	return areas ? look_at_areas(a) : a->o->n_pids ? look_at_processes(a) : look_at_guests(a);
}

int vu_ops_pages(struct vu_ops *ops, const struct vu_pages_options *o, struct vu_pages_report *ret)
{
	struct vu_pages_report r = {.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE)};
	struct asking a = {.ops = ops, .o = o, .r = &r};
	int64_t begin = vu_clock_ns();
	bool files = false;
	int e = check(ops, o);

	if (!e && o->n)
		e = are_files(&a, &files);
	if (!e && files && o->freeze)
		return vu_fail(ops, VU_OPS_USAGE, "cannot freeze files", NULL, NULL,
			       "leave --freeze out");
	if (!e)
		e = o->swap	? look_at_swap(&a, files)
		    : o->n_pids ? look_at_processes(&a)
		    : files	? look_at_files(&a)
				: look_at_guests(&a);
	vu_swaps_close(&a.swap);
	free(a.subject);
	r.seconds = (double)(vu_clock_ns() - begin) / 1e9;
	if (e)
		vu_pages_done(&r);
	else
		*ret = r;
	return e;
}

static void rows_done(struct vu_pages_row *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].name);
		free(v[i].path);
	}
	free(v);
}

void vu_pages_done(struct vu_pages_report *r)
{
	rows_done(r->row, r->n);
	rows_done(r->program, r->n_programs);
	for (size_t i = 0; i < r->n_zram; i++) {
		free(r->zram[i].path);
		free(r->zram[i].algorithm);
	}
	free(r->zram);
	*r = (struct vu_pages_report){0};
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is tried: scenarios (a command in a state of the guests, perhaps after another one that was
 * killed), their places, and the cases that are chosen of them. Lies in memory that all workers share.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject.h"

/* Of the three guests, between two cases. */
enum state {
	STATE_PRIVATE,
	STATE_UNIFIED,
	STATE_THIRD_PRIVATE,
	STATE_N,
	STATE_BETWEEN = STATE_N, /* cut short and recovered: only on the way to one of them */
};

enum catalog {
	CATALOG_KEEP,
	CATALOG_NONE,
	CATALOG_SAVED
};

/* What somebody else does to the pool before the command. */
enum prepare {
	PREPARE_NOTHING,
	PREPARE_ORPHAN, /* an object that no guest has */
	PREPARE_DAMAGE, /* an object has another mode than it should */
};

struct cut {
	const char *command; /* NULL: none */
	struct point at;
};

#define MAX_CUTS 2

struct scenario {
	char name[256];
	const char *command; /* the one that is disturbed */
	const char *finish;  /* then leads to the state `to` */
	enum state from, to;
	enum catalog catalog;
	enum prepare prepare;
	bool guests; /* it is about the catalog's guests; else about files */
	struct cut cuts[MAX_CUTS];
};

struct job {
	uint16_t scenario;
	uint8_t mode; /* enum inject_mode */
	bool chosen;
	int err;
	struct point at;
};

/* A scenario that is tried if nothing before it does the same. */
struct branch {
	struct scenario scenario;
	uint64_t signature; /* of the calls that change something */
	uint32_t from, n;   /* in points; n 0: left out */
};

#define MAX_SCENARIOS 256
#define MAX_BRANCHES 1024
#define MAX_POINTS 400000
#define MAX_JOBS 400000
#define MAX_TEXT 16384

struct cases {
	const char *vunify;
	bool errors; /* calls fail; else: processes are killed */
	unsigned seed;
	uint32_t quota; /* cases; 0: all */
	/*
	 * Of the recoveries, and of the places where other commands are killed: the other two are left
	 * out; 0 to 2; -1: none is.
	 */
	int third;

	struct scenario scenarios[MAX_SCENARIOS];
	unsigned n_scenarios;
	char structure[STATE_N][MAX_TEXT]; /* of an undisturbed run's end */
	struct job jobs[MAX_JOBS];
	uint32_t n_jobs;
	uint32_t order[MAX_JOBS]; /* of the chosen ones, by the state they begin in */
	uint32_t end[STATE_N];	  /* behind the last of each state, in order */
	uint32_t n_chosen;

	/* Where the commands whose work a recovery goes on with are cut short, and what that does then. */
	struct branch branches[MAX_BRANCHES];
	unsigned n_branches;
	struct point points[MAX_POINTS];
	atomic_uint n_points;

	uint32_t only;		   /* 1 + the only case to be tried; 0: all */
	atomic_uint next[STATE_N]; /* the next of each in order */
	atomic_uint next_branch;
	atomic_uint done, lost, missed;
};

/*
 * Chooses the cases and puts them in order. Always the same for a seed. like: only of those whose text
 * fits this pattern of fnmatch(3); or NULL.
 */
void cases_choose(struct cases *p, const char *like);

/* Adds a scenario and the cases of its places. */
void cases_add(struct cases *p, const struct scenario *s, const struct point *v, size_t n);

/* Adds those of the branches that differ, in their order. */
void cases_add_branches(struct cases *p);

/* "scan: kill at linkat 3 of thread 0, after mkdirat"; the caller's */
char *cases_job_text(const struct cases *p, const struct job *j);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kills vunify's processes again and again while guests write, and looks at what is left.
 *
 *   kill-processes MOUNT KILLS SEED CGROUP VUNIFY ARG...
 *
 * Makes guests MOUNT/guests/g1 to g3 with equal files, a writer in each, and runs VUNIFY ARG... scan and
 * unmerge in turn. Each run is killed once: at a random instant, or (traced) when it enters a random
 * one of the system calls of a moment; the worker, its guardian, the front, two of them, or (with a
 * CGROUP) all. With a CGROUP (a directory of cgroup2; "-": none) the writers are processes of their
 * guests, in cgroups of their own, and change metadata too.
 *
 * After each kill, unless all three were killed: every object of the pool has its flag. Always: nobody
 * is frozen; and every file is what its writer was told, in content (and metadata), with no trace of
 * what was written to another guest's. Prints, as its last line,
 *
 *   kills N phases N unflagged N frozen N lost N leaked N meta N closed-max-ms N blocked-max-ms N
 *   writes N refused N frozen-max-ms N
 *
 * where "closed" is from the kill of a worker until all flags are set and all guests run. Exits with 1
 * if anything was wrong.
 *
 * With no KILLS, scan and unmerge take turns for VU_SECONDS, and it is looked how long a guest is frozen.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kill-closed.h"
#include "kill-guests.h"
#include "kill-run.h"
#include "kill-vunify.h"

static const unsigned whom[] = {
	WORKER,	  WORKER, WORKER, WORKER | GUARDIAN, WORKER | GUARDIAN, WORKER | FRONT,
	GUARDIAN, FRONT,  ALL, /* the last */
};

struct verb {
	const char *name;
	unsigned steps; /* of an undisturbed run, about */
	uint64_t ns;	/* its length, about */
};

/* How long it takes, and then how many such calls it makes. */
static void look_at(struct verb *verb)
{
	struct vunify v;
	pid_t stopped;
	uint64_t since = now_ns();

	start_all(verb->name, &v);
	if (verb->ns) {
		if (attach(v.worker))
			verb->steps = run_to(v.worker, 0, &stopped);
		reap_all();
	} else {
		reap_all();
		verb->ns = now_ns() - since;
	}
}

/* One more run: it has to be done with everything that the kill left. */
static void run_once(const char *verb)
{
	int status;
	pid_t pid = start(verb);

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3)) {
		fprintf(stderr, "%s after kill %u: status %x\n", verb, run.n_kills, status);
		run.n_lost++;
	}
	check_closed();
	check_guests();
}

static void kill_one(const struct verb *verb)
{
	/* guests that are not frozen can write to an object when nobody is left to set its flag */
	unsigned n_whom = sizeof(whom) / sizeof(whom[0]) - !in_cgroups();
	unsigned who = whom[dice(n_whom)];
	struct vunify v;
	pid_t stopped = 0;
	bool phase = dice(2);

	start_all(verb->name, &v);
	phase = phase && attach(v.worker);
	if (phase)
		run_to(v.worker, 1 + dice(verb->steps), &stopped);
	else
		nap_us(dice((unsigned)(verb->ns / 1000)));
	uint64_t since = now_ns();
	run.killed = who;
	bool hit = phase ? stopped != 0 : is_running(v.worker);

	kill_them(who, &v);
	if (stopped && !(who & WORKER)) {
		go_on(stopped);
		run_to(v.worker, 0, &stopped);
	} else if (who & WORKER && who != ALL)
		time_closing(since);
	reap_all();
	run.n_kills += hit;
	run.n_phases += hit && phase;
	if (who != ALL) {
		check_closed();
	} else {
		run_once("recover"); /* nobody was left to thaw */
	}
	check_guests();
}

/* How long a guest was frozen; in ns. */
static uint64_t race(unsigned seconds)
{
	uint64_t end = now_ns() + seconds * UINT64_C(1000000000);

	if (in_cgroups())
		start_watcher();
	while (now_ns() < end) {
		run_once("scan");
		run_once("unmerge");
	}
	return in_cgroups() ? stop_watcher() : 0;
}

static void kill_again_and_again(unsigned kills)
{
	struct verb verbs[] = {{.name = "scan"}, {.name = "unmerge"}};

	for (int i = 0; i < 4; i++)
		look_at(&verbs[i % 2]);
	for (unsigned i = 1; run.n_kills < kills; i++) {
		kill_one(&verbs[dice(2)]);
		if (i % 8 == 0)
			run_once(i % 16 ? "recover" : "scan");
	}
}

int main(int argc, char **argv)
{
	const char *seconds = getenv("VU_SECONDS");
	uint64_t frozen_max_ns = 0;

	if (argc < 6)
		return 2;
	run.mnt = argv[1];
	unsigned kills = (unsigned)atoi(argv[2]);

	seed_dice(strtoull(argv[3], NULL, 10));
	run.cgroup = argv[4];
	run.vunify = argv + 5;
	run.n_vunify = argc - 5;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	make_guests();
	start_writers();
	if (kills)
		kill_again_and_again(kills);
	else
		frozen_max_ns = race((unsigned)atoi(seconds ? seconds : "5"));
	run_once("recover");
	run_once("unmerge");
	end_writers();
	struct guests_told told = guests_told();

	printf("kills %u phases %u unflagged %u frozen %u lost %u leaked %u meta %u closed-max-ms %llu "
	       "blocked-max-ms %llu writes %llu refused %llu frozen-max-ms %llu\n",
	       run.n_kills, run.n_phases, run.n_unflagged, run.n_frozen, run.n_lost, run.n_leaked,
	       run.n_meta, (unsigned long long)run.closed_max_ns / 1000000,
	       (unsigned long long)told.blocked_max_ns / 1000000, (unsigned long long)told.writes,
	       (unsigned long long)told.refused, (unsigned long long)frozen_max_ns / 1000000);
	return run.n_unflagged || run.n_frozen || run.n_lost || run.n_leaked || run.n_meta;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The use-case behind `vunify run`: a command in a guest, or a launcher of one, that finds unified files as
 * files of its own: a call that would change one gives it a private copy first. Works beside a scan, and beside
 * others of its kind.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cow/enter.h"
#include "ops/context.h"
#include "ops/supervised-guest.h"

/*
 * What one that supervises, and one that takes its place when it was killed, have both: made before their processes
 * part (link/guardian.h). If a command is started there already, vu_ops_run goes on with it.
 */
struct vu_run_shared;

/* Returns NULL without memory. */
struct vu_run_shared *vu_run_shared_new(void);
struct vu_run_shared *vu_run_shared_free(struct vu_run_shared *s);

/* Is it a descriptor that the next one needs? */
bool vu_run_shared_holds(const struct vu_run_shared *s, int fd);

struct vu_run_options {
	char *guest;		      /* name of a registered guest, or a root */
	char *const *argv;	      /* the command; with a NULL behind */
	struct vu_run_shared *shared; /* borrowed; or NULL */
	bool chroot_only;
	bool no_descriptors; /* calls that change metadata by descriptor are not notified (cow/ruleset.h) */
	bool wrap;	     /* the command is a launcher, which is not in the guest */
};

struct vu_run_report {
	bool started;		 /* the command was executed, or could not be: end says so */
	struct vu_enter_end end; /* of the command */
	struct vu_supervised_report guest;
};

/*
 * Returns 0 when the command has ended; else like all operations, and it was not executed. The report is
 * written in any case.
 */
int vu_ops_run(struct vu_ops *ops, const struct vu_run_options *o, struct vu_run_report *ret);

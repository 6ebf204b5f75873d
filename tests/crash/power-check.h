/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has to hold of a disk after a power cut: it mounts; every path is the old or the new file, all
 * that a guest was told to be on disk is there; every object is what its name says; recovery and one
 * more run end where a run that nothing disturbed ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "power-farm.h"

#define POWER_ARGS 5

/* A command, and how it ends when nothing disturbs it. */
struct power_op {
	const char *args[POWER_ARGS]; /* of vunify: the verb, then names of guests */
	int again;	/* index of the operation with which one goes on after a cut */
	uint32_t began; /* instant */
	uint32_t ended;
	uint32_t catalog; /* instant from which on its catalog may be on the other disk */
	char *shape;	  /* owned */
};

struct power_env {
	const char *fs;	    /* type */
	const char *vunify; /* program */
	const char *mnt;    /* where the disk is mounted */
	const char *state;  /* a directory for configuration and catalogs */
	struct power_farm *farm;
	struct power_op *ops;
	bool catalog_inside; /* it lies on the disk itself */
	bool warns;	     /* there is something to be warned of: exit code 3 is in order */
};

struct power_cut {
	int op; /* in, or before, which it happened */
	uint32_t instant;
	int catalog; /* that of the end of which operation is left; -1: none */
	bool fsck;   /* the file system is looked at by its own checker, too */
	char what[112];
};

/* argv for a command; room for POWER_ARGS + 8, and the texts live in buf. */
void power_command(const struct power_env *e, const char *catalog, const char *const *args,
		   const char **argv, char (*buf)[512]);

/* Mounts the file (a disk's content); returns 0 or a negative errno. */
int power_mount(const struct power_env *e, int image);

/* Mounts and looks, recovers, looks, runs again, looks. Returns how much is wrong, told on stdout. */
int power_check(const struct power_env *e, const struct power_cut *c, int image);

/* Complaints about the pool's objects. settled: no run was interrupted. */
int power_check_pool(const struct power_env *e, const char *what, bool settled);

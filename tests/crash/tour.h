/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One worker's way through the cases, in its room. */
#pragma once

#include "cases.h"
#include "room.h"

struct tour {
	struct cases *cases;
	const char *dir;
	int number;
	struct room room;
	enum state state;
};

/* Traces the undisturbed commands: the scenarios without a cut, and where others are to be cut. */
void tour_explore(struct tour *t);

/* Traces what recovers after a cut. By all workers together. */
void tour_explore_branches(struct tour *t);

/* Takes cases until none is left. */
void tour_run(struct tour *t);

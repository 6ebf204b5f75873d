/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests under vunify run: their processes are started there, one `race guest` for each guest, which maps the
 * record by the descriptor that is its stdin. On the host somebody looks on. Part of race.c.
 */
#pragma once

#include "race-record.h"

/* For the process that `race guest` is: starts the guest's processes, waits until they have ended. The exit code. */
int guest_run(struct board *b, unsigned guest, void (*start)(struct board *b, unsigned guest));

/* Does an operation take too long? That is told, once. */
void look_for_hangs(struct board *b);

/* They are told to stop: have all ended by then? */
bool guests_ended(struct board *b);

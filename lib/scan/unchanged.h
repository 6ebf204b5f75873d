/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a guest as it was recorded? The walk's question of a clean directory, asked of all of them at once, and
 * answered by no more than yes or no: what the walk would find clean throughout needs no tree. Opens
 * directories as the walk does, by O_PATH, and nothing else; changes nothing.
 */
#pragma once

#include <stdbool.h>

#include "model/recorded.h"

/*
 * Looks at each recorded directory, and at each private name, of the guest whose root is root. Returns 1 when
 * all of them are what they were and nothing has to be asked again (a directory that was young, or could not be
 * read; a file that was only busy); 0 when anything is not, or a stop was asked for; or a negative errno, which
 * says as little of the guest. Any thread.
 */
int vu_unchanged(const struct vu_recorded *r, int root);

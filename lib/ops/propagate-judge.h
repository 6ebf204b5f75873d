/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of the files that were read may follow: by match/follow, by what the guest's own package database
 * and rules say, and by what other templates have. A part of ops/propagate-find; nobody else calls it.
 */
#pragma once

#include "base/hash.h"
#include "ops/propagate-find.h"

/*
 * Judges the finds that are asked, and decides which of those of one path counts. Returns 0, an enum
 * vu_ops_e with the problem filled, or a negative errno.
 */
int vu_finds_judge(struct vu_finds *f, struct vu_hash *hash);

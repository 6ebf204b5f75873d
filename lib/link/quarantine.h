/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects that are damaged and could not be repaired: they get no further names, whoever asks. The guests that have
 * one keep it as it is, and can break it as any object: so its name stays where it is in the pool, and a mark beside it
 * says so. Owns .vunify/quarantine; changes no object. Set and lifted by verify, asked by who gives names.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link/pool.h"

/* Marks the object with this key and inode number. Durable when it returns 0; or a negative errno. */
int vu_quarantine_add(const struct vu_pool *p, const struct vu_key *key, uint64_t ino);

/* Is it marked? Any thread. */
bool vu_quarantine_has(const struct vu_pool *p, const struct vu_key *key, uint64_t ino);

/* Is any marked? For who is going to ask of many. Any thread. */
bool vu_quarantine_is_used(const struct vu_pool *p);

/* It is sound again, or gone. Returns 0, also where it was not marked; or a negative errno. */
int vu_quarantine_lift(const struct vu_pool *p, const struct vu_key *key);

/* Drops the marks of objects that are there no more. */
void vu_quarantine_sweep(const struct vu_pool *p);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the linker's objects come from: a private inode of a guest that is taken over, or an object
 * of the pool. Part of the linker; of the rest, link/evict names its new objects by it.
 */
#pragma once

#include "link/target.h"

/*
 * Takes a private inode over: opened beneath its guest, unchanged, its lease held throughout, named in
 * the pool by key (the next free generation of it, which is written back), immutable. If anything is
 * not as recorded, it is left as it was. claim: others share the pool (vu_claims_begin). Returns 0; an enum
 * vu_skip, with ret_err; or a negative errno that ends the run.
 */
int vu_adopt_inode(struct vu_linkrun *run, struct vu_dirs *dirs, const struct vu_pool *pool,
		   bool claim, uint32_t inode, struct vu_key *key, struct vu_object **ret,
		   int *ret_err);

/* The same for one that is open, leased and compared already. Takes *fd over (-EBADF) on success. */
int vu_adopt_open(struct vu_linkrun *run, const struct vu_pool *pool, bool claim, uint32_t inode,
		  int *fd, struct vu_key *key, struct vu_object **ret, int *ret_err);

/*
 * Gives an object back to the one guest that has it: no flag, no name in the pool. Returns 0; -EBUSY
 * when it has other names by now (it stays an object then); or a negative errno.
 */
int vu_adopt_undo(struct vu_linkrun *run, struct vu_object *o, uint32_t inode);

/*
 * Opens an object of the pool and takes its lease. Returns as vu_adopt_inode; an object that is not
 * as its record says is told as a warning, and is not used.
 */
int vu_adopt_existing(struct vu_linkrun *run, const struct vu_pool *pool, bool claim,
		      uint32_t inode, const struct vu_key *key, struct vu_object **ret,
		      int *ret_err);

/* Brings the record of an object up to date: links and times as they are now. */
void vu_adopt_record(struct vu_linkrun *run, const struct vu_linkslot *slot);

/*
 * Gives an open file (of that inode) the name of an object: the next free generation of *key. Until it
 * has its flag, ret_entry stands in the ledger (or NULL). Any thread. Returns 0 or a negative errno.
 */
int vu_adopt_name(struct vu_ledger *ledger, const struct vu_pool *pool, struct vu_key *key, int fd,
		  uint64_t ino, unsigned *ret_entry);

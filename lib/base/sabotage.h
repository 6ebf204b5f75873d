/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes one safeguard out, so that the tests can prove that they notice (tests/race/controls.bats), or that the
 * next one holds (tests/cli/import.bats). Set by the build option `sabotage`, which no release and no
 * installation can have; without it, as ever, none of this is in the program.
 */
#pragma once

#ifndef VU_SABOTAGE
#define VU_SABOTAGE NONE
#endif

enum vu_sabotage {
	VU_SABOTAGE_NONE,
	VU_SABOTAGE_NO_LEASE,	  /* leases are not taken, and always quiet */
	VU_SABOTAGE_NO_INTERRUPT, /* who waits for a lease is not interrupted */
	VU_SABOTAGE_RENAME, /* names are not exchanged, but renamed over each other, one by one */
	VU_SABOTAGE_NO_RECHECK, /* what came out of an exchange is not looked at */
	VU_SABOTAGE_LIE,	/* who reads an archive tells digests of other members */
};

#define VU_SABOTAGE_PASTE(what) VU_SABOTAGE_##what
#define VU_SABOTAGE_OF(what) VU_SABOTAGE_PASTE(what)

/* A constant: what is behind it is not compiled otherwise. */
#define vu_sabotaged(what) (VU_SABOTAGE_OF(VU_SABOTAGE) == VU_SABOTAGE_##what)

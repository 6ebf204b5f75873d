/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks, by trying, whether this kernel, file system and process can do what linking needs, before
 * anything is read or hashed. Called when a pool is opened; touches nothing but the stage.
 */
#pragma once

/*
 * Has the process the capabilities: CAP_LINUX_IMMUTABLE, CAP_LEASE, CAP_DAC_READ_SEARCH and those by
 * which root may do to files as it likes? Returns 0, or 1 with ret_why (owned by the caller; NULL
 * without memory).
 */
int vu_probe_capable(char **ret_why);

/*
 * In the open directory stage_fd: a file, a name for its descriptor, an exchange, a lease, the
 * immutable flag on and off, and that the flag holds. Leaves nothing behind. Returns 0; 1 with ret_why;
 * or a negative errno where it could not be tried: no space, memory or descriptors.
 */
int vu_probe_stage(int stage_fd, char **ret_why);

/*
 * Asks a little less, without a pool: does the immutable flag keep a file from being written to, and can it be leased?
 * Tried on a file without a name (O_TMPFILE) on the file system of the open directory dir_fd, so that nothing
 * is left of it whatever happens. Returns 0 with ret_flag and ret_lease NULL where they work, else saying why
 * not (owned by the caller); or a negative errno where it could not be tried (-EROFS, -ENOSPC, ...).
 */
int vu_probe_nameless(int dir_fd, char **ret_flag, char **ret_lease);

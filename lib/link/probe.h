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

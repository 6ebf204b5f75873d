/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of cow/ruleset.h as container runtimes read them, for guests whose filter the runtime installs
 * and whose listener it hands over. Text, made in memory; nothing is read or written. Any thread.
 *
 * Calls that a runtime's libseccomp has no name for (setxattrat, removexattrat and file_setattr for 2.5.4) are
 * left out by it, and end at the immutable flag. x32 is not in the list of architectures: libseccomp's answer
 * to that, in runtimes, is to kill.
 */
#pragma once

#include "cow/ruleset.h"

/*
 * The object linux.seccomp of the OCI runtime specification (1.0.2): the runtime connects to the socket
 * listener_path and sends the listener with metadata (may be NULL), in which the guest's name can be. flags:
 * enum vu_filter_flag. Returns 0 and JSON in lines (*ret is malloc'ed), -EINVAL when a text is no UTF-8, or
 * -ENOMEM.
 */
int vu_profile_oci(unsigned flags, const char *listener_path, const char *metadata, char **ret);

/*
 * A profile for lxc.seccomp.profile, version 2. Without open, openat and openat2: LXC's own init opens something
 * for writing under the filter before it hands the listener over, and would wait for itself (measured with
 * 5.0.2). So such a guest can rename, remove and chmod shared files, but not write to them; for all of it let
 * LXC be started under vunify's own filter. Returns as above.
 */
int vu_profile_lxc(unsigned flags, char **ret);

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
 * A profile for lxc.seccomp.profile, version 2, for guests whose monitor passes each notification on
 * (lxc.seccomp.notify.proxy). Under the filter LXC's own init opens /dev/null and /dev/console before the monitor takes
 * any, and would wait for itself (measured with 5.0.2), so that nobody hears of an openat(2) whose flags are exactly
 * those that LXC has there: O_RDWR, or O_WRONLY|O_NOCTTY|O_CLOEXEC. On a shared file these fail with EPERM; with any
 * other flag beside them (O_CLOEXEC, O_CREAT, O_APPEND, O_LARGEFILE of 32 bits) they are notified. fopen(path,
 * "r+") of a 64-bit glibc is O_RDWR alone. LXC built with another C library than glibc may open otherwise.
 * Where all of it is needed, let LXC be started under vunify's own filter. With VU_FILTER_DESCRIPTORS it would
 * wait for itself again: it has an fchown(2) there. Returns as above.
 */
int vu_profile_lxc(unsigned flags, char **ret);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where container tools keep the roots of their guests on this host: found by their configurations and by the
 * directories that they make. Only says what is there; whether it can be unified is judged by lib/ops. Reads no
 * file below a root, runs no tool, changes nothing.
 *
 * What is known of each tool (versions in Debian 12, Incus 6.0):
 *   lxc       lxcpath (lxc.lxcpath in /etc/lxc/lxc.conf, else /var/lib/lxc)/NAME/config: lxc.rootfs.path
 *             (lxc.rootfs before LXC 2.1), "TYPE:PATH" or a path; NAME/rootfs where it says nothing; lxc.idmap.
 *   incus     /var/lib/incus/storage-pools/POOL/containers/NAME/rootfs; lxd: the same below /var/lib/lxd and
 *             /var/snap/lxd/common/lxd.
 *   machined  directories in /var/lib/machines (machinectl, systemd-nspawn -M).
 *   podman    /var/lib/containers/storage/vfs/dir/ID, docker: /var/lib/docker/vfs/dir/ID. With the driver vfs
 *             alone each layer is a whole tree.
 *   schroot   /etc/schroot/schroot.conf and chroot.d/NAME: [NAME], type = directory | plain, directory = PATH.
 *   vserver   /vservers/NAME and /var/lib/vservers/NAME.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define VU_DISCOVERY_CONFIG_MAX (1 << 20) /* bytes of a configuration; a larger one is not read */

struct vu_discovered {
	const char *tool; /* static: "lxc", ... */
	char *name;	  /* owned; what the tool calls it */
	char *path;	  /* owned; of the root */
	char *type; /* owned; what makes the root when the guest starts ("overlay", "zfs"), or NULL: it is a directory */
};

struct vu_discovery {
	struct vu_discovered *v; /* owned; by tool, then by name */
	size_t n;
	/* Is told what could not be read: its path and a negative errno. May be NULL. */
	void (*trouble)(void *arg, const char *path, int err);
	void *arg;
};

/* Looks at all tools. d has trouble and arg set, else zeroes; to be freed in any case. Returns 0 or -ENOMEM. */
int vu_discovery_run(struct vu_discovery *d);

void vu_discovery_done(struct vu_discovery *d);

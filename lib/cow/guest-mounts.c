/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel behaviour relied on (mount API of Linux 5.2, mount_setattr(2) of 5.12; measured on 6.18):
 *
 *  - open_tree(2) with OPEN_TREE_CLONE copies mounts of the caller's own namespace only: so the guest's tree,
 *    which was opened in the host's, is copied before that is left, and nodev and private while nobody has it.
 *    A copy that is not attached goes with its descriptor.
 *  - pivot_root(".", ".") puts the old top above the new one, from where umount2 takes it. The old top may
 *    not be the initial ramfs, and has to be a mount: EINVAL in a chroot.
 *  - Whatever happens to a name in one mount namespace, what is mounted by a descriptor comes to be where that
 *    leads to, with no path looked up.
 *  - A mount can be attached to a mount that is attached itself (to others only from 6.15 on): so a file system
 *    is put to its place first, and then what belongs into it.
 */
#include "cow/guest-mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"

#define INERT (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* An option of a file system. */
struct option {
	const char *key, *value;
};

/* A new file system. Returns its mount, not attached, or a negative errno. */
static int new_fs(const char *type, unsigned attributes, const struct option *options, size_t n)
{
	_cleanup_fd_ int fs = fsopen(type, FSOPEN_CLOEXEC);

	if (fs < 0)
		return -errno;
	for (size_t i = 0; i < n; i++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options[i].key, options[i].value, 0))
			return -errno;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	int mount = fsmount(fs, FSMOUNT_CLOEXEC, attributes);

	return mount < 0 ? -errno : mount;
}

/* Attaches a mount to the directory that place is open on. */
static int put(int mount, int place)
{
	return move_mount(mount, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
		       ? -errno
		       : 0;
}

/* The same to a name in a file system that is new, and nobody's. */
static int put_at(int mount, int dirfd, const char *name)
{
	return move_mount(mount, "", dirfd, name, MOVE_MOUNT_F_EMPTY_PATH) ? -errno : 0;
}

/* Makes a new file system and attaches it to place. Returns its mount or a negative errno. */
static int put_fs(int place, const char *type, unsigned attributes, const struct option *options,
		  size_t n)
{
	_cleanup_fd_ int mount = new_fs(type, attributes, options, n);
	int r = mount < 0 ? mount : put(mount, place);

	return r ? r : vu_take_fd(mount);
}

/* ---- /proc, /sys, /run ---- */

/* Covers a name by itself, read-only. One that the kernel does not have needs no cover. */
static int cover(int dirfd, const char *name)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | INERT};
	_cleanup_fd_ int tree =
		open_tree(dirfd, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

	if (tree < 0)
		return errno == ENOENT ? 0 : -errno;
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		return -errno;
	return put_at(tree, dirfd, name);
}

static int mount_proc(int place, int terminal)
{
	static const char *const machine[] = {"sys", "sysrq-trigger", "irq",  "bus",
					      "fs",  "acpi",	      "scsi", "dynamic_debug"};
	_cleanup_fd_ int mount = put_fs(place, "proc", INERT, NULL, 0);
	int r = mount < 0 ? mount : 0;

	(void)terminal;
	for (size_t i = 0; !r && i < VU_ARRAY_SIZE(machine); i++)
		r = cover(mount, machine[i]);
	return r;
}

static int mount_sys(int place, int terminal)
{
	_cleanup_fd_ int mount = put_fs(place, "sysfs", INERT | MOUNT_ATTR_RDONLY, NULL, 0);

	(void)terminal;
	return mount < 0 ? mount : 0;
}

static int mount_run(int place, int terminal)
{
	static const struct option options[] = {{"mode", "0755"}};
	_cleanup_fd_ int mount = put_fs(place, "tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
					options, VU_ARRAY_SIZE(options));

	(void)terminal;
	if (mount < 0)
		return mount;
	return mkdirat(mount, "lock", S_ISVTX | 0777) ? -errno : 0;
}

/* ---- /dev ---- */

static int make_devices(int dev)
{
	static const struct {
		const char *name;
		unsigned major, minor;
	} nodes[] = {
		{"null", 1, 3},	  {"zero", 1, 5},    {"full", 1, 7},
		{"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
	};
	static const char *const links[][2] = {
		{"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"},
		{"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
		{"pts/ptmx", "ptmx"},
	};

	for (size_t i = 0; i < VU_ARRAY_SIZE(nodes); i++)
		if (mknodat(dev, nodes[i].name, S_IFCHR | 0666,
			    makedev(nodes[i].major, nodes[i].minor)))
			return -errno;
	for (size_t i = 0; i < VU_ARRAY_SIZE(links); i++)
		if (symlinkat(links[i][0], dev, links[i][1]))
			return -errno;
	if (mkdirat(dev, "pts", 0755) || mkdirat(dev, "shm", 0755))
		return -errno;
	return 0;
}

/* Mounts a new file system in the new /dev. */
static int put_in_dev(int dev, const char *name, const char *type, unsigned attributes,
		      const struct option *options, size_t n)
{
	_cleanup_fd_ int mount = new_fs(type, attributes, options, n);

	return mount < 0 ? mount : put_at(mount, dev, name);
}

static int put_terminal(int dev, int terminal)
{
	if (terminal < 0)
		return 0;
	if (mknodat(dev, "console", S_IFREG, 0))
		return -errno;
	return put_at(terminal, dev, "console");
}

static int mount_dev(int place, int terminal)
{
	static const struct option dev[] = {{"mode", "0755"}, {"size", "4m"}, {"nr_inodes", "64k"}};
	/* 5 is the group tty everywhere; programs without its set-id bit cannot change owners */
	static const struct option pts[] = {{"mode", "0620"}, {"ptmxmode", "0666"}, {"gid", "5"}};
	static const struct option shm[] = {{"mode", "1777"}};
	_cleanup_fd_ int mount = put_fs(place, "tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, dev,
					VU_ARRAY_SIZE(dev));
	int r = mount < 0 ? mount : make_devices(mount);

	if (!r)
		r = put_in_dev(mount, "pts", "devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, pts,
			       VU_ARRAY_SIZE(pts));
	if (!r)
		r = put_in_dev(mount, "shm", "tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, shm,
			       VU_ARRAY_SIZE(shm));
	return r ? r : put_terminal(mount, terminal);
}

/* ---- the whole ---- */

/* A copy of the mounts at and below root, that nobody else has. */
static int take_tree(int root)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NODEV, .propagation = MS_PRIVATE};
	_cleanup_fd_ int tree = open_tree(
		root, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0)
		return -errno;
	if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)))
		return -errno;
	return vu_take_fd(tree);
}

/* Standard input, if it is a terminal, as a mount of that one file; else none. */
static int take_terminal(void)
{
	int tree = -EBADF;

	if (isatty(STDIN_FILENO))
		tree = open_tree(STDIN_FILENO, "",
				 AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return tree < 0 ? -EBADF : tree; /* it was opened in yet another namespace: no matter */
}

/* Makes tree the top of this process's own mount namespace, and the only thing in it. */
static int make_top(int tree)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	if (move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) || fchdir(tree) ||
	    syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		return -errno;
	return 0;
}

/* One name, so that there is no symlink on the way; and none at its end. */
static int open_place(int tree, const char *name)
{
	int fd = openat(tree, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int mount_places(int tree, int terminal, struct vu_guest_mounted *ret)
{
	static const struct {
		const char *name, *doing;
		int (*mount)(int place, int terminal);
	} places[VU_GUEST_PLACES] = {
		{"proc", "cannot mount /proc", mount_proc},
		{"sys", "cannot mount /sys", mount_sys},
		{"dev", "cannot mount /dev", mount_dev},
		{"run", "cannot mount /run", mount_run},
	};
	int r = 0;

	for (size_t i = 0; !r && i < VU_ARRAY_SIZE(places); i++) {
		_cleanup_fd_ int place = open_place(tree, places[i].name);

		ret->doing = places[i].doing;
		if (place == -ENOENT || place == -ENOTDIR || place == -ELOOP) {
			struct vu_left_out *l = &ret->left_out[ret->n_left_out++];

			snprintf(l->place, sizeof(l->place), "/%s", places[i].name);
			l->error = place;
			continue;
		}
		r = place < 0 ? place : places[i].mount(place, terminal);
	}
	return r;
}

int vu_guest_mounts_enter(int root, struct vu_guest_mounted *ret)
{
	_cleanup_fd_ int terminal = take_terminal();
	_cleanup_fd_ int tree = take_tree(root);
	int r = tree < 0 ? tree : 0;

	umask(0);
	ret->doing = "cannot take the guest's tree";
	if (r)
		return r;
	ret->doing = "cannot make a mount namespace";
	if (unshare(CLONE_NEWNS))
		return -errno;
	ret->doing = "cannot make the guest's tree the root";
	r = make_top(tree);
	return r ? r : mount_places(tree, terminal, ret);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/handoff-peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int check_user_namespace(int proc, pid_t pid)
{
	char path[40];
	struct stat its, ours;

	snprintf(path, sizeof(path), "%d/ns/user", pid);
	if (fstatat(proc, "self/ns/user", &ours, 0))
		return -errno;
	if (fstatat(proc, path, &its, 0))
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	return its.st_ino == ours.st_ino && its.st_dev == ours.st_dev ? 0 : VU_HANDOFF_STRANGER;
}

int vu_handoff_check_peer(int sock, int proc, pid_t *ret_pid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int r;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return -errno;
	/* as it was when it connected, in terms of our namespaces: others' root is not 0 here */
	r = peer.uid || !peer.pid ? VU_HANDOFF_STRANGER : check_user_namespace(proc, peer.pid);
	if (ret_pid && r >= 0)
		*ret_pid = peer.pid;
	return r;
}

/* Can others than root change what names in this directory lead to? */
static int check_directory(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid || (st.st_mode & (S_IWGRP | S_IWOTH) && !(st.st_mode & S_ISVTX))
		       ? VU_HANDOFF_OPEN
		       : 0;
}

int vu_handoff_check_socket(int sock)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof(address);
	char path[sizeof(address.sun_path) + 1] = "";
	struct stat st;
	int r;

	if (getsockname(sock, (struct sockaddr *)&address, &size))
		return -errno;
	/* without a name, or an abstract one: that has no mode */
	if (address.sun_family != AF_UNIX || size <= offsetof(struct sockaddr_un, sun_path) ||
	    address.sun_path[0] != '/')
		return VU_HANDOFF_OPEN;
	/* the kernel may tell one byte more than fits: the NUL of the longest name */
	size -= offsetof(struct sockaddr_un, sun_path);
	memcpy(path, address.sun_path,
	       size < sizeof(address.sun_path) ? size : sizeof(address.sun_path));
	if (lstat(path, &st))
		return -errno;
	if (!S_ISSOCK(st.st_mode) || st.st_uid || st.st_mode & 0177)
		return VU_HANDOFF_OPEN;
	for (char *end; (end = strrchr(path, '/')) && end != path;) {
		*end = 0;
		r = check_directory(path);
		if (r)
			return r;
	}
	return check_directory("/");
}

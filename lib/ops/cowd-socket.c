/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/cowd-socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cow/handoff-peer.h"
#include "ops/session.h"

#define BACKLOG 32 /* connections that wait */

static const struct {
	int type;
	const char *name;
} kinds[VU_COWD_KINDS] = {
	[VU_COWD_OCI] = {SOCK_STREAM, "cowd.sock"},
	[VU_COWD_LXC] = {SOCK_SEQPACKET, "cowd-lxc.sock"},
};

char *vu_cowd_socket_path(const struct vu_config *config, enum vu_cowd_kind kind)
{
	char *path;

	return asprintf(&path, "%s/%s", config->lock_dir, kinds[kind].name) < 0 ? NULL : path;
}

enum vu_cowd_kind vu_cowd_socket_kind(int fd)
{
	int listens = 0, type = 0;
	socklen_t size = sizeof(int);
	enum vu_cowd_kind kind = VU_COWD_OCI;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size))
		return VU_COWD_KINDS;
	while (kind < VU_COWD_KINDS && kinds[kind].type != type)
		kind++;
	return kind;
}

static int fail(struct vu_ops *ops, const struct vu_cowd_socket *s, int r, const char *why,
		const char *todo)
{
	return vu_fail(ops, r, "cannot listen", s->path ? s->path : "the service manager's socket",
		       why, todo);
}

/* A socket that nobody listens at was left by one that was killed. */
static int remove_stale(const struct sockaddr_un *a, int type)
{
	_cleanup_fd_ int s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct stat st;

	if (s < 0)
		return -errno;
	if (lstat(a->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	/* EPROTOTYPE: of another type */
	if (!connect(s, (const struct sockaddr *)a, sizeof(*a)) || errno == EPROTOTYPE)
		return VU_OPS_LOCKED;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(a->sun_path) && errno != ENOENT ? -errno : 0;
}

static int bind_socket(const struct vu_cowd_socket *s, const struct sockaddr_un *a)
{
	mode_t old = umask(0177);
	int r = bind(s->fd, (const struct sockaddr *)a, sizeof(*a)) ? -errno : 0;

	umask(old);
	return r || !listen(s->fd, BACKLOG) ? r : -errno;
}

int vu_cowd_socket_make(struct vu_ops *ops, enum vu_cowd_kind kind, const char *path,
			struct vu_cowd_socket *ret)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int r;

	ret->path = path ? strdup(path) : vu_cowd_socket_path(ops->config, kind);
	if (!ret->path)
		return fail(ops, ret, -ENOMEM, NULL, NULL);
	if (strlen(ret->path) >= sizeof(a.sun_path))
		return fail(ops, ret, -ENAMETOOLONG, NULL, "name a path of at most 107 bytes");
	strcpy(a.sun_path, ret->path);
	if (!path && mkdir(ops->config->lock_dir, 0755) && errno != EEXIST)
		return fail(ops, ret, -errno, NULL, NULL);
	r = remove_stale(&a, kinds[kind].type);
	if (r)
		return fail(ops, ret, r, r > 0 ? "another vunify cowd listens there" : NULL,
			    r > 0 ? "end it first" : NULL);
	ret->fd = socket(AF_UNIX, kinds[kind].type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = ret->fd < 0 ? -errno : bind_socket(ret, &a);
	if (!r)
		return 0;
	/* the name may be somebody else's */
	vu_close_p(&ret->fd);
	ret->fd = -EBADF;
	return fail(ops, ret, r, NULL, NULL);
}

int vu_cowd_socket_check(struct vu_ops *ops, const struct vu_cowd_socket *s)
{
	int r = vu_handoff_check_socket(s->fd);

	if (!r)
		return 0;
	return fail(ops, s, r > 0 ? VU_OPS_REFUSED : r,
		    r > 0 ? "others than root can connect to it, or replace it" : NULL,
		    "have the socket 0600, and its directories root's");
}

void vu_cowd_socket_close(struct vu_cowd_socket *s)
{
	if (s->path && s->fd >= 0)
		(void)unlink(s->path);
	vu_close_p(&s->fd);
	s->fd = -EBADF;
	free(s->path);
	s->path = NULL;
}

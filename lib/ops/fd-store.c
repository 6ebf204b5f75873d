/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libsystemd is loaded when it is needed, by cowd alone: it brings six further libraries, which cost every
 * other command a fifth of its start, and room where memory is limited.
 */
#include "ops/fd-store.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"

static struct {
	__typeof__(sd_listen_fds_with_names) *listen_fds;
	__typeof__(sd_pid_notify_with_fds) *notify;
} sd;

/* Returns whether it is there. */
static bool load(void)
{
	void *lib = sd.notify ? NULL : dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);

	if (lib) {
		sd.listen_fds = (__typeof__(sd.listen_fds))dlsym(lib, "sd_listen_fds_with_names");
		sd.notify = (__typeof__(sd.notify))dlsym(lib, "sd_pid_notify_with_fds");
	}
	return sd.listen_fds && sd.notify;
}

/* Returns as sd_notify(3); without the library nobody was told, either. */
static int notify(const char *state, const int *fds, unsigned n)
{
	if (!getenv("NOTIFY_SOCKET"))
		return 0;
	return load() ? sd.notify(0, 0, state, fds, n) : -ENOSYS;
}

int vu_fd_store_take(struct vu_fd_store *ret)
{
	char **names = NULL;
	int n = 0;

	*ret = (struct vu_fd_store){0};
	if (getenv("LISTEN_FDS"))
		n = load() ? sd.listen_fds(1, &names) : -ENOSYS;
	if (n <= 0)
		return n;
	ret->v = calloc((size_t)n, sizeof(*ret->v));
	for (int i = 0; i < n; i++) {
		/* sd_listen_fds(3) has made them O_CLOEXEC */
		if (ret->v)
			ret->v[ret->n++] =
				(struct vu_fd_store_item){SD_LISTEN_FDS_START + i, names[i]};
		else
			free(names[i]);
	}
	free(names);
	return ret->v ? 0 : -ENOMEM;
}

void vu_fd_store_done(struct vu_fd_store *s)
{
	for (size_t i = 0; i < s->n; i++) {
		vu_close_p(&s->v[i].fd);
		free(s->v[i].name);
	}
	free(s->v);
	*s = (struct vu_fd_store){0};
}

int vu_fd_store_put(const char *name, const int *fds, size_t n)
{
	_cleanup_free_ char *state = NULL;

	if (asprintf(&state, "FDSTORE=1\nFDNAME=%s", name) < 0)
		return -ENOMEM;
	int r = notify(state, fds, (unsigned)n);

	return r > 0 ? 0 : r < 0 ? r : -ENOTCONN;
}

void vu_fd_store_forget(const char *name)
{
	_cleanup_free_ char *state = NULL;

	if (asprintf(&state, "FDSTOREREMOVE=1\nFDNAME=%s", name) >= 0)
		(void)notify(state, NULL, 0);
}

void vu_fd_store_tell(const char *state)
{
	(void)notify(state, NULL, 0);
}

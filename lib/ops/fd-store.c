/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/fd-store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"

int vu_fd_store_take(struct vu_fd_store *ret)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	*ret = (struct vu_fd_store){0};
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
	int r = sd_pid_notify_with_fds(0, 0, state, fds, (unsigned)n);

	return r > 0 ? 0 : r < 0 ? r : -ENOTCONN;
}

void vu_fd_store_forget(const char *name)
{
	(void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

void vu_fd_store_tell(const char *state)
{
	(void)sd_notify(0, state);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "fs/exchange.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "fs/reopen.h"

static const struct {
	int cap;
	const char *name;
} needed[] = {
	{CAP_LINUX_IMMUTABLE, "CAP_LINUX_IMMUTABLE"},
	{CAP_LEASE, "CAP_LEASE"},
	{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
	{CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"},
	{CAP_FOWNER, "CAP_FOWNER"},
	{CAP_CHOWN, "CAP_CHOWN"},
};

int vu_probe_capable(char **ret_why)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &head, data))
		return 0; /* the real probe will tell */
	for (size_t i = 0; i < VU_ARRAY_SIZE(needed); i++) {
		if (data[needed[i].cap / 32].effective & (UINT32_C(1) << (needed[i].cap % 32)))
			continue;
		if (asprintf(ret_why, "this process lacks %s", needed[i].name) < 0)
			*ret_why = NULL;
		return 1;
	}
	return 0;
}

struct probe {
	int dir;
	int fd; /* read-only, of a */
	char a[40];
	char b[40];
	const char *step; /* what is being tried */
};

static int try_flag(struct probe *p)
{
	p->step = "setting the immutable flag";
	int r = vu_iattr_set_immutable(p->fd, true);

	if (r)
		return r;
	p->step = "holding the immutable flag";
	r = vu_link_fd(p->fd, p->dir, "probe-flag");
	if (!r)
		unlinkat(p->dir, "probe-flag", 0);
	r = r == -EPERM ? 0 : r ? r : -EOPNOTSUPP;
	p->step = r ? p->step : "clearing the immutable flag";
	int off = vu_iattr_set_immutable(p->fd, false);

	return r ? r : off;
}

static int try_lease(struct probe *p)
{
	int r;

	p->step = "taking a lease";
	r = vu_lease_take(p->fd);
	if (r)
		return r > 0 ? -EAGAIN : r;
	p->step = "holding a lease";
	r = vu_lease_quiet(p->fd) ? 0 : -EOPNOTSUPP;
	vu_lease_drop(p->fd);
	return r;
}

static int try_all(struct probe *p)
{
	int r;

	p->step = "making a file";
	_cleanup_fd_ int w = openat(p->dir, p->a, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (w < 0)
		return -errno;
	p->fd = vu_reopen(w, O_RDONLY);
	if (p->fd < 0)
		return p->fd;
	close(w);
	w = -EBADF;
	p->step = "linking an open file";
	r = vu_link_fd(p->fd, p->dir, p->b);
	if (r)
		return r;
	/* two names of one inode change nothing: the exchange needs another inode */
	if (unlinkat(p->dir, p->b, 0))
		return -errno;
	w = openat(p->dir, p->b, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (w < 0)
		return -errno;
	p->step = "exchanging two names (RENAME_EXCHANGE)";
	r = vu_exchange(p->dir, p->a, p->dir, p->b);
	if (!r)
		r = try_lease(p);
	return r ? r : try_flag(p);
}

/* Says nothing of what the file system can do. */
static bool is_want(int r)
{
	return r == -ENOSPC || r == -EDQUOT || vu_is_want(r);
}

int vu_probe_stage(int stage_fd, char **ret_why)
{
	struct probe p = {.dir = stage_fd, .fd = -EBADF};
	uint64_t n = 0;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		n = (uint64_t)getpid();
	snprintf(p.a, sizeof(p.a), "p-%016llx-a", (unsigned long long)n);
	snprintf(p.b, sizeof(p.b), "p-%016llx-b", (unsigned long long)n);
	int r = try_all(&p);

	if (p.fd >= 0) {
		vu_iattr_set_immutable(p.fd, false);
		close(p.fd);
	}
	unlinkat(stage_fd, p.a, 0);
	unlinkat(stage_fd, p.b, 0);
	if (!r || is_want(r))
		return r;
	if (asprintf(ret_why, "%s does not work here: %s", p.step, strerror(-r)) < 0)
		*ret_why = NULL;
	return 1;
}

/* An open for writing, like a guest's. */
static int try_nameless_flag(int fd)
{
	int r = vu_iattr_set_immutable(fd, true);

	if (r)
		return r;
	_cleanup_fd_ int w = vu_reopen(fd, O_RDWR);
	int off = vu_iattr_set_immutable(fd, false);

	return w >= 0 ? -EOPNOTSUPP : w != -EPERM ? w : off;
}

static int try_nameless_lease(int fd)
{
	int r = vu_lease_take(fd);

	if (r)
		return r > 0 ? -EAGAIN : r;
	r = vu_lease_quiet(fd) ? 0 : -EOPNOTSUPP;
	vu_lease_drop(fd);
	return r;
}

static int tell(int r, char **ret_why)
{
	*ret_why = r ? strdup(strerror(-r)) : NULL;
	return r && !*ret_why ? -ENOMEM : 0;
}

int vu_probe_nameless(int dir_fd, char **ret_flag, char **ret_lease)
{
	_cleanup_fd_ int w = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	_cleanup_fd_ int fd = w < 0 ? -errno : vu_reopen(w, O_RDONLY);

	if (fd < 0)
		return fd;
	close(vu_take_fd(w)); /* a lease wants nobody who could write */
	int r = tell(try_nameless_lease(fd), ret_lease);

	return r ? r : tell(try_nameless_flag(fd), ret_flag);
}

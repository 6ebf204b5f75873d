/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-ksm-run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mem/ksm-self.h"
#include "mem/ksm.h"
#include "ops/ops-ksm.h"
#include "ops/session.h"

#define LIBRARY "libvunify-ksm.so"

/* Beside this program, where it was not installed; or where it is installed to. Owned; NULL without memory. */
static char *find_library(void)
{
	char exe[PATH_MAX], *path = NULL;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = 0;
	char *slash = strrchr(exe, '/');

	if (slash && asprintf(&path, "%.*s/" LIBRARY, (int)(slash - exe), exe) < 0)
		return NULL;
	if (path && !access(path, R_OK))
		return path;
	free(path);
	return strdup(VU_PKGLIBDIR "/" LIBRARY);
}

static int set_up_library(struct vu_ops *ops, bool by_madvise)
{
	const char *was = getenv("LD_PRELOAD");
	_cleanup_free_ char *path = find_library(), *all = NULL;

	if (!path || asprintf(&all, "%s%s%s", path, was && *was ? ":" : "", was ? was : "") < 0) {
		all = NULL;
		return -ENOMEM;
	}
	if (access(path, R_OK))
		return vu_fail(ops, VU_OPS_REFUSED, "cannot opt a command in", path,
			       "the library that does it on this kernel is not there",
			       "install vunify, or use Linux 6.10 or later");
	if (setenv("LD_PRELOAD", all, 1) || (by_madvise && setenv("VUNIFY_KSM", "madvise", 1)))
		return -errno;
	return 0;
}

/* By the kernel alone, or by the library. */
static int opt_in(struct vu_ops *ops, const struct vu_ksm_run_options *o)
{
	int r = o->preload ? -EINVAL : vu_ksm_self_set(true);

	if (!r)
		r = vu_ksm_self_is_inherited();
	else if (r != -EINVAL)
		return vu_fail(ops, r, "cannot opt a command in", NULL, NULL, NULL);
	if (r == 1)
		return 0;
	if (o->guest)
		return vu_fail(ops, VU_OPS_REFUSED, "cannot opt a command in", o->guest,
			       o->preload ? "a guest does not have the library"
					  : "this kernel does not keep it for the programs that a "
					    "process executes",
			       "start it by `vunify run`, and then use `vunify ksm attach`");
	return set_up_library(ops, o->preload);
}

int vu_ops_ksm_run(struct vu_ops *ops, const struct vu_ksm_run_options *o, int *ret_exec)
{
	struct vu_ksm ksm;
	int r = vu_ksm_read(&ksm);

	*ret_exec = 0;
	if (r)
		return r == VU_KSM_NONE
			       ? vu_fail(ops, VU_OPS_REFUSED, "cannot merge pages",
					 "/sys/kernel/mm/ksm", "this kernel has no KSM",
					 "use one with CONFIG_KSM")
			       : vu_fail(ops, r, "cannot read", "/sys/kernel/mm/ksm", NULL, NULL);
	if (o->guest && !o->across_domains)
		r = vu_ops_ksm_may(ops, o->guest);
	if (!r)
		r = opt_in(ops, o);
	if (r)
		return r;
	if (o->guest)
		execv("/proc/self/exe", o->vunify);
	else
		execvp(o->argv[0], o->argv);
	*ret_exec = errno;
	return vu_fail(ops, -errno, "cannot run", o->argv[0], NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lsm.h of a build without libbpf, clang or bpftool. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "lsm/lsm.h"

int vu_lsm_probe(char **ret_why)
{
	*ret_why = strdup("this vunify was built without libbpf, clang or bpftool");
	return VU_LSM_UNABLE;
}

int vu_lsm_enter(struct vu_lsm **ret, char **ret_why)
{
	(void)ret;
	return vu_lsm_probe(ret_why);
}

int vu_lsm_marks(const struct vu_lsm *l)
{
	(void)l;
	return -EBADF;
}

int vu_lsm_end(struct vu_lsm *l)
{
	(void)l;
	return -EOPNOTSUPP;
}

struct vu_lsm *vu_lsm_free(struct vu_lsm *l)
{
	(void)l;
	return NULL;
}

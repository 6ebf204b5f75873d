/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lsm.h and asks.h of a build without libbpf, clang or bpftool. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "lsm/asks.h"
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

bool vu_lsm_asks(const struct vu_lsm *l, struct vu_lsm_asking *ret)
{
	(void)l;
	(void)ret;
	return false;
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

int vu_asks_new(const struct vu_lsm_asking *asking, void (*fn)(void *arg, const struct vu_ask *ask),
		void *arg, struct vu_asks **ret)
{
	(void)asking;
	(void)fn;
	(void)arg;
	(void)ret;
	return -EOPNOTSUPP;
}

struct vu_asks *vu_asks_free(struct vu_asks *a)
{
	(void)a;
	return NULL;
}

int vu_asks_fd(const struct vu_asks *a)
{
	(void)a;
	return -EBADF;
}

int vu_asks_read(struct vu_asks *a)
{
	(void)a;
	return -EOPNOTSUPP;
}

bool vu_asks_missed(struct vu_asks *a)
{
	(void)a;
	return false;
}

int vu_asks_hold(struct vu_asks *a, const struct vu_guard_mark *mark)
{
	(void)a;
	(void)mark;
	return -EOPNOTSUPP;
}

int vu_asks_let_go(struct vu_asks *a, const struct vu_guard_mark *mark)
{
	(void)a;
	(void)mark;
	return -EOPNOTSUPP;
}

int vu_asks_refusals(const struct vu_asks *a)
{
	(void)a;
	return -EBADF;
}

int vu_ask_refuse(int refusals, uint32_t tid, uint64_t ino, int err)
{
	(void)refusals;
	(void)tid;
	(void)ino;
	(void)err;
	return -EOPNOTSUPP;
}

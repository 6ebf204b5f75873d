/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "call-fails.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/iattr.h"
#include "fs/lease.h"
#include "fs/stat.h"
#include "link/journal.h"

static _Atomic int left = -1; /* so many calls until one fails; -1: none does */
static bool for_ever;	      /* from then on all of its kind do */
static const char *failed;    /* which kind that is, or NULL */

static bool fails(const char *call)
{
	bool again = for_ever && failed && !strcmp(failed, call);

	if (!again && (atomic_load(&left) < 0 || atomic_fetch_sub(&left, 1)))
		return false;
	failed = call;
	errno = EIO;
	return true;
}

void fail_call(int n, bool ever)
{
	for_ever = ever;
	atomic_store(&left, n);
}

const char *fail_none(void)
{
	const char *what = failed;

	atomic_store(&left, -1);
	failed = NULL;
	return what;
}

struct at at;

int __real_renameat2(int dir_a, const char *a, int dir_b, const char *b, unsigned flags);
int __wrap_renameat2(int dir_a, const char *a, int dir_b, const char *b, unsigned flags);

int __wrap_renameat2(int dir_a, const char *a, int dir_b, const char *b, unsigned flags)
{
	struct stat st;
	bool here = at.dir && !strcmp(b, at.base) && !fstat(dir_b, &st) && st.st_ino == at.dir;

	if (here) {
		at.dir = 0;
		if (at.before)
			at.before();
	}
	if (here && at.dies) {
		__real_renameat2(dir_a, a, dir_b, b, flags);
		raise(SIGKILL);
	}
	return fails("renameat2") ? -1 : __real_renameat2(dir_a, a, dir_b, b, flags);
}

int __real_linkat(int dir_a, const char *a, int dir_b, const char *b, int flags);
int __wrap_linkat(int dir_a, const char *a, int dir_b, const char *b, int flags);

int __wrap_linkat(int dir_a, const char *a, int dir_b, const char *b, int flags)
{
	return fails("linkat") ? -1 : __real_linkat(dir_a, a, dir_b, b, flags);
}

int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);

int __wrap_unlinkat(int dir, const char *name, int flags)
{
	return fails("unlinkat") ? -1 : __real_unlinkat(dir, name, flags);
}

int __real_syncfs(int fd);
int __wrap_syncfs(int fd);

int __wrap_syncfs(int fd)
{
	return fails("syncfs") ? -1 : __real_syncfs(fd);
}

int __real_vu_iattr_set_immutable(int fd, bool on);
int __wrap_vu_iattr_set_immutable(int fd, bool on);

int __wrap_vu_iattr_set_immutable(int fd, bool on)
{
	return fails(on ? "flag on" : "flag off") ? -EIO : __real_vu_iattr_set_immutable(fd, on);
}

int __real_vu_stat_at(int dir, const char *name, struct vu_stat *ret);
int __wrap_vu_stat_at(int dir, const char *name, struct vu_stat *ret);

int __wrap_vu_stat_at(int dir, const char *name, struct vu_stat *ret)
{
	return fails("stat") ? -EIO : __real_vu_stat_at(dir, name, ret);
}

int __real_vu_journal_flush(struct vu_journal *j);
int __wrap_vu_journal_flush(struct vu_journal *j);

int __wrap_vu_journal_flush(struct vu_journal *j)
{
	return fails("journal") ? -EIO : __real_vu_journal_flush(j);
}

int __real_vu_journal_reset(struct vu_journal *j);
int __wrap_vu_journal_reset(struct vu_journal *j);

int __wrap_vu_journal_reset(struct vu_journal *j)
{
	return fails("reset") ? -EIO : __real_vu_journal_reset(j);
}

/* After a file was moved: who still has it open by another way changes it. */
void __real_vu_lease_tell(int fd, pid_t tid, int sig);
void __wrap_vu_lease_tell(int fd, pid_t tid, int sig);

void __wrap_vu_lease_tell(int fd, pid_t tid, int sig)
{
	struct stat st, mine;

	if (at.held > 0 && !fstat(fd, &st) && !fstat(at.held, &mine) && st.st_ino == mine.st_ino)
		if (fchmod(at.held, 0600)) /* in a thread where nothing can be asserted */
			abort();
	__real_vu_lease_tell(fd, tid, sig);
}

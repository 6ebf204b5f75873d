/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evict-trap.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/exchange.h"
#include "fs/stat.h"
#include "link/interrupt.h"

struct trap trap;

int __real_vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b);
int __wrap_vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b);

int __real_vu_interrupt_waiters(uint64_t super_dev, uint64_t ino, struct vu_waiters *waiting);
int __wrap_vu_interrupt_waiters(uint64_t super_dev, uint64_t ino, struct vu_waiters *waiting);

int __real_vu_interrupt_waiters_each(struct vu_wanted *v, size_t n);
int __wrap_vu_interrupt_waiters_each(struct vu_wanted *v, size_t n);

int __wrap_vu_interrupt_waiters(uint64_t super_dev, uint64_t ino, struct vu_waiters *waiting)
{
	if (!trap.deaf)
		return __real_vu_interrupt_waiters(super_dev, ino, waiting);
	if (waiting && !waiting->n)
		waiting->v[waiting->n++] = trap.w->pid;
	return 1;
}

int __wrap_vu_interrupt_waiters_each(struct vu_wanted *v, size_t n)
{
	if (!trap.deaf)
		return __real_vu_interrupt_waiters_each(v, n);
	for (size_t i = 0; i < n; i++) {
		v[i].n = 1;
		v[i].found = true;
		v[i].seen = (struct vu_waiters){.v = {trap.w->pid}, .n = 1};
	}
	return 0;
}

/* The lease is on one of our own descriptors. */
static bool give_lease_away(uint64_t ino)
{
	bool any = false;
	struct stat st;

	for (int fd = 3; fd < 256; fd++)
		if (!fstat(fd, &st) && st.st_ino == ino && fcntl(fd, F_GETLEASE) == F_RDLCK)
			any = !fcntl(fd, F_SETLEASE, F_UNLCK) || any;
	return any;
}

static bool leads_to(uint64_t ino, int dirfd_a, const char *a, int dirfd_b, const char *b)
{
	struct vu_stat st;

	return ino && ((!vu_stat_at(dirfd_a, a, &st) && st.version.ino == ino) ||
		       (!vu_stat_at(dirfd_b, b, &st) && st.version.ino == ino));
}

void wait_for_waiting(const struct writer *w)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "grep -q 'BREAKER *WRITE %d ' /proc/locks", (int)w->pid);
	/* a list that others change meanwhile may be read with gaps: once seen is seen */
	int waits = sh("%s", cmd);

	for (int i = 0; i < 2000 && waits; i++) {
		usleep(1000);
		waits = sh("%s", cmd);
	}
	assert_int_equal(waits, 0);
}

int __wrap_vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b)
{
	struct vu_stat st;
	bool here = leads_to(trap.ino, dirfd_a, a, dirfd_b, b);

	if (here && trap.kill) {
		if (trap.own)
			assert_int_equal(renameat(AT_FDCWD, trap.own, dirfd_b, b), 0);
		if (trap.kill > 0)
			__real_vu_exchange(dirfd_a, a, dirfd_b, b);
		raise(SIGKILL);
	}
	here = here && (!trap.dir || (!vu_stat_fd(dirfd_b, &st) && st.version.ino == trap.dir));
	if (here && trap.wait) {
		trap.ino = 0;
		for (const char *act = trap.acts; *act; act++)
			tell(trap.w, *act);
		wait_for_waiting(trap.w);
	} else if (here && give_lease_away(trap.ino)) {
		trap.ino = 0;
		for (const char *act = trap.acts; *act; act++)
			assert_true(ask(trap.w, *act));
	}
	return __real_vu_exchange(dirfd_a, a, dirfd_b, b);
}

void set_trap(const struct farm *f, uint64_t ino, int dir_of, struct writer *w, const char *acts)
{
	trap.ino = ino;
	trap.dir = dir_of < 0 ? 0 : stat_of(f, (unsigned)dir_of, "usr/lib").st_ino;
	trap.w = w;
	trap.acts = acts;
}

uint64_t begin(struct farm *f)
{
	trap = (struct trap){0}; /* of a test that has failed */
	populate(f, 5);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	manifest(f, "a", true);
	seen.quiet = true;
	return stat_of(f, 0, F0).st_ino;
}

void make_private(const struct farm *f, unsigned g)
{
	char p[256];

	guest_path(f, g, "", p);
	assert_int_equal(sh("cd %s && touch -r usr/lib t1 && touch -r usr t2 && chattr -i " F0
			    " && cp -p --preserve=all " F0 " new && ln -f new " TWIN
			    " && mv -f new " F0 " && touch -r t1 usr/lib && touch -r t2 usr && "
			    "rm t1 t2 && chattr +i ../g0/" F0,
			    p),
			 0);
}

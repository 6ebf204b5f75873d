/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "race-proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

unsigned dice(struct proc *p, unsigned sides)
{
	return (unsigned)rand_r(&p->seed) % sides;
}

void nap_us(unsigned us)
{
	nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000}, NULL);
}

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

void begin_op(struct proc *p, enum mode m)
{
	p->n->doing = m;
	atomic_store(&p->n->since_ns, clock_ns());
}

void end_op(struct proc *p)
{
	uint64_t took = clock_ns() - atomic_exchange(&p->n->since_ns, 0);

	if (took > p->n->longest_ns)
		p->n->longest_ns = took;
}

/* ---- into the guest ---- */

/* A guest whose root could lift the flag, or leave its root directory, is refused by vunify. */
static void drop_capabilities(void)
{
	static const unsigned caps[] = {CAP_LINUX_IMMUTABLE, CAP_SYS_CHROOT};
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d))
		die("capabilities");
	for (unsigned i = 0; i < sizeof(caps) / sizeof(*caps); i++) {
		if (prctl(PR_CAPBSET_DROP, caps[i], 0, 0, 0))
			die("capabilities");
		d[0].effective &= ~(1U << caps[i]);
		d[0].permitted &= ~(1U << caps[i]);
		d[0].inheritable &= ~(1U << caps[i]);
	}
	if (syscall(SYS_capset, &h, d))
		die("capabilities");
}

void enter_guest(struct proc *p, const char *cgroup)
{
	char path[700];
	int fd;

	if (cgroup) {
		snprintf(path, sizeof(path), "%s/g%u/cgroup.procs", cgroup, p->guest + 1);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1)
			die(path);
		close(fd);
	}
	p->schedstat = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
	p->host_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/g%u", p->b->top, p->guest + 1);
	if (p->host_root < 0 || chdir(path) || chroot("."))
		die(path);
	umask(0);
	drop_capabilities();
}

void be_in_guest(struct proc *p)
{
	p->schedstat = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
	p->host_root = -1;
	umask(0);
}

/* ---- small things ---- */

const char *next_stamp(struct proc *p)
{
	static char text[STAMP + 1];

	snprintf(text, sizeof(text), "@%02x%02x%010llu\n", p->guest, p->proc,
		 (unsigned long long)++p->serial);
	return text;
}

void at_file(struct proc *p, unsigned dir, unsigned file, struct at *ret)
{
	ret->dir = dir;
	ret->file = file;
	ret->r = record_of(p->b, p->guest, p->proc, dir, file);
	file_path(p->b, "", p->guest, p->proc, dir, file, ret->path, sizeof(ret->path));
}

void sibling(const struct proc *p, const struct at *a, const char *suffix, char *ret, size_t size)
{
	dir_path(p->b, "", p->guest, p->proc, a->dir, ret, size);
	size_t at = strlen(ret);

	snprintf(ret + at, size - at, "/f%u%s", a->file, suffix);
}

bool was_refused(struct proc *p, enum mode m)
{
	if (errno != EPERM && errno != ETXTBSY && errno != EACCES && errno != EAGAIN &&
	    errno != EINTR)
		die(mode_names[m]);
	p->n->refused[m]++;
	return true;
}

void was_acked(struct proc *p, enum mode m)
{
	p->n->acked[m]++;
}

void wrote(struct record *r, uint32_t at, const char *bytes, uint32_t n)
{
	memcpy(r->bytes + at, bytes, n);
	if (r->size < at + n)
		r->size = at + n;
}

void note_mtime(struct record *r, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		die("fstat");
	r->mtime = st.st_mtim;
}

/* ---- the clock ---- */

/* How long this process has waited for a processor, in its life. */
static uint64_t waited_ns(const struct proc *p)
{
	unsigned long long ran = 0, waited = 0;
	char text[96];
	ssize_t n = pread(p->schedstat, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

void clock_begin(struct proc *p, uint64_t *t)
{
	t[0] = waited_ns(p);
	t[1] = clock_ns();
}

void clock_end(struct proc *p, const uint64_t *t, bool truncates)
{
	uint64_t took = clock_ns() - t[1], net = took;

	if (took > 1000000) {
		uint64_t waited = waited_ns(p) - t[0];

		net = took > waited ? took - waited : 0;
	}
	p->n->opens++;
	if (truncates) {
		if (net > p->n->trunc_ns)
			p->n->trunc_ns = net;
		return;
	}
	if (took > p->n->block_ns)
		p->n->block_ns = took;
	if (net > p->n->block_net_ns)
		p->n->block_net_ns = net;
	p->n->over += took > BLOCK_LIMIT_NS;
	p->n->over_net += net > BLOCK_LIMIT_NS;
}

int open_clocked(struct proc *p, const char *path, int flags)
{
	uint64_t t[2];

	clock_begin(p, t);
	int fd = open(path, flags | O_CLOEXEC, 0600), err = errno;

	clock_end(p, t, flags & O_TRUNC);
	errno = err;
	return fd;
}

int truncate_clocked(struct proc *p, const char *path, off_t size)
{
	uint64_t t[2];

	clock_begin(p, t);
	int r = truncate(path, size), err = errno;

	clock_end(p, t, true);
	errno = err;
	return r;
}

#define GRACE_NS UINT64_C(20000000) /* VU_GRACE_NS of link/moment.h */

void changed_by_fd(struct proc *p, struct at *a, const struct record *now, uint64_t since_ns)
{
	bool late = clock_ns() > since_ns + GRACE_NS;
	struct record before = *a->r;

	*a->r = *now;
	/* it may be about to be put back */
	for (unsigned i = 0; late && i < 100; i++) {
		if (!differs(p->b, "", p->guest, p->proc, a->dir, a->file, false))
			return;
		nap_us(10000);
	}
	if (!late)
		return;
	*a->r = before;
	if (!differs(p->b, "", p->guest, p->proc, a->dir, a->file, false))
		p->n->late++;
	else
		*a->r = *now;
}

/* ---- what is kept open ---- */

static void let_go(struct proc *p, unsigned i)
{
	if (p->held[i].map)
		munmap(p->held[i].map, FILE_MAX);
	if (p->held[i].fd >= 0)
		close(p->held[i].fd);
	p->held[i].used = false;
}

bool is_held(const struct proc *p, unsigned dir, unsigned file)
{
	for (unsigned i = 0; i < N_HELD; i++)
		if (p->held[i].used && p->held[i].dir == dir && p->held[i].file == file)
			return true;
	return false;
}

void let_go_of(struct proc *p, unsigned dir, unsigned file)
{
	for (unsigned i = 0; i < N_HELD; i++)
		if (p->held[i].used &&
		    (dir == UINT32_MAX || (p->held[i].dir == dir && p->held[i].file == file)))
			let_go(p, i);
}

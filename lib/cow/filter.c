/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libseccomp makes the program of all rules whose names it knows, with a binary search for the call's number,
 * and writes it to a memfd. Before it stand, by hand, the calls that it (2.5.4) cannot name: they have the same
 * number on all architectures (Linux 5.1), so that one comparison does for each:
 *
 *	    ld   number
 *	    jge  the least of them, next, program
 *	    jeq  one, notify
 *	    jeq  another, notify, program
 *	notify: ret USER_NOTIF
 *	program: of libseccomp
 *
 * An x32 call has bit 30 set in its number, is equal to none of them, and refused by libseccomp's program as of
 * an architecture that the filter has no rules for.
 *
 * What the filter allows by number alone, the kernel (5.11) finds out when it is installed, and does not run
 * the program for it: the program's length is paid by the calls whose arguments are looked at.
 */
#include "cow/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define UNNAMED_MAX 16

struct making {
	scmp_filter_ctx ctx;
	uint32_t unnamed[UNNAMED_MAX]; /* numbers of calls that libseccomp does not know */
	size_t n_unnamed;
};

/* libseccomp's own errors say nothing to anybody, and -ECANCELED means something else here. */
static int own_error(int r)
{
	return !r || r == -ENOMEM ? r : -EOPNOTSUPP;
}

static int add_unnamed(struct making *m, const struct vu_rule *r)
{
	if (!r->number || r->error || r->test != VU_RULE_ANY || m->n_unnamed == UNNAMED_MAX)
		return -EOPNOTSUPP;
	m->unnamed[m->n_unnamed++] = (uint32_t)r->number;
	return 0;
}

/* The number is this machine's, also below 0 for a call that only others have: it is translated for each. */
static int on_rule(void *arg, const struct vu_rule *r)
{
	struct making *m = arg;
	uint32_t action = r->error ? SCMP_ACT_ERRNO((uint32_t)r->error) : SCMP_ACT_NOTIFY;
	int nr = seccomp_syscall_resolve_name(r->name);

	if (nr == __NR_SCMP_ERROR)
		return add_unnamed(m, r);
	switch (r->test) {
	case VU_RULE_MASKED:
		return own_error(
			seccomp_rule_add(m->ctx, action, nr, 1,
					 SCMP_CMP(r->arg, SCMP_CMP_MASKED_EQ, r->mask, r->value)));
	case VU_RULE_NOT_NULL:
		return own_error(
			seccomp_rule_add(m->ctx, action, nr, 1, SCMP_CMP(r->arg, SCMP_CMP_NE, 0)));
	default:
		return own_error(seccomp_rule_add(m->ctx, action, nr, 0));
	}
}

/* Rules are made for this architecture and its 32-bit companion, and for no other. */
static int set_archs(scmp_filter_ctx ctx, uint32_t arch)
{
	uint32_t native = seccomp_arch_native();
	int r = 0;

	arch = arch ? arch : native;
	if (arch != SCMP_ARCH_X86_64 && arch != SCMP_ARCH_AARCH64)
		return -EOPNOTSUPP;
	if (arch != native)
		r = seccomp_arch_add(ctx, arch);
	if (!r)
		r = seccomp_arch_add(ctx, arch == SCMP_ARCH_X86_64 ? SCMP_ARCH_X86 : SCMP_ARCH_ARM);
	if (!r && arch != native)
		r = seccomp_arch_remove(ctx, native);
	return own_error(r);
}

static int make_rules(struct making *m, uint32_t arch, unsigned flags)
{
	int r = own_error(
		seccomp_attr_set(m->ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)));

	if (!r)
		r = own_error(seccomp_attr_set(m->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2));
	if (!r)
		r = set_archs(m->ctx, arch);
	return r ? r : vu_ruleset_each(flags, on_rule, m);
}

/* The instructions for what libseccomp cannot name. Returns how many; at most UNNAMED_MAX + 3. */
static size_t make_unnamed(const struct making *m, struct sock_filter *insn)
{
	const uint32_t load = offsetof(struct seccomp_data, nr);
	uint8_t n = (uint8_t)m->n_unnamed;
	uint32_t least = UINT32_MAX;

	if (!n)
		return 0;
	for (uint8_t i = 0; i < n; i++)
		least = VU_MIN(least, m->unnamed[i]);
	*insn++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, load);
	*insn++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, least, 0, n + 1);
	for (uint8_t i = 0; i < n; i++)
		*insn++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, m->unnamed[i],
						       n - 1 - i, i == n - 1);
	*insn = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	return n + 3U;
}

/* Reads what libseccomp has written, behind the own instructions. */
static int assemble(const struct making *m, int memfd, struct vu_filter **ret)
{
	struct stat st;

	if (fstat(memfd, &st))
		return -errno;

	size_t bytes = (size_t)st.st_size, n = bytes / sizeof(struct sock_filter);
	struct vu_filter *f =
		calloc(1, sizeof(*f) + bytes + (UNNAMED_MAX + 3) * sizeof(struct sock_filter));

	if (!f)
		return -ENOMEM;
	f->n = make_unnamed(m, f->insn);
	if (pread(memfd, f->insn + f->n, bytes, 0) != (ssize_t)bytes || f->n + n > BPF_MAXINSNS) {
		free(f);
		return -EIO;
	}
	f->n += n;
	*ret = f;
	return 0;
}

int vu_filter_new(uint32_t arch, unsigned flags, struct vu_filter **ret)
{
	_cleanup_fd_ int memfd = memfd_create("vunify-filter", MFD_CLOEXEC);
	struct making m = {.ctx = seccomp_init(SCMP_ACT_ALLOW)};
	int r = m.ctx ? 0 : -ENOMEM;

	if (memfd < 0)
		r = -errno;
	if (!r)
		r = make_rules(&m, arch, flags);
	if (!r)
		r = own_error(seccomp_export_bpf(m.ctx, memfd));
	if (!r)
		r = assemble(&m, memfd, ret);
	seccomp_release(m.ctx);
	return r;
}

struct vu_filter *vu_filter_free(struct vu_filter *f)
{
	free(f);
	return NULL;
}

int vu_filter_install(struct vu_filter *f, bool *ret_killable)
{
	struct sock_fprog prog = {(unsigned short)f->n, f->insn};
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog);
	bool killable = fd >= 0;

	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	if (fd >= 0 && ret_killable)
		*ret_killable = killable;
	return fd < 0 ? -errno : (int)fd;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf-run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/seccomp.h>

static uint32_t run(const struct vu_filter *f, const struct seccomp_data *d)
{
	uint32_t acc = 0;

	for (size_t pc = 0;; pc++) {
		assert_true(pc < f->n);
		const struct sock_filter *i = &f->insn[pc];
		bool yes;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k % 4 == 0 && i->k + 4 <= sizeof(*d));
			memcpy(&acc, (const char *)d + i->k, 4);
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			acc &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = acc == i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = acc > i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = acc >= i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = acc & i->k;
			break;
		default:
			fail_msg("instruction %zu has the code %x", pc, i->code);
			return 0;
		}
		pc += yes ? i->jt : i->jf;
	}
}

uint32_t bpf_run(const struct vu_filter *f, uint32_t arch, int nr, const uint64_t args[6])
{
	struct seccomp_data d = {nr, arch, 0, {0}};

	memcpy(d.args, args, sizeof(d.args));
	return run(f, &d);
}

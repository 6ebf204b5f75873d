/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What mem/inject-call.c has to know of a processor: where the number, the arguments and the result of a call are among
 * the registers that ptrace(2) shows, and what the instruction looks like that makes a call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/user.h>

#if defined(__x86_64__)

#define VU_INJECT_ARCH 1
typedef struct user_regs_struct vu_inject_regs;

static const uint8_t vu_inject_insn[] = {0x0f, 0x05}; /* syscall */
#define VU_INJECT_ALIGN 1

static inline void vu_inject_set_call(vu_inject_regs *r, uint64_t pc, long nr, uint64_t a,
				      uint64_t b)
{
	r->rip = pc;
	r->rax = (uint64_t)nr;
	r->orig_rax = (uint64_t)-1; /* nothing of it is to be made anew */
	r->rdi = a;
	r->rsi = b;
	r->rdx = r->r10 = r->r8 = r->r9 = 0;
}

static inline long vu_inject_result(const vu_inject_regs *r)
{
	return (long)r->rax;
}

static inline uint64_t vu_inject_pc(const vu_inject_regs *r)
{
	return r->rip;
}

static inline void vu_inject_set_pc(vu_inject_regs *r, uint64_t pc)
{
	r->rip = pc;
}

/* The call that was interrupted, or -1; what it has returned, for the kernel to see to. */
static inline long vu_inject_interrupted(const vu_inject_regs *r)
{
	return (long)r->orig_rax;
}

static inline void vu_inject_set_result(vu_inject_regs *r, long result)
{
	r->rax = (uint64_t)result;
}

/* A 32-bit program may run 64-bit code, and the other way round: the segment says what it is now. */
static inline bool vu_inject_is_native(const vu_inject_regs *r, size_t size)
{
	return size == sizeof(*r) && r->cs == 0x33;
}

#elif defined(__aarch64__)

#define VU_INJECT_ARCH 1
typedef struct user_regs_struct vu_inject_regs;

static const uint8_t vu_inject_insn[] = {0x01, 0x00, 0x00, 0xd4}; /* svc #0 */
#define VU_INJECT_ALIGN 4

static inline void vu_inject_set_call(vu_inject_regs *r, uint64_t pc, long nr, uint64_t a,
				      uint64_t b)
{
	r->pc = pc;
	r->regs[8] = (uint64_t)nr;
	r->regs[0] = a;
	r->regs[1] = b;
	r->regs[2] = r->regs[3] = r->regs[4] = 0;
}

static inline long vu_inject_result(const vu_inject_regs *r)
{
	return (long)r->regs[0];
}

static inline uint64_t vu_inject_pc(const vu_inject_regs *r)
{
	return r->pc;
}

static inline void vu_inject_set_pc(vu_inject_regs *r, uint64_t pc)
{
	r->pc = pc;
}

/*
 * The kernel has put pc and x0 back to where the call is made before anybody sees them. Only what was waiting for a
 * limited time is made anew in another way, by restart_syscall(2), which is set when the thread goes on undisturbed;
 * so here it waits for its whole time again.
 */
static inline long vu_inject_interrupted(const vu_inject_regs *r)
{
	(void)r;
	return -1;
}

static inline void vu_inject_set_result(vu_inject_regs *r, long result)
{
	r->regs[0] = (uint64_t)result;
}

static inline bool vu_inject_is_native(const vu_inject_regs *r, size_t size)
{
	return size == sizeof(*r) && !(r->pstate & 0x10); /* nRW: AArch32 */
}

#else

#define VU_INJECT_ARCH 0

#endif

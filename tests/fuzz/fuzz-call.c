/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls, of which the guest chooses every bit: the first byte is the architecture, two the number,
 * eight each argument, and the rest a struct open_how. What is decoded is whole and lies within its limits;
 * a call that is in no table is none; and of what the kernel takes as an int, or has in a register of 32 bits,
 * the upper half changes nothing.
 */
#include "fuzz.h"

#include <linux/audit.h>

#include "base/cleanup.h"
#include "cow/call.h"
#include "cow/shape.h"

static const uint32_t archs[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64,
				 AUDIT_ARCH_ARM, AUDIT_ARCH_S390X};

static struct vu_call_numbers *numbers;

static const struct vu_shape *shape_of(const struct seccomp_data *d)
{
	size_t n;
	const struct vu_shape *s = vu_shapes(&n);

	for (size_t i = 0; i < n; i++)
		if (vu_shape_number(&s[i], d->arch) == d->nr)
			return &s[i];
	return NULL;
}

static bool is_narrow(uint32_t arch)
{
	return arch == AUDIT_ARCH_I386 || arch == AUDIT_ARCH_ARM;
}

static void check_call(const struct seccomp_data *d, const struct vu_call *c)
{
	CHECK(c->n_paths == 1 || c->n_paths == 2);
	CHECK(c->n_paths == 2 || (c->op != VU_CALL_RENAME && c->op != VU_CALL_EXCHANGE));
	CHECK(c->arch == d->arch && c->op <= VU_CALL_ACCESS);
	CHECK(!c->how_address == !c->how_size && c->how_size <= sizeof(struct open_how));
	for (unsigned i = 0; i < c->n_paths; i++) {
		const struct vu_call_path *p = &c->path[i];

		CHECK(!p->address == p->self && p->need <= VU_NEED_ALL);
		CHECK(!is_narrow(d->arch) || p->address <= UINT32_MAX);
	}
	CHECK(c->path[0].need != VU_NEED_NOTHING);
}

static bool same_path(const struct vu_call_path *a, const struct vu_call_path *b)
{
	return a->dirfd == b->dirfd && a->address == b->address && a->self == b->self &&
	       a->empty_self == b->empty_self && a->follow == b->follow && a->need == b->need;
}

static bool same(const struct vu_call *a, const struct vu_call *b)
{
	return a->op == b->op && a->n_paths == b->n_paths && same_path(&a->path[0], &b->path[0]) &&
	       same_path(&a->path[1], &b->path[1]) && a->open_flags == b->open_flags &&
	       a->mode == b->mode && a->resolve == b->resolve && a->how_address == b->how_address &&
	       a->how_size == b->how_size && a->arch == b->arch;
}

static bool has_address(const struct vu_call *c, uint64_t v)
{
	return c->path[0].address == v || c->path[1].address == v || c->how_address == v;
}

/* The upper half of one argument is another: the same comes out, but for addresses, lengths and sizes. */
static void check_halves(const struct seccomp_data *d, int r, const struct vu_call *c)
{
	for (unsigned i = 0; i < 6; i++) {
		struct seccomp_data other = *d;
		struct vu_call o = {0};

		other.args[i] ^= UINT64_C(0x5a5a5a5a00000000);
		int s = vu_call_decode(numbers, &other, &o);

		if (r == s && (r || same(c, &o)))
			continue;
		const struct vu_shape *shape = shape_of(d);

		CHECK(shape && !is_narrow(d->arch));
		CHECK((!r && has_address(c, d->args[i])) ||
		      (!s && has_address(&o, other.args[i])) || shape->length == VU_SHAPE_ARG(i) ||
		      shape->size == VU_SHAPE_ARG(i));
	}
}

static void check_complete(struct input *in, const struct vu_call *c)
{
	struct vu_call done = *c;
	struct open_how how = {take_number(in), take_number(in), take_number(in)};
	int r = vu_call_complete(&done, &how);

	CHECK(r == 0 || r == VU_CALL_NONE || r == VU_CALL_MALFORMED);
	if (r) {
		CHECK(same(&done, c));
		return;
	}
	CHECK(done.op == VU_CALL_OPEN && !done.how_address && done.open_flags == how.flags);
	CHECK(how.flags & (O_ACCMODE | O_TRUNC) && done.resolve == how.resolve);
	CHECK(done.mode == how.mode && same_path(&done.path[1], &c->path[1]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct seccomp_data d = {.arch = archs[take_byte(&in) % VU_ARRAY_SIZE(archs)]};
	struct vu_call c = {0};

	if (!numbers)
		numbers = vu_call_numbers_new();
	CHECK(numbers);
	d.nr = take_byte(&in) << 8;
	d.nr |= take_byte(&in);
	/* the numbers of calls end at 470; above them, any */
	d.nr = d.nr < 0x8000 ? d.nr % 512 : (int)((uint32_t)d.nr << 16 | (uint32_t)d.nr);
	for (unsigned i = 0; i < 6; i++)
		d.args[i] = take_number(&in);
	int r = vu_call_decode(numbers, &d, &c);

	CHECK(r == 0 || r == VU_CALL_NONE || r == VU_CALL_MALFORMED);
	CHECK(r == VU_CALL_NONE || shape_of(&d));
	if (!r)
		check_call(&d, &c);
	check_halves(&d, r, &c);
	if (!r && c.how_address)
		check_complete(&in, &c);
	return 0;
}

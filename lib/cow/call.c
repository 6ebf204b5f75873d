/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call is looked up by its number in a table of its architecture; the row (cow/shape.h) says where its
 * arguments are. What is malformed is so on Linux 6.18: a later kernel that accepts more flags makes a call
 * that nobody broke a link for, and meets the immutable flag.
 */
#include "cow/call.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <stdlib.h>

#include <unistd.h>

#include "base/cleanup.h"
#include "cow/shape.h"

/* Numbers of calls in use end at 470 (6.18). Those of arm's own and the x32 bit are far above. */
#define NUMBERS 512

/* The kernel refuses an open_how that is larger than a page, of which aarch64 has some of 64 KiB. */
#define HOW_SIZE_MIN 24
#define HOW_SIZE_MAX 65536

/* The kernel's own, the same on all these architectures; the C library's O_TMPFILE has O_DIRECTORY in it. */
#define K_PATH UINT32_C(010000000)
#define K_TMPFILE UINT32_C(020000000)
#define K_OPEN_FLAGS UINT64_C(037777703)
#define K_RESOLVE                                                                                  \
	(RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH |         \
	 RESOLVE_IN_ROOT | RESOLVE_CACHED)

struct arch {
	uint32_t audit;
	bool narrow;	 /* registers have 32 bits */
	bool even_pairs; /* 64-bit values begin at an even register */
	uint32_t o_directory, o_nofollow;
};

static const struct arch archs[] = {
	{AUDIT_ARCH_X86_64, false, false, 0200000, 0400000},
	{AUDIT_ARCH_I386, true, false, 0200000, 0400000},
	{AUDIT_ARCH_AARCH64, false, false, 040000, 0100000},
	{AUDIT_ARCH_ARM, true, true, 040000, 0100000},
};

#define N_ARCHS VU_ARRAY_SIZE(archs)

struct vu_call_numbers {
	uint8_t row[N_ARCHS][NUMBERS]; /* the index of the shape + 1; 0: none */
};

struct vu_call_numbers *vu_call_numbers_new(void)
{
	struct vu_call_numbers *n = calloc(1, sizeof(*n));
	size_t n_shapes;
	const struct vu_shape *shapes = vu_shapes(&n_shapes);

	if (!n)
		return NULL;
	for (size_t a = 0; a < N_ARCHS; a++) {
		for (size_t i = 0; i < n_shapes; i++) {
			int nr = vu_shape_number(&shapes[i], archs[a].audit);

			if (nr >= 0 && nr < NUMBERS)
				n->row[a][nr] = (uint8_t)(i + 1);
		}
	}
	return n;
}

struct vu_call_numbers *vu_call_numbers_free(struct vu_call_numbers *n)
{
	free(n);
	return NULL;
}

static const struct arch *find_arch(uint32_t audit)
{
	for (size_t i = 0; i < N_ARCHS; i++)
		if (archs[i].audit == audit)
			return &archs[i];
	return NULL;
}

static const struct vu_shape *find_shape(const struct vu_call_numbers *n, const struct arch *a,
					 int nr)
{
	size_t n_shapes;
	const struct vu_shape *shapes = vu_shapes(&n_shapes);
	unsigned row = nr >= 0 && nr < NUMBERS ? n->row[a - archs][nr] : 0;

	return row ? &shapes[row - 1] : NULL;
}

/* A register's whole value: an address, a size. */
static uint64_t whole(const struct arch *a, const struct seccomp_data *d, vu_shape_arg arg)
{
	uint64_t v = arg ? d->args[arg - 1] : 0;

	return a->narrow ? (uint32_t)v : v;
}

/* What the kernel takes as int or unsigned int. */
static uint32_t half(const struct seccomp_data *d, vu_shape_arg arg)
{
	return arg ? (uint32_t)d->args[arg - 1] : 0;
}

static bool cuts_to_nothing(const struct vu_shape *s, const struct arch *a,
			    const struct seccomp_data *d)
{
	unsigned i = s->length - 1;

	if (!(s->traits & VU_SHAPE_LENGTH_WIDE))
		return !whole(a, d, s->length);
	i += a->even_pairs && i % 2;
	return !(uint32_t)d->args[i] && !(uint32_t)d->args[i + 1];
}

/* What an open does to the file that is there. */
static int set_open(struct vu_call *c, const struct arch *a, uint32_t flags, uint32_t mode)
{
	/* 3 is an access mode too: it asks for both permissions. O_PATH opens nothing. */
	if (flags & K_PATH || !(flags & (O_ACCMODE | O_TRUNC)))
		return VU_CALL_NONE;
	/* no file may be there; or it has to be a directory, in which O_TMPFILE makes a nameless file */
	if ((flags & O_CREAT && flags & O_EXCL) || flags & (a->o_directory | K_TMPFILE))
		return VU_CALL_NONE;
	c->open_flags = flags;
	c->mode = mode & 07777;
	c->path[0].follow = !(flags & a->o_nofollow);
	c->path[0].need = flags & O_TRUNC ? VU_NEED_METADATA : VU_NEED_ALL;
	return 0;
}

static int decode_open(const struct vu_shape *s, const struct arch *a, const struct seccomp_data *d,
		       struct vu_call *c)
{
	uint32_t flags = s->flags ? half(d, s->flags) : O_CREAT | O_WRONLY | O_TRUNC;
	uint64_t size = whole(a, d, s->size);

	if (!(s->traits & VU_SHAPE_FLAGS_IN_MEMORY))
		return set_open(c, a, flags, half(d, s->mode));
	c->how_address = whole(a, d, s->flags);
	if (!c->how_address || size < HOW_SIZE_MIN || size > HOW_SIZE_MAX)
		return VU_CALL_MALFORMED;
	c->how_size = (uint32_t)VU_MIN(size, sizeof(struct open_how));
	return 0;
}

static int decode_rename(uint32_t flags, struct vu_call *c)
{
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) ||
	    (flags & RENAME_EXCHANGE && flags != RENAME_EXCHANGE))
		return VU_CALL_MALFORMED;
	c->path[1].need = flags & RENAME_NOREPLACE ? VU_NEED_NOTHING : VU_NEED_GONE;
	/* more is done than that another name takes its place: that is left to the kernel */
	if (flags == RENAME_WHITEOUT)
		c->path[1].need = VU_NEED_ALL;
	if (flags & RENAME_EXCHANGE) {
		c->op = VU_CALL_EXCHANGE;
		c->path[1].need = VU_NEED_ALL;
	}
	return 0;
}

/* The AT_ flags are all of the first path. */
static int decode_at_flags(const struct vu_shape *s, uint32_t flags, struct vu_call_path *p)
{
	if (flags & ~s->at_flags)
		return VU_CALL_MALFORMED;
	if (flags & AT_SYMLINK_NOFOLLOW)
		p->follow = false;
	if (flags & AT_SYMLINK_FOLLOW)
		p->follow = true;
	p->empty_self = flags & AT_EMPTY_PATH;
	return 0;
}

static void decode_path(const struct vu_shape *s, const struct vu_shape_path *where,
			const struct arch *a, const struct seccomp_data *d, struct vu_call_path *p)
{
	p->dirfd = where->dirfd ? (int)half(d, where->dirfd) : AT_FDCWD;
	p->address = whole(a, d, where->path);
	p->follow = s->traits & VU_SHAPE_FOLLOW;
	p->self = !where->path;
}

static int decode_operation(const struct vu_shape *s, const struct arch *a,
			    const struct seccomp_data *d, struct vu_call *c)
{
	struct vu_call_path *p = &c->path[0];

	p->need = VU_NEED_ALL;
	switch (s->op) {
	case VU_CALL_OPEN:
		return decode_open(s, a, d, c);
	case VU_CALL_RENAME:
		return decode_rename(half(d, s->flags), c);
	case VU_CALL_TRUNCATE:
		p->need = cuts_to_nothing(s, a, d) ? VU_NEED_METADATA : VU_NEED_ALL;
		return 0;
	case VU_CALL_UNLINK:
		if (half(d, s->flags) & AT_REMOVEDIR)
			c->op = VU_CALL_RMDIR;
		p->need = VU_NEED_GONE;
		break;
	case VU_CALL_RMDIR:
		p->need = VU_NEED_GONE;
		break;
	case VU_CALL_ACCESS:
		c->mode = half(d, s->mode);
		if (c->mode & ~(uint32_t)(R_OK | W_OK | X_OK))
			return VU_CALL_MALFORMED;
		if (!(c->mode & W_OK))
			return VU_CALL_NONE;
		c->real = !(half(d, s->flags) & AT_EACCESS);
		break;
	default:
		break;
	}
	return decode_at_flags(s, half(d, s->flags), p);
}

/* No path: the descriptor itself, where the call knows that, or an error (EFAULT). */
static int decode_null(const struct vu_shape *s, const struct seccomp_data *d,
		       struct vu_call_path *p)
{
	if (p->address || p->self)
		return 0;
	if (s->when == VU_SHAPE_PATH_OR_FD)
		p->self = p->dirfd != AT_FDCWD && !half(d, s->flags);
	else
		p->self = s->traits & VU_SHAPE_EMPTY_NULL && p->empty_self;
	return p->self ? 0 : VU_CALL_MALFORMED;
}

int vu_call_decode(const struct vu_call_numbers *n, const struct seccomp_data *d,
		   struct vu_call *ret)
{
	const struct arch *a = find_arch(d->arch);
	const struct vu_shape *s = a ? find_shape(n, a, d->nr) : NULL;
	struct vu_call c = {.arch = d->arch};

	if (!s)
		return VU_CALL_NONE;
	c.op = s->op;
	c.n_paths = s->to.path ? 2 : 1;
	decode_path(s, &s->from, a, d, &c.path[0]);
	if (c.n_paths == 2)
		decode_path(s, &s->to, a, d, &c.path[1]);

	int r = decode_operation(s, a, d, &c);

	for (unsigned i = 0; !r && i < c.n_paths; i++)
		r = decode_null(s, d, &c.path[i]);
	if (!r)
		*ret = c;
	return r;
}

/* What openat2 answers with an error: open ignores what of it there can be in its arguments. */
static bool is_refused(const struct open_how *how)
{
	bool makes = how->flags & (O_CREAT | K_TMPFILE);

	if (how->flags & ~K_OPEN_FLAGS || how->resolve & ~K_RESOLVE)
		return true;
	if (how->resolve & RESOLVE_BENEATH && how->resolve & RESOLVE_IN_ROOT)
		return true;
	/* EAGAIN */
	if (how->resolve & RESOLVE_CACHED && (makes || how->flags & O_TRUNC))
		return true;
	return how->mode & ~(makes ? UINT64_C(07777) : 0);
}

int vu_call_complete(struct vu_call *c, const struct open_how *how)
{
	const struct arch *a = find_arch(c->arch);
	struct vu_call done = *c;

	if (!a || is_refused(how))
		return VU_CALL_MALFORMED;

	int r = set_open(&done, a, (uint32_t)how->flags, (uint32_t)how->mode);

	if (r)
		return r;
	done.resolve = how->resolve;
	done.how_address = 0;
	*c = done;
	return 0;
}

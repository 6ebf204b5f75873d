/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/ruleset.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/shape.h"

struct teller {
	int (*on_rule)(void *arg, const struct vu_rule *r);
	void *arg;
	unsigned flags;
};

/* A request without the size of what it points to: a long has two sizes, and the request two numbers. */
#define IOCTL_MASK (~((uint32_t)_IOC_SIZEMASK << _IOC_SIZESHIFT))
#define IOCTL(request) ((uint32_t)(request)&IOCTL_MASK)
#define EXT4_IOC_SETVERSION _IOW('f', 4, long)

/*
 * io_uring opens and renames files without passing a filter: a program that cannot have it, does without.
 * Inode flags, project ids and generations can be changed of an immutable inode: the first two on XFS and
 * btrfs without CAP_LINUX_IMMUTABLE, the last on ext4 without metadata_csum (measured on 6.18).
 */
static const struct vu_rule refusals[] = {
	{"io_uring_setup", .error = ENOSYS},
	{"ioctl", 0, EPERM, VU_RULE_MASKED, 1, IOCTL_MASK, IOCTL(FS_IOC_SETFLAGS)},
	{"ioctl", 0, EPERM, VU_RULE_MASKED, 1, IOCTL_MASK, IOCTL(FS_IOC_FSSETXATTR)},
	{"ioctl", 0, EPERM, VU_RULE_MASKED, 1, IOCTL_MASK, IOCTL(FS_IOC_SETVERSION)},
	{"ioctl", 0, EPERM, VU_RULE_MASKED, 1, IOCTL_MASK, IOCTL(EXT4_IOC_SETVERSION)},
};

static int tell(const struct teller *t, const struct vu_shape *s, enum vu_rule_test test,
		vu_shape_arg arg, uint32_t mask, uint32_t value)
{
	struct vu_rule r = {s->name, s->number, 0, test, arg ? arg - 1U : 0, mask, value};

	return t->on_rule(t->arg, &r);
}

/*
 * Any of O_WRONLY, O_RDWR and O_TRUNC, and one of O_CREAT and O_EXCL missing: both together let no file
 * be there. A rule is one conjunction, so that each pair is one.
 */
static int tell_open(const struct teller *t, const struct vu_shape *s)
{
	static const uint32_t set[] = {O_WRONLY, O_RDWR, O_TRUNC}, missing[] = {O_EXCL, O_CREAT};

	for (size_t i = 0; i < VU_ARRAY_SIZE(set); i++) {
		for (size_t k = 0; k < VU_ARRAY_SIZE(missing); k++) {
			int r = tell(t, s, VU_RULE_MASKED, s->flags, set[i] | missing[k], set[i]);

			if (r)
				return r;
		}
	}
	return 0;
}

static int tell_shape(const struct teller *t, const struct vu_shape *s)
{
	bool descriptors = t->flags & VU_FILTER_DESCRIPTORS;

	switch (s->when) {
	case VU_SHAPE_OPENS_TO_WRITE:
		return tell_open(t, s);
	case VU_SHAPE_PATH_OR_FD:
		if (!descriptors)
			return tell(t, s, VU_RULE_NOT_NULL, s->from.path, 0, 0);
		break;
	case VU_SHAPE_FD:
		if (!descriptors)
			return 0;
		break;
	case VU_SHAPE_ASKS_TO_WRITE:
		return tell(t, s, VU_RULE_MASKED, s->mode, W_OK, W_OK);
	case VU_SHAPE_ALWAYS:
		break;
	}
	return tell(t, s, VU_RULE_ANY, 0, 0, 0);
}

int vu_ruleset_each(unsigned flags, int (*on_rule)(void *arg, const struct vu_rule *r), void *arg)
{
	struct teller t = {on_rule, arg, flags};
	size_t n;
	const struct vu_shape *s = vu_shapes(&n);

	for (size_t i = 0; i < n; i++) {
		int r = tell_shape(&t, &s[i]);

		if (r)
			return r;
	}
	if (flags & VU_FILTER_LANDLOCK) {
		static const struct vu_rule limits = {"landlock_restrict_self",
						      VU_RULE_LANDLOCK_NR};
		int r = on_rule(arg, &limits);

		if (r)
			return r;
	}
	for (size_t i = 0; i < VU_ARRAY_SIZE(refusals); i++) {
		int r = on_rule(arg, &refusals[i]);

		if (r)
			return r;
	}
	return 0;
}

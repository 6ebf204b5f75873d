/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/difference.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "fs/xattr.h"

#define FLAG_LETTERS 16

/* The name of the first extended attribute, in their order, that two files do not have in common. */
struct xattr_search {
	int other;    /* fd */
	uint8_t *buf; /* owned by the caller */
	size_t max;
	char *found; /* malloc'ed */
};

static int search_xattr(void *arg, const char *name, const void *value, size_t len)
{
	struct xattr_search *x = arg;
	ssize_t n = fgetxattr(x->other, name, x->buf, x->max);

	if (n >= 0 && (size_t)n == len && !memcmp(x->buf, value, len))
		return 0;
	x->found = strdup(name);
	return 1;
}

static char *first_xattr(int fd_a, int fd_b, size_t max)
{
	_cleanup_free_ uint8_t *buf = malloc(max + 1);
	struct xattr_search a = {.other = fd_b, .buf = buf, .max = max + 1};
	struct xattr_search b = {.other = fd_a, .buf = buf, .max = max + 1};

	if (!buf)
		return NULL;
	vu_xattr_each(fd_a, max, search_xattr, &a);
	vu_xattr_each(fd_b, max, search_xattr, &b);
	if (!a.found || (b.found && strcmp(b.found, a.found) < 0)) {
		free(a.found);
		return b.found;
	}
	free(b.found);
	return a.found;
}

/* Seconds with all nine digits behind them: files may differ in the last one. */
static int put_times(uint64_t a_ns, uint64_t b_ns, char **ret)
{
	const int64_t second = 1000000000, t[2] = {(int64_t)a_ns, (int64_t)b_ns};
	long long s[2], ns[2];

	for (int i = 0; i < 2; i++) {
		ns[i] = t[i] % second + (t[i] % second < 0 ? second : 0);
		s[i] = (t[i] - ns[i]) / second;
	}
	return asprintf(ret, "%lld.%09lld/%lld.%09lld", s[0], ns[0], s[1], ns[1]);
}

/* The letters of lsattr(1), "-" for none. */
static void flag_letters(uint32_t flags, char *out)
{
	static const struct {
		uint32_t flag;
		char letter;
	} letters[] = {
		{FS_SECRM_FL, 's'},	   {FS_UNRM_FL, 'u'},	 {FS_SYNC_FL, 'S'},
		{FS_NODUMP_FL, 'd'},	   {FS_NOATIME_FL, 'A'}, {FS_COMPR_FL, 'c'},
		{FS_JOURNAL_DATA_FL, 'j'}, {FS_NOTAIL_FL, 't'},	 {FS_NOCOW_FL, 'C'},
		{FS_DAX_FL, 'x'},	   {FS_NOCOMP_FL, 'm'},	 {FS_ENCRYPT_FL, 'E'},
		{FS_VERITY_FL, 'V'},
	};
	char *to = out;

	_Static_assert(VU_ARRAY_SIZE(letters) < FLAG_LETTERS, "room for all letters");
	for (size_t i = 0; i < VU_ARRAY_SIZE(letters); i++)
		if (flags & letters[i].flag)
			*to++ = letters[i].letter;
	if (to == out)
		*to++ = '-';
	*to = 0;
}

int vu_difference_text(enum vu_skip skip, const struct vu_difference_side *a,
		       const struct vu_difference_side *b, size_t max_xattr_bytes, char **ret_text)
{
	const struct vu_attr *x = a->policy.attr, *y = b->policy.attr;
	char mine[FLAG_LETTERS], theirs[FLAG_LETTERS];
	char *text = NULL;
	int n = 0;

	switch (skip) {
	case VU_SKIP_OWNER_DIFFERS:
		n = x->uid != y->uid ? asprintf(&text, "%u/%u", x->uid, y->uid)
				     : asprintf(&text, "group %u/%u", x->gid, y->gid);
		break;
	case VU_SKIP_MODE_DIFFERS:
		n = asprintf(&text, "%04o/%04o", x->mode & 07777, y->mode & 07777);
		break;
	case VU_SKIP_XATTR_DIFFERS:
		text = first_xattr(a->fd, b->fd, max_xattr_bytes);
		break;
	case VU_SKIP_FLAGS_DIFFER:
		flag_letters(x->flags, mine);
		flag_letters(y->flags, theirs);
		n = asprintf(&text, "%s/%s", mine, theirs);
		break;
	case VU_SKIP_MTIME_DIFFERS:
		n = put_times(a->policy.mtime_ns, b->policy.mtime_ns, &text);
		break;
	case VU_SKIP_OTHER_DOMAIN:
		n = asprintf(&text, "\"%s\"/\"%s\"", a->policy.domain, b->policy.domain);
		break;
	default:
		break;
	}
	if (n < 0)
		return -ENOMEM;
	*ret_text = text;
	return 0;
}

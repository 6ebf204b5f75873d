/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/xattr.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "fs/iattr.h"

/*
 * What is pinned (O_PATH) answers through /proc only: links, devices and FIFOs, which must not be
 * opened, have attributes too. The link of /proc leads to the very inode, also where that is a link.
 */
#define PIN_PATH_MAX sizeof("/proc/self/fd/-2147483648")

static const char *pin_path(int fd, char *path)
{
	snprintf(path, PIN_PATH_MAX, "/proc/self/fd/%d", fd);
	return path;
}

static ssize_t list_of(int fd, char *list, size_t size)
{
	char path[PIN_PATH_MAX];
	ssize_t n = flistxattr(fd, list, size);

	return n < 0 && errno == EBADF ? listxattr(pin_path(fd, path), list, size) : n;
}

static ssize_t value_of(int fd, const char *name, void *value, size_t size)
{
	char path[PIN_PATH_MAX];
	ssize_t n = fgetxattr(fd, name, value, size);

	return n < 0 && errno == EBADF ? getxattr(pin_path(fd, path), name, value, size) : n;
}

/*
 * The list may grow between the question for its size and the answer: ask until it fits. One byte more than is needed,
 * here and for values: of nothing, a size of 0 would be the question again, and the answer a length without content.
 */
static int list_names(int fd, size_t max_bytes, char **ret_list, size_t *ret_len)
{
	_cleanup_free_ char *list = NULL;
	char few[256];
	ssize_t n = list_of(fd, few, sizeof(few));

	while (n < 0 && errno == ERANGE) {
		n = list_of(fd, NULL, 0);
		if (n < 0)
			break;
		if ((size_t)n > max_bytes)
			return VU_XATTR_TOO_LARGE;
		free(list);
		list = malloc((size_t)n + 1);
		if (!list)
			return -ENOMEM;
		n = list_of(fd, list, (size_t)n + 1);
	}
	if (n < 0)
		return errno == EOPNOTSUPP ? (*ret_list = NULL, *ret_len = 0, 0)
		       : errno == E2BIG	   ? VU_XATTR_TOO_LARGE
					   : -errno;
	if (n && !list) {
		list = malloc((size_t)n);
		if (!list)
			return -ENOMEM;
		memcpy(list, few, (size_t)n);
	}
	*ret_len = (size_t)n;
	*ret_list = vu_take_ptr(list);
	return 0;
}

static int get_value(int fd, const char *name, size_t max_bytes, void **ret_value, size_t *ret_len)
{
	_cleanup_free_ void *value = NULL;
	ssize_t n;

	do {
		n = value_of(fd, name, NULL, 0);
		if (n < 0)
			return -errno;
		if ((size_t)n > max_bytes)
			return VU_XATTR_TOO_LARGE;
		free(value);
		value = malloc((size_t)n + 1);
		if (!value)
			return -ENOMEM;
		n = value_of(fd, name, value, (size_t)n + 1);
	} while (n < 0 && errno == ERANGE);
	if (n < 0)
		return -errno;
	*ret_len = (size_t)n;
	*ret_value = vu_take_ptr(value);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int sort_names(const char *list, size_t len, const char ***ret_names, size_t *ret_n)
{
	size_t n = 0, i = 0;

	for (size_t at = 0; at < len; at += strlen(list + at) + 1)
		n++;
	const char **names = calloc(n + 1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	for (size_t at = 0; at < len; at += strlen(list + at) + 1)
		names[i++] = list + at;
	qsort(names, n, sizeof(*names), by_name);
	*ret_names = names;
	*ret_n = n;
	return 0;
}

int vu_xattr_each(int fd, size_t max_bytes,
		  int (*fn)(void *arg, const char *name, const void *value, size_t len), void *arg)
{
	_cleanup_free_ char *list = NULL;
	_cleanup_free_ const char **names = NULL;
	size_t len = 0, n = 0;
	int r = list_names(fd, max_bytes, &list, &len);

	if (r || !len)
		return r;
	r = sort_names(list, len, &names, &n);
	for (size_t i = 0; !r && i < n; i++) {
		_cleanup_free_ void *value = NULL;
		size_t size = 0;

		r = get_value(fd, names[i], max_bytes, &value, &size);
		if (r == -ENODATA) /* gone since it was listed: the version check will notice */
			r = 0;
		else if (!r)
			r = fn(arg, names[i], value, size);
	}
	return r;
}

struct completion {
	struct vu_hash *hash;
	struct vu_attr *attr;
};

static int complete_one(void *arg, const char *name, const void *value, size_t len)
{
	struct completion *c = arg;
	uint64_t n = len;

	if (!c->hash)
		return VU_XATTR_NO_HASH;
	if (!c->attr->has_xattrs)
		vu_hash_begin(c->hash);
	c->attr->has_xattrs = true;
	if (!strcmp(name, "security.capability"))
		c->attr->has_caps = true;
	vu_hash_add(c->hash, name, strlen(name) + 1);
	vu_hash_add(c->hash, &n, sizeof(n));
	vu_hash_add(c->hash, value, len);
	return 0;
}

int vu_xattr_complete(int fd, struct vu_hash *hash, size_t max_bytes, struct vu_attr *attr)
{
	struct completion c = {.hash = hash, .attr = attr};
	uint32_t flags = 0;
	int r = vu_iattr_get(fd, &flags);

	if (r && r != -ENOTTY && r != -EOPNOTSUPP)
		return r;
	attr->flags = vu_iattr_key_flags(flags);
	r = vu_xattr_each(fd, max_bytes, complete_one, &c);
	if (r)
		return r;
	if (attr->has_xattrs)
		r = vu_hash_end(hash, attr->xattrs.b);
	attr->full = true;
	return r;
}

static int copy_one(void *arg, const char *name, const void *value, size_t len)
{
	return fsetxattr(*(int *)arg, name, value, len, 0) ? -errno : 0;
}

int vu_xattr_copy(int from, int to, size_t max_bytes)
{
	return vu_xattr_each(from, max_bytes, copy_one, &to);
}

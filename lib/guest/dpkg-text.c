/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest/dpkg-text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "fs/beneath.h"
#include "fs/stat.h"
#include "guest/package.h"

const char *vu_dpkg_why(int err)
{
	switch (err) {
	case -ESTALE:
		return "not a regular file";
	case -ELOOP:
		return "a symbolic link is in its path";
	case -EXDEV:
		return "on another mount than the root";
	default:
		return strerrordesc_np(-err);
	}
}

static int failed(int err, const char **ret_why)
{
	if (vu_is_want(err))
		return err;
	*ret_why = vu_dpkg_why(err);
	return 1;
}

int vu_dpkg_read(int dirfd, const char *name, uint64_t *max, char **ret_text, size_t *ret_n,
		 const char **ret_why)
{
	_cleanup_free_ char *text = NULL;
	struct vu_stat st;
	size_t n = 0;
	_cleanup_fd_ int fd = vu_regular_open(dirfd, name, &st);

	*ret_text = NULL;
	*ret_n = 0;
	if (fd < 0)
		return fd == -ENOENT ? 0 : failed(fd, ret_why);
	if (st.version.size > *max) {
		*ret_why = "larger than max_package_db_bytes";
		return 1;
	}
	text = malloc(st.version.size + 1);
	if (!text)
		return -ENOMEM;
	while (n < st.version.size) {
		ssize_t got = read(fd, text + n, st.version.size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return failed(-errno, ret_why);
		if (!got)
			break;
		n += (size_t)got;
	}
	*max -= n;
	*ret_text = vu_take_ptr(text);
	*ret_n = n;
	return 0;
}

bool vu_dpkg_path_ok(const char *s, size_t n)
{
	if (!n || n > VU_PACKAGE_PATH_BYTES || memchr(s, 0, n))
		return false;
	for (const char *end = s + n;; s++) {
		const char *slash = memchr(s, '/', (size_t)(end - s));
		size_t len = (size_t)((slash ? slash : end) - s);

		if (!len || (len == 1 && *s == '.') || (len == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		if (!slash)
			return true;
		s = slash;
	}
}

bool vu_dpkg_maybe_merged(const char *s, size_t n)
{
	const char *slash = memchr(s, '/', n);
	size_t len = slash ? (size_t)(slash - s) : 0;

	return (len >= 3 && len <= 6 && !memcmp(s, "lib", 3)) ||
	       (len == 3 && !memcmp(s, "bin", 3)) || (len == 4 && !memcmp(s, "sbin", 4));
}

bool vu_dpkg_has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && !strcmp(name + n - k, suffix);
}

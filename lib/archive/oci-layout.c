/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of an OCI image layout. Beneath its directory no symbolic link is followed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/oci.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/hex.h"
#include "fs/beneath.h"

#define NESTED_MAX 4 /* indices in indices */

static int bad(char **ret_why, const char *text)
{
	*ret_why = strdup(text);
	return *ret_why ? VU_OCI_BAD : -ENOMEM;
}

static int read_all(int fd, size_t size, char **ret)
{
	_cleanup_free_ char *text = malloc(size + 1);
	size_t done = 0;
	ssize_t n = 1;

	if (!text)
		return -ENOMEM;
	while (done < size && (n = read(fd, text + done, size - done)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	if (done < size)
		return -ESTALE;
	text[done] = 0;
	*ret = vu_take_ptr(text);
	return 0;
}

static int read_file(int dir, const char *name, char **ret, size_t *ret_n, char **ret_why)
{
	struct vu_stat st;
	_cleanup_fd_ int fd = vu_regular_open(dir, name, &st);

	if (fd < 0)
		return fd;
	if (st.version.size > VU_OCI_TEXT_MAX)
		return bad(ret_why, "its index or manifest is larger than 4 MiB");
	*ret_n = (size_t)st.version.size;
	return read_all(fd, *ret_n, ret);
}

static int blobs_open(int layout)
{
	return vu_beneath_open(layout, "blobs/sha256", O_PATH | O_DIRECTORY);
}

int vu_oci_blob_open(int layout, const struct vu_oci_blob *blob)
{
	_cleanup_fd_ int dir = blobs_open(layout);
	char name[VU_DIGEST_HEX + 1];

	vu_hex_encode(blob->digest.b, VU_DIGEST_BYTES, name);
	return dir < 0 ? dir : vu_regular_open(dir, name, NULL);
}

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

/* The text of a blob that is what its digest says. */
static int read_blob(int layout, const struct vu_oci_blob *blob, char **ret, size_t *ret_n,
		     char **ret_why)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *hash = vu_hash_new();
	_cleanup_fd_ int dir = blobs_open(layout);
	_cleanup_free_ char *text = NULL;
	char name[VU_DIGEST_HEX + 1];
	struct vu_digest found;
	size_t n = 0;

	if (!hash)
		return -ENOMEM;
	vu_hex_encode(blob->digest.b, VU_DIGEST_BYTES, name);
	int r = dir < 0 ? dir : read_file(dir, name, &text, &n, ret_why);

	if (r)
		return r;
	vu_hash_begin(hash);
	vu_hash_add(hash, text, n);
	r = vu_hash_end(hash, found.b);
	if (r)
		return r;
	if (n != blob->size || memcmp(&found, &blob->digest, sizeof(found)) != 0)
		return bad(ret_why, "a manifest in it is not what its digest says");
	*ret = vu_take_ptr(text);
	*ret_n = n;
	return 0;
}

static int find_in_index(int layout, const char *text, size_t n, const char *tag, unsigned depth,
			 struct vu_oci_layers *ret, char **ret_why)
{
	const struct vu_oci_entry *e = NULL;
	_cleanup_free_ char *next = NULL;
	struct vu_oci_index index;
	size_t next_n = 0;
	int r = vu_oci_parse_index(text, n, &index, ret_why);

	if (r)
		return r;
	r = vu_oci_choose(&index, tag, vu_oci_platform(), &e, ret_why);
	if (!r)
		r = read_blob(layout, &e->blob, &next, &next_n, ret_why);
	bool is_index = e && e->is_index;

	vu_oci_index_done(&index);
	if (r)
		return r;
	if (!is_index)
		return vu_oci_parse_manifest(next, next_n, ret, ret_why);
	if (depth == NESTED_MAX)
		return bad(ret_why, "its indices lead to each other");
	/* inside, platforms are told apart, and no tags */
	return find_in_index(layout, next, next_n, NULL, depth + 1, ret, ret_why);
}

int vu_oci_find(int layout, const char *tag, struct vu_oci_layers *ret, char **ret_why)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	int r = read_file(layout, "index.json", &text, &n, ret_why);

	*ret = (struct vu_oci_layers){0};
	if (r == -ENOENT)
		return bad(ret_why, "it is no OCI image layout: it has no index.json");
	if (!r)
		r = find_in_index(layout, text, n, tag, 0, ret, ret_why);
	if (r == -ENOENT)
		return bad(ret_why, "a blob that it names is not there");
	if (r == -ESTALE || r == -ELOOP || r == -EXDEV)
		return bad(ret_why, "a file of it is no regular file");
	return r;
}

#define PREFIX "oci:"

bool vu_oci_is_named(const char *name)
{
	return !strncmp(name, PREFIX, strlen(PREFIX));
}

static int split(const char *name, char **ret_dir, char **ret_tag)
{
	const char *colon = strrchr(name, ':');

	if (!access(name, F_OK) || (colon && strchr(colon, '/')))
		colon = NULL;
	*ret_dir = colon ? strndup(name, (size_t)(colon - name)) : strdup(name);
	*ret_tag = colon ? strdup(colon + 1) : NULL;
	return *ret_dir && (!colon || *ret_tag) ? 0 : -ENOMEM;
}

int vu_oci_open(const char *name, int *ret_layout, struct vu_oci_layers *ret, char **ret_why)
{
	_cleanup_free_ char *dir = NULL, *tag = NULL;
	int r = split(name + strlen(PREFIX), &dir, &tag);

	*ret = (struct vu_oci_layers){0};
	*ret_layout = r ? -EBADF : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r || *ret_layout < 0)
		return r ? r : -errno;
	return vu_oci_find(*ret_layout, tag, ret, ret_why);
}

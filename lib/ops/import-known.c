/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which files of an archive the pool has: those that a scan would give names of an object. What decides is
 * the key, as there; and then the very bytes, compared before the file's are given up. So nothing is linked
 * to an object that is damaged. Where the digest comes from who reads the archive, in a process of its own
 * beside this one, it finds the object, and proves nothing: a false one finds none, or one with other bytes.
 * Then it is computed anew, and if it was false nothing of that archive is believed any more.
 *
 * One object holds the names of one inode of a guest at most, so a second equal file of the archive is a name
 * of the next generation, if there is one, and else is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/iattr.h"
#include "ops/import-int.h"
#include "ops/rules.h"
#include "ops/sound.h"
#include "scan/entry.h"

#define MAX_LINKS 64000 /* as scan: below what file systems can */
#define COMPARE_BYTES ((size_t)256 << 10)
#define GENERATIONS 1000

static int open_rules(struct vu_import *im)
{
	struct vu_exclude_error err;
	int r = vu_exclude_new(NULL, im->ops->config->exclude, &im->exclude, &err);

	return r > 0 ? -EINVAL : r; /* they were checked when the configuration was read */
}

/* What a file has that is made there, without anybody's doing. */
static int ask_flags(struct vu_import *im)
{
	_cleanup_fd_ int fd = openat(im->root, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	uint32_t flags = 0;
	int r = fd < 0 ? -errno : vu_iattr_get(fd, &flags);

	im->key_flags = r ? 0 : vu_iattr_key_flags(flags);
	return r == -ENOTTY || r == -EOPNOTSUPP ? 0 : r;
}

int vu_import_know(struct vu_import *im)
{
	int r = open_rules(im);

	im->hash = vu_hash_new();
	for (int i = 0; i < 2; i++)
		im->buf[i] = malloc(COMPARE_BYTES);
	if (!im->hash || !im->buf[0] || !im->buf[1])
		return -ENOMEM;
	if (!r)
		r = vu_chunks_init(&im->tokens, sizeof(struct vu_import_token));
	if (!r)
		r = ask_flags(im);
	return r ? r : vu_pool_listing_read(&im->objects, im->pool);
}

void vu_import_forget(struct vu_import *im)
{
	for (uint32_t i = 0; i < im->tokens.n; i++)
		free(vu_import_token(im, i)->copy);
	vu_chunks_done(&im->tokens);
	vu_inomap_done(&im->stands_for);
	vu_inomap_done(&im->used);
	vu_pool_listing_done(&im->objects);
	vu_exclude_free(im->exclude);
	vu_hash_free(im->hash);
	free(im->buf[0]);
	free(im->buf[1]);
}

/* ---- rules ---- */

/*
 * The package database is what says which files are configuration files: it has to be there, with its
 * content, when that is asked.
 */
static bool is_package_database(const char *path)
{
	return !strncmp(path, "var/lib/dpkg/", strlen("var/lib/dpkg/"));
}

bool vu_import_path_is_open(const struct vu_import *im, const char *path, const char *base)
{
	return !is_package_database(path) && !vu_exclude_lock_file(base) &&
	       vu_exclude_match(im->exclude, path, false, NULL) == VU_EXCLUDE_NO;
}

bool vu_import_asks(const struct vu_import *im)
{
	return im->ops->config->mode == VU_MODE_LINK && im->objects.n;
}

bool vu_import_wants(void *arg, const struct vu_unpack_file *f)
{
	const struct vu_import *im = arg;
	const struct vu_config *c = im->ops->config;
	const struct vu_entry_limits limits = {c->min_size, c->max_size, c->unify_setid};
	const struct vu_stat st = {
		.version = {.size = f->size, .mtime_ns = f->mtime_ns},
		.mode = f->attr.mode,
		.n_links = 1,
	};
	const char *slash = strrchr(f->path, '/');

	if (!vu_import_asks(im) || f->mtime_ns == VU_TIME_BEYOND)
		return false;
	if (f->attr.has_caps && !c->unify_setid)
		return false;
	return vu_entry_skip(&st, &limits) == VU_SKIP_NONE &&
	       vu_import_path_is_open(im, f->path, slash ? slash + 1 : f->path);
}

/* ---- objects ---- */

/* Reads so many bytes of the object. 0, -ESTALE where there are fewer, or errno. */
static int read_object(int fd, char *buf, size_t n, uint64_t at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pread(fd, buf + done, n - done, (off_t)(at + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r ? -errno : -ESTALE;
		done += (size_t)r;
	}
	return 0;
}

/* Has the object the content of the file? 1, 0, or what reading the object gave. */
static int compare(struct vu_import *im, int object, const struct vu_unpack_file *f)
{
	int r = 0;

	for (uint64_t at = 0; !r && at < f->size; at += COMPARE_BYTES) {
		size_t n = (size_t)VU_MIN(COMPARE_BYTES, f->size - at);
		const char *data = f->data ? (const char *)f->data + at : im->buf[1];

		if (!f->data)
			r = read_object(f->fd, im->buf[1], n, at);
		if (!r)
			r = read_object(object, im->buf[0], n, at);
		if (!r && memcmp(data, im->buf[0], n) != 0)
			return 0;
	}
	return r ? r : 1;
}

static void tell_unsound(struct vu_import *im, const struct vu_key *key, int err)
{
	char name[VU_KEY_NAME_MAX];

	vu_key_name(key, name);
	vu_emit(&im->session.counting,
		&(struct vu_event){
			.kind = VU_EVENT_DAMAGE,
			.err = err,
			.object = name,
			.text = err ? "an object cannot be read; nothing is linked to it"
				    : "an object is damaged: its content is not what its name says; "
				      "nothing is linked to it. Put the file right in the guests that "
				      "have it, after unmerging it there",
		});
}

/* Has the file the digest that came with it? 0, -EPROTO, or errno. */
static int prove(struct vu_import *im, const struct vu_unpack_file *f)
{
	struct vu_digest d = {0}; /* cppcheck cannot see that it is written */
	int r;

	if (!f->data) {
		r = vu_sound_digest(im->hash, f->fd, f->size, &d);
	} else {
		vu_hash_begin(im->hash);
		vu_hash_add(im->hash, f->data, (size_t)f->size);
		r = vu_hash_end(im->hash, d.b);
	}
	return r ? r : memcmp(&d, &f->digest, sizeof(d)) ? -EPROTO : 0;
}

/*
 * May the new guest have a name of this one? 1, 0: the next generation may do; or errno. One that is to be evicted is
 * told by who links.
 */
static int suits(struct vu_import *im, int fd, const struct vu_stat *st, const struct vu_key *key,
		 const struct vu_unpack_file *f)
{
	if (st->n_links >= MAX_LINKS || vu_inomap_get(&im->used, st->version.ino, NULL))
		return 0;
	int r = st->version.size == f->size ? compare(im, fd, f) : 0;

	if (r > 0)
		return 1;
	int e = prove(im, f);

	if (!e)
		tell_unsound(im, key, r == -ESTALE ? 0 : r);
	return e;
}

static int take(struct vu_import *im, const struct vu_key *key, uint64_t ino,
		const struct vu_unpack_file *f, uint32_t *ret_token)
{
	int r = vu_chunks_add(&im->tokens, 1, ret_token);

	if (!r)
		r = vu_inomap_set(&im->used, ino, *ret_token);
	if (r)
		return r;
	*vu_import_token(im, *ret_token) = (struct vu_import_token){
		.key = *key,
		.ino = ino,
		.mtime_ns = f->mtime_ns,
		.size = f->size,
	};
	return 1;
}

int vu_import_known(void *arg, const struct vu_unpack_file *f, uint32_t *ret_token)
{
	struct vu_import *im = arg;
	struct vu_attr attr = f->attr;
	struct vu_key key;
	int r;

	attr.flags = im->key_flags;
	r = vu_key_make(im->hash, im->domain, &f->digest, f->size, &attr,
			im->ops->config->mtime_exact, f->mtime_ns, &key);
	for (; !r && key.generation < GENERATIONS; key.generation++) {
		struct vu_stat st;
		_cleanup_fd_ int fd = vu_pool_object_open_stat(im->pool, &key, &st);

		if (fd < 0) /* none any more; or one that cannot be had, which a scan tells */
			return fd == -ENOMEM || fd == -EMFILE || fd == -ENFILE ? fd : 0;
		r = suits(im, fd, &st, &key, f);
		if (r > 0)
			return take(im, &key, st.version.ino, f, ret_token);
	}
	return r;
}

int vu_import_placed(void *arg, uint64_t ino, uint32_t token)
{
	struct vu_import *im = arg;

	/* most files are none that was one before */
	if (token == VU_UNPACK_NONE && !vu_inomap_get(&im->stands_for, ino, NULL))
		return 0;
	return vu_inomap_set(&im->stands_for, ino, token);
}

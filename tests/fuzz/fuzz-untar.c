/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an import does with hostile bytes, without its processes. The first byte says what follows: an archive, which
 * libarchive takes apart; or the stream that comes of one, as a process that was taken over would write it. Either
 * way the stream is made a tree of, in layers if the byte says so. It ends as it should, keeps its limits, and all
 * that there is lies in the tree.
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/mman.h>

#include "archive/clear.h"
#include "archive/libarchive.h"
#include "archive/member-path.h"
#include "archive/unpack.h"
#include "archive/untar.h"
#include "base/cleanup.h"

#define MAX_BYTES (1 << 20)
#define MAX_MEMBERS 200

static int top = -EBADF;

/* A directory whose only entry is the tree. */
static void set_up(void)
{
	char name[] = "/tmp/vu-fuzz-untar.XXXXXX";
	const char *tmp = getenv("TMPDIR");
	char *path = NULL;

	if (top >= 0)
		return;
	CHECK(asprintf(&path, "%s/vu-fuzz-untar.XXXXXX", tmp ? tmp : "/tmp") > 0);
	CHECK(mkdtemp(tmp ? path : name));
	top = open(tmp ? path : name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(top >= 0 && !mkdirat(top, "tree", 0700));
	free(path);
	vu_untar_prepare();
	CHECK(!vu_libarchive_load());
}

static int memory(const void *data, size_t n)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n && !lseek(fd, 0, SEEK_SET));
	return fd;
}

static bool wants(void *arg, const struct vu_unpack_file *f)
{
	CHECK(arg && f->path[0] && f->path[0] != '/' && f->attr.full);
	return true;
}

static int known(void *arg, const struct vu_unpack_file *f, uint32_t *ret_token)
{
	CHECK(!f->data != (f->fd < 0) || !f->size);
	*ret_token = 1;
	return arg && f->digest.b[0] & 1;
}

static int placed(void *arg, uint64_t ino, uint32_t token)
{
	CHECK(arg && ino && (token == 1 || token == VU_UNPACK_NONE));
	return 0;
}

static void check_top(void)
{
	int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	const struct dirent *e;

	CHECK(d);
	while ((e = readdir(d)))
		CHECK(e->d_name[0] == '.' || !strcmp(e->d_name, "tree"));
	closedir(d);
}

static void unpack(int stream, unsigned flags)
{
	static const struct vu_clearing all = {0};
	_cleanup_fd_ int root = openat(top, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct vu_unpack_env env = {
		.root = root,
		.flags = flags,
		.max_depth = 50,
		.max_members = MAX_MEMBERS,
		.max_bytes = MAX_BYTES,
		.max_xattr_bytes = 4096,
		.wants = wants,
		.known = known,
		.placed = placed,
		.arg = &top,
	};
	struct vu_unpack *u = NULL;
	const char *member;

	CHECK(!vu_unpack_new(&env, &u));
	int r = vu_unpack_layer(u, stream);

	/* whatever a file system may not take is an errno */
	CHECK(r <= VU_UNPACK_BROKEN && r != -EPROTO && r != -EPIPE);
	CHECK(r <= 0 || *vu_unpack_why(u, &member));
	CHECK(vu_unpack_stats(u)->bytes + vu_unpack_stats(u)->known_bytes <= MAX_BYTES);
	CHECK(vu_unpack_stats(u)->files + vu_unpack_stats(u)->known <= MAX_MEMBERS);
	CHECK(!vu_unpack_settle_dir(u, root) || errno);
	vu_unpack_free(u);
	CHECK(!vu_clear_below(root, &all));
	check_top();
}

/* What libarchive makes of it is a stream to its end. */
static int untar(const void *data, size_t n)
{
	const struct vu_untar_limits limits = {.max_xattr_bytes = 4096, .max_ratio = 250};
	_cleanup_fd_ int in = memory(data, n);
	int out = memfd_create("stream", MFD_CLOEXEC);
	struct vu_stream_in s;
	struct vu_stream_item it;
	struct vu_hash *hash = vu_hash_new();
	int r;

	CHECK(hash && out >= 0 && !vu_untar_run(in, out, &limits, hash) &&
	      !lseek(out, 0, SEEK_SET));
	vu_hash_free(hash);
	CHECK(!vu_stream_in_init(&s, out));
	do
		r = vu_stream_next(&s, &it);
	while (!r && it.kind != VU_STREAM_DONE && it.kind != VU_STREAM_FAILED);
	CHECK(!r && vu_stream_next(&s, &it) == -EPIPE);
	vu_stream_in_done(&s);
	CHECK(!lseek(out, 0, SEEK_SET));
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t how = take_byte(&in);

	set_up();
	if (in.n > 1 << 16)
		return 0;
	_cleanup_fd_ int stream = how & 1 ? memory(in.p, in.n) : untar(in.p, in.n);

	unpack(stream, (how & 2 ? VU_UNPACK_LAYERS : 0U) | (how & 4 ? VU_UNPACK_SETID : 0U));
	return 0;
}

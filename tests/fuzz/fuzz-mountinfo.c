/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/self/mountinfo, of which a guest in a mount namespace of ours can choose mount points. The first
 * byte chooses: any text, in which '@' stands for the number of our own mount; or lines made as the
 * kernel makes them, and then it is known what has to come out.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "fs/mount.h"
#include "fs/stat.h"
#include "scan/listing.h"

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);

static char *text;
static size_t text_size;

FILE *__wrap_fopen(const char *path, const char *mode)
{
	if (strcmp(path, "/proc/self/mountinfo"))
		return __real_fopen(path, mode);
	/* fmemopen takes no empty buffer */
	return text_size ? fmemopen(text, text_size, "r") : __real_fopen("/dev/null", mode);
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
	return __wrap_fopen(path, mode);
}

static uint64_t own_mount(void)
{
	static struct vu_stat st;

	if (!st.mount)
		CHECK(!vu_stat_fd(scratch_fd(), &st));
	return st.mount;
}

static void own_path(char path[4096])
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", scratch_fd());
	ssize_t n = readlink(link, path, 4095);

	CHECK(n > 0);
	path[n] = 0;
}

static void any_text(struct input *in, FILE *f)
{
	for (; in->n; in->p++, in->n--)
		if (*in->p == '@')
			fprintf(f, "%ju", (uintmax_t)own_mount());
		else
			fputc(*in->p, f);
}

/* As seq_path and mangle (fs/proc_namespace.c) do it. */
static void put_escaped(FILE *f, const char *s)
{
	for (; *s; s++)
		if (strchr(" \t\n\\#", *s))
			fprintf(f, "\\%03o", *s);
		else
			fputc(*s, f);
}

struct line {
	char *point;
	const char *type;
	bool read_only;
};

static void put_line(FILE *f, uint64_t id, const struct line *l, uint8_t how)
{
	fprintf(f, "%ju 1 0:%u ", (uintmax_t)id, how);
	put_escaped(f, how & 1 ? "/" : l->point);
	fputc(' ', f);
	put_escaped(f, l->point);
	fprintf(f, " %s,relatime %s%s- %s ", l->read_only ? "ro" : "rw", how & 2 ? "shared:1 " : "",
		how & 4 ? "master:2 " : "", l->type);
	put_escaped(f, how & 8 ? "/dev/x - y" : "none");
	fputs(" rw\n", f);
}

/* Lines of others, with a point that may lie below our directory, and ours at some place. */
static void kernels_text(struct input *in, FILE *f, struct line *own, bool *ret_below)
{
	static const char *const types[] = {"ext4", "xfs", "btrfs", "tmpfs", "fuse.x"};
	uint8_t how = take_byte(in), at = take_byte(in) % 8, n = take_byte(in) % 8;
	char here[4096];
	size_t len;

	own_path(here);
	len = strlen(here);
	*own = (struct line){NULL, types[how % 5], how & 32};
	*ret_below = false;
	for (uint8_t i = 0; i <= n || i <= at; i++) {
		_cleanup_free_ char *tail = take_until(in, 0), *point = NULL;
		struct line l = {NULL, types[tail[0] & 3], false};

		CHECK(asprintf(&point, "%s%s", take_byte(in) & 1 ? here : "/", tail) > 0);
		l.point = point;
		*ret_below |= !strncmp(point, here, len) && point[len] == '/';
		if (i != at) {
			put_line(f, own_mount() + 1 + i, &l, how);
			continue;
		}
		own->point = strdup(point);
		put_line(f, own_mount(), own, how);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct vu_mount m = {0};
	struct line own = {0};
	bool below = false, structured = take_byte(&in) & 1;
	FILE *f = open_memstream(&text, &text_size);

	CHECK(f);
	if (structured)
		kernels_text(&in, f, &own, &below);
	else
		any_text(&in, f);
	CHECK(!fclose(f));
	int r = vu_mount_of(scratch_fd(), &m);
	bool trusted = vu_listing_ino_trusted(scratch_fd());

	CHECK(r == 0 || (r == -ENOENT && !structured));
	CHECK(!trusted || (!r && vu_mount_can_link(&m)));
	if (structured) {
		CHECK(!strcmp(m.point, own.point) && !strcmp(m.type, own.type));
		CHECK(m.read_only == own.read_only && m.id == own_mount());
		CHECK(trusted == (vu_mount_can_link(&m) && !below));
	}
	vu_mount_done(&m);
	free(own.point);
	free(text);
	text = NULL;
	return 0;
}

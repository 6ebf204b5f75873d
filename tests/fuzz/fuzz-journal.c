/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal. The first byte chooses: any text, of which each line that is taken is written again, and
 * has to be what it was; or intents, which have to come back from the file, and, where a power cut took
 * its end, the first of them.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "link/journal.h"

#define INTENTS 16

int __wrap_vu_pool_fd(const struct vu_pool *p);

int __wrap_vu_pool_fd(const struct vu_pool *p)
{
	(void)p;
	return scratch_fd();
}

/* What was read or is to be written; strings are owned. */
struct list {
	struct vu_intent v[INTENTS];
	size_t n;
};

static void list_done(struct list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free((void *)(uintptr_t)l->v[i].tmp);
		free((void *)(uintptr_t)l->v[i].root);
		free((void *)(uintptr_t)l->v[i].path);
		free((void *)(uintptr_t)l->v[i].domain);
	}
	l->n = 0;
}

static const struct vu_slots slots; /* the linker's own */

static bool inside_stage(const char *tmp)
{
	const char *slash = strchr(tmp, '/');

	return slash && slash != tmp && slash[1] && !strchr(slash + 1, '/') &&
	       strcmp(slash + 1, ".") && strcmp(slash + 1, "..") &&
	       strspn(tmp, "0123456789") == (size_t)(slash - tmp);
}

static int keep(void *arg, const struct vu_intent *in)
{
	struct list *l = arg;

	CHECK(inside_stage(in->tmp));
	CHECK(in->kind <= VU_JOURNAL_LEAD);
	if (l->n == INTENTS)
		return 0;
	struct vu_intent *to = &l->v[l->n++];

	*to = *in;
	to->tmp = strdup(in->tmp);
	to->root = strdup(in->root);
	to->path = strdup(in->path);
	to->domain = strdup(in->domain);
	return 0;
}

static void check_same(const struct vu_intent *a, const struct vu_intent *b)
{
	CHECK(a->kind == b->kind && a->with_mtime == b->with_mtime);
	CHECK(a->object_ino == b->object_ino && a->ino == b->ino && a->root_ino == b->root_ino);
	CHECK(a->key.generation == b->key.generation &&
	      !memcmp(&a->key.hash, &b->key.hash, sizeof(a->key.hash)));
	CHECK(!strcmp(a->tmp, b->tmp) && !strcmp(a->root, b->root) && !strcmp(a->path, b->path) &&
	      !strcmp(a->domain, b->domain));
}

static void write_all(const struct list *l)
{
	struct vu_journal j;

	CHECK(!vu_journal_reset_all(NULL, &slots));
	CHECK(!vu_journal_open(NULL, 0, &j));
	for (size_t i = 0; i < l->n; i++)
		CHECK(!vu_journal_add(&j, &l->v[i]));
	CHECK(!vu_journal_flush(&j));
	vu_journal_close(NULL, 0, &j);
}

static void read_all(struct list *ret)
{
	ret->n = 0;
	CHECK(!vu_journal_each(NULL, &slots, keep, ret));
}

static void any_text(struct input *in)
{
	static struct list first, again;
	size_t lines = 0;

	put_file_at(scratch_fd(), "journal", in->p, in->n);
	for (size_t i = 0; i < in->n; i++)
		lines += in->p[i] == '\n';
	read_all(&first);
	CHECK(first.n <= lines);
	write_all(&first);
	read_all(&again);
	CHECK(again.n == first.n);
	for (size_t i = 0; i < first.n; i++)
		check_same(&first.v[i], &again.v[i]);
	list_done(&first);
	list_done(&again);
}

/* Odd and even mean what they did when there were two kinds, and the corpus was found. */
static enum vu_journal_kind take_kind(struct input *in)
{
	uint8_t b = take_byte(in);

	if (b % 8 == 7)
		return VU_JOURNAL_LEAD;
	return b & 1 ? VU_JOURNAL_LINK : VU_JOURNAL_COPY;
}

static void take_intent(struct input *in, struct vu_intent *ret)
{
	char *tmp = NULL;

	CHECK(asprintf(&tmp, "%u/%x", take_byte(in), take_byte(in)) > 0);
	*ret = (struct vu_intent){
		.kind = take_kind(in),
		.tmp = tmp,
		.key.generation = take_byte(in) * 3921568U,
		.with_mtime = take_byte(in) & 1,
		.object_ino = take_number(in),
		.ino = take_number(in),
		.root_ino = take_byte(in),
	};
	for (size_t i = 0; i < sizeof(ret->key.hash.b); i += 8)
		ret->key.hash.b[i] = take_byte(in);
	ret->domain = take_until(in, 0);
	ret->root = take_until(in, 0);
	ret->path = take_until(in, 0);
}

static void intents(struct input *in)
{
	static struct list all, got;
	uint16_t cut = (uint16_t)(take_byte(in) << 8 | take_byte(in));
	struct stat st;

	while (in->n && all.n < INTENTS)
		take_intent(in, &all.v[all.n++]);
	write_all(&all);
	read_all(&got);
	CHECK(got.n == all.n);
	for (size_t i = 0; i < got.n; i++)
		check_same(&got.v[i], &all.v[i]);
	list_done(&got);

	CHECK(!fstatat(scratch_fd(), "journal", &st, 0));
	int fd = openat(scratch_fd(), "journal", O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, st.st_size ? cut % st.st_size : 0));
	close(fd);
	read_all(&got);
	CHECK(got.n < all.n || !all.n);
	for (size_t i = 0; i < got.n; i++)
		check_same(&got.v[i], &all.v[i]);
	list_done(&got);
	list_done(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	if (take_byte(&in) & 1)
		intents(&in);
	else
		any_text(&in);
	return 0;
}

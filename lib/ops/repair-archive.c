/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A member whose size no object has is passed over; of the others the digest is computed on the way, and with
 * it and the metadata of the member, or those that the object had, its name. Only a member that gives it is
 * written, to a file without a name in the pool, and that file is read and proven again like any other source.
 *
 * What an object's size was is known of the catalog; where that does not know it, each size may be it.
 */
#include "ops/repair-archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/oci.h"
#include "archive/pick.h"
#include "archive/reader.h"
#include "base/cleanup.h"
#include "base/stop.h"
#include "base/want.h"
#include "fs/reopen.h"
#include "ops/repair-source.h"

/* An object that is looked for. */
struct sought {
	size_t pool;
	struct vu_checked *o; /* borrowed */
	uint64_t size;
	bool sized;
};

struct reading {
	struct vu_repair *r;
	struct vu_identifier *w;
	struct sought *v; /* owned */
	size_t n;
	const char *archive;
	int (*found)(const struct vu_repair *r, const struct vu_checked *o, const char *label);
};

static bool is_sought(const struct vu_checked *o)
{
	return o->flags & VU_CHECKED_BAD && !(o->flags & (VU_CHECKED_ODD | VU_CHECKED_FOUND));
}

static int list_sought(struct reading *a)
{
	size_t n = 0;

	for (size_t p = 0; p < a->r->env->session->n_fs; p++)
		for (uint32_t i = 0; i < a->r->pools[p].n; i++)
			n += is_sought(&a->r->pools[p].v[i]);
	if (!n)
		return 0;
	a->v = calloc(n, sizeof(*a->v));
	if (!a->v)
		return -ENOMEM;
	for (size_t p = 0; p < a->r->env->session->n_fs; p++)
		for (uint32_t i = 0; i < a->r->pools[p].n; i++) {
			struct sought s = {.pool = p, .o = &a->r->pools[p].v[i]};

			if (!is_sought(s.o))
				continue;
			s.sized = vu_repair_source_size(a->r, a->w, p, s.o, &s.size);
			a->v[a->n++] = s;
		}
	return 0;
}

static bool may_be(const struct sought *s, uint64_t size)
{
	return is_sought(s->o) && (!s->sized || s->size == size);
}

static bool is_any_left(const struct reading *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (is_sought(a->v[i].o))
			return true;
	return false;
}

/* ---- members ---- */

static bool wants(void *arg, uint64_t size)
{
	const struct reading *a = arg;
	const struct vu_config *c = a->r->env->session->ops->config;

	if (size < c->min_size || size > c->max_size)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (may_be(&a->v[i], size))
			return true;
	return false;
}

static int note(struct reading *a, const struct sought *s, const char *member)
{
	_cleanup_free_ char *label = NULL;

	s->o->flags |= VU_CHECKED_FOUND;
	if (asprintf(&label, "%s: %s", a->archive, member) < 0)
		return (label = NULL, -ENOMEM);
	return a->found(a->r, s->o, label);
}

/* The file is made once for all objects that want it. */
static int take(struct reading *a, const struct sought *s, struct vu_pick *p, int *fd)
{
	int err = 0;

	if (a->r->dry_run)
		return 1;
	if (*fd < 0)
		*fd = vu_pick_make(p);
	if (*fd < 0 && *fd != -EINVAL)
		return *fd;
	int r = *fd < 0 ? 0 : vu_repair_source_take(a->r, a->w, s->pool, s->o, *fd, &err);

	if (!r && err)
		s->o->err = (int16_t)err;
	return r;
}

static int show(void *arg, struct vu_pick *p, const struct vu_unpack_file *f)
{
	struct reading *a = arg;
	_cleanup_fd_ int fd = -EBADF;

	for (size_t i = 0; i < a->n; i++) {
		const struct sought *s = &a->v[i];
		int r = may_be(s, f->size)
				? vu_repair_source_fits(a->r, a->w, s->pool, s->o, &f->digest,
							f->size, f->mtime_ns, &f->attr)
				: 0;

		if (r > 0)
			r = take(a, s, p, &fd);
		if (r > 0)
			r = note(a, s, f->path);
		if (r)
			return r;
	}
	return 0;
}

/* ---- archives ---- */

static void tell(const struct reading *a, const char *text)
{
	vu_emit(&a->r->env->session->counting,
		&(struct vu_event){.kind = VU_EVENT_WARN, .path = a->archive, .text = text});
}

/* It ends no run: what is found so far is proven, and other archives are read. */
static int tell_failed(const struct reading *a, const char *why)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "not read as an archive, or not to its end: %s", why) < 0)
		return (text = NULL, -ENOMEM);
	tell(a, text);
	return 0;
}

static int read_stream(struct reading *a, struct vu_reader *reader)
{
	struct vu_session *s = a->r->env->session;
	const struct vu_config *c = s->ops->config;
	const struct vu_pick_env env = {
		.dir = vu_pool_fd(s->fs[a->v[0].pool].pool),
		.unkept = a->r->dry_run,
		.max_depth = c->max_depth,
		.max_members = c->max_files,
		.max_bytes = c->max_import_bytes,
		.max_xattr_bytes = (size_t)c->max_xattr_bytes,
		.wants = wants,
		.show = show,
		.arg = a,
	};
	_cleanup_free_ char *why = NULL;
	uint64_t members = 0;
	int r = vu_pick_each(&env, reader->fd, &members, &why);

	return r > 0 ? tell_failed(a, why ? why : "there is no memory to say why") : r;
}

static int read_open(struct reading *a, int fd)
{
	const struct vu_config *c = a->r->env->session->ops->config;
	const struct vu_untar_limits limits = {
		.max_xattr_bytes = (size_t)c->max_xattr_bytes,
		.max_ratio = c->max_import_ratio,
	};
	struct vu_reader reader = {.fd = -EBADF};
	int r = vu_reader_start(fd, NULL, 0, &limits, true, &reader);

	if (r)
		return vu_is_want(r) ? r : tell_failed(a, strerror(-r));
	r = read_stream(a, &reader);
	vu_reader_stop(&reader);
	return r;
}

VU_DEFINE_CLEANUP_DONE(struct vu_oci_layers, vu_oci_layers_done)

/* Also what a later layer replaces or takes away. Digests of layers do not matter: each file is proven. */
static int read_image(struct reading *a)
{
	vu_cleanup(vu_oci_layers_done_p) struct vu_oci_layers layers = {0};
	_cleanup_free_ char *why = NULL;
	_cleanup_fd_ int layout = -EBADF;
	int r = vu_oci_open(a->archive, &layout, &layers, &why);

	if (r)
		return vu_is_want(r) ? r : tell_failed(a, why ? why : strerror(-r));
	for (size_t i = 0; !r && i < layers.n && is_any_left(a); i++) {
		_cleanup_fd_ int fd = vu_oci_blob_open(layout, &layers.v[i]);

		r = vu_stop_requested() ? -ECANCELED
		    : fd < 0		? tell_failed(a, "a layer of it cannot be opened")
					: read_open(a, fd);
	}
	return r;
}

/* What is no regular file is no archive; what cannot be opened was told when it was tried as a file. */
static int read_one(struct reading *a)
{
	if (vu_oci_is_named(a->archive))
		return read_image(a);
	_cleanup_fd_ int pin = open(a->archive, O_PATH | O_CLOEXEC);
	struct vu_stat st;

	if (pin < 0 || vu_stat_fd(pin, &st) || !S_ISREG(st.mode))
		return 0;
	_cleanup_fd_ int fd = vu_reopen(pin, O_RDONLY);

	return fd < 0 ? tell_failed(a, strerror(-fd)) : read_open(a, fd);
}

int vu_repair_archives(struct vu_repair *r, struct vu_identifier *w,
		       int (*found)(const struct vu_repair *r, const struct vu_checked *o,
				    const char *label))
{
	struct reading a = {.r = r, .w = w, .found = found};
	int e = r->from ? list_sought(&a) : 0;

	for (const char *const *f = r->from; !e && f && *f && is_any_left(&a); f++) {
		a.archive = *f;
		e = vu_stop_requested() ? -ECANCELED : read_one(&a);
	}
	free(a.v);
	return e;
}

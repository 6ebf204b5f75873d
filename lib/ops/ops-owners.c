/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-owners.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/hex.h"
#include "base/want.h"
#include "db/catalog-broken.h"
#include "db/catalog-find.h"
#include "db/catalog-run.h"
#include "fs/beneath.h"
#include "fs/reopen.h"
#include "ops/digest-now.h"
#include "ops/locate.h"
#include "ops/session.h"
#include "ops/sound.h"
#include "scan/sides.h"

#define DPKG_STATUS "var/lib/dpkg/status"

struct owning {
	struct vu_session s;
	const struct vu_held_options *o;
	struct vu_held_report *report;
	struct vu_digest_now digests;
	size_t guest; /* that is looked at */
};

static void tell(struct owning *w, size_t guest, const char *path, int err, const char *text)
{
	vu_emit(&w->s.counting,
		&(struct vu_event){.kind = VU_EVENT_WARN,
				   .guest = guest == SIZE_MAX ? NULL : w->s.guests.v[guest].name,
				   .path = path,
				   .err = text ? 0 : err,
				   .text = text});
}

/* ---- one file ---- */

/*
 * Does the file that st describes hold the content? Tells it then. Returns 1, 0, or a negative errno; one that
 * cannot be read is told as a warning.
 */
static int judge(struct owning *w, size_t guest, int dir, const char *name, const char *path,
		 const struct vu_stat *st)
{
	struct vu_held_guest *g = &w->report->guests[guest];
	struct vu_digest digest;

	if (w->report->size_known && st->version.size != w->report->size)
		return 0;
	int r = vu_digest_now(&w->digests, guest, dir, name, st, &digest);

	if (vu_is_want(r) || r == -ECANCELED)
		return r;
	if (r) {
		g->unread++;
		w->report->unread++;
		w->report->unread_bytes += st->version.size;
		tell(w, guest, path, r,
		     r == VU_DIGEST_NOW_CHANGED ? "it changed while it was looked at"
		     : r == VU_DIGEST_NOW_HOLES ? "it has too many holes to be read"
						: NULL);
		return 0;
	}
	if (memcmp(&digest, &w->report->digest, sizeof(digest)) != 0)
		return 0;
	int object = vu_digest_now_is_object(&w->digests, guest, st);

	if (object < 0)
		return object;
	if (object)
		g->unified++;
	else
		g->private ++;
	w->o->name(w->o->arg, &(struct vu_held_name){.guest = w->s.guests.v[guest].name,
						     .path = path,
						     .unified = object});
	return 1;
}

/* Opens the directory of a path in a guest. Returns the fd, with the last component, or a negative errno. */
static int open_dir_of(const struct owning *w, size_t guest, const char *path,
		       const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = strndup(path, slash ? (size_t)(slash - path) : 0);

	*ret_name = slash ? slash + 1 : path;
	return dir ? vu_beneath_open(w->s.root_fds[guest], dir, O_PATH | O_DIRECTORY | O_NOFOLLOW)
		   : -ENOMEM;
}

/* A name that is recorded: is it one of the content? Returns 1, 0 or a negative errno. */
static int check_name(struct owning *w, size_t guest, const char *path)
{
	const char *name;
	struct vu_stat st;
	_cleanup_fd_ int dir = open_dir_of(w, guest, path, &name);
	int r = dir < 0 ? dir : vu_stat_at(dir, name, &st);

	if (vu_is_want(r))
		return r;
	return r || !S_ISREG(st.mode) ? 0 : judge(w, guest, dir, name, path, &st);
}

/* The same for one that was of the content when it was recorded. */
static int check_held(struct owning *w, size_t guest, const char *path)
{
	int r = check_name(w, guest, path);

	if (!r)
		w->report->guests[guest].outdated++;
	return r < 0 ? r : 0;
}

/* ---- what is asked for ---- */

static bool parse_digest(const char *what, struct vu_digest *ret)
{
	const size_t digits = (size_t)2 * VU_DIGEST_BYTES;
	char hex[VU_DIGEST_HEX + 1] = "";

	if (!strncmp(what, "sha256:", 7))
		what += 7;
	if (strlen(what) != digits)
		return false;
	for (size_t i = 0; i < digits; i++)
		hex[i] = (char)tolower((unsigned char)what[i]);
	return !vu_hex_decode(hex, VU_DIGEST_BYTES, ret->b);
}

static int no_file(struct owning *w, int r, const char *why)
{
	return vu_fail(w->s.ops, r, "cannot read the file", w->o->what, why,
		       "name a regular file, GUEST:PATH, or a SHA-256 digest of 64 digits");
}

static int digest_in_guest(struct owning *w, size_t guest, const char *path)
{
	const char *name;
	struct vu_stat st = {0};
	_cleanup_fd_ int dir = open_dir_of(w, guest, path, &name);
	int r = dir < 0 ? dir : vu_stat_at(dir, name, &st);

	if (!r && !S_ISREG(st.mode))
		return no_file(w, VU_OPS_USAGE, "it is not a regular file");
	if (!r)
		r = vu_digest_now(&w->digests, guest, dir, name, &st, &w->report->digest);
	if (r)
		return no_file(w, r > 0 ? VU_OPS_USAGE : r,
			       r > 0 ? "it changes, or has too many holes" : NULL);
	w->report->size = st.version.size;
	w->report->size_known = true;
	return 0;
}

/* A file that is no guest's: links on the way are the admin's own. */
static int digest_of_host(struct owning *w)
{
	struct vu_stat st = {0};
	_cleanup_fd_ int pin = open(w->o->what, O_PATH | O_CLOEXEC);
	int r = pin < 0 ? -errno : vu_stat_fd(pin, &st);

	if (!r && !S_ISREG(st.mode))
		return no_file(w, VU_OPS_USAGE, "it is not a regular file");
	_cleanup_fd_ int fd = r ? r : vu_reopen(pin, O_RDONLY | O_NONBLOCK);

	r = fd < 0 ? fd : vu_sound_digest(w->digests.hash, fd, st.version.size, &w->report->digest);
	if (r)
		return r == -ECANCELED ? r : no_file(w, r, NULL);
	w->report->size = st.version.size;
	w->report->size_known = true;
	return 0;
}

/* "GUEST:PATH" of a registered guest. */
static bool parse_guest_path(const struct owning *w, size_t *ret_guest, const char **ret_path)
{
	const char *colon = strchr(w->o->what, ':');

	for (size_t i = 0; colon && i < w->s.guests.n; i++) {
		const char *name = w->s.guests.v[i].name;

		if (strlen(name) != (size_t)(colon - w->o->what) ||
		    strncmp(name, w->o->what, strlen(name)) != 0)
			continue;
		*ret_guest = i;
		*ret_path = colon + 1 + strspn(colon + 1, "/");
		return true;
	}
	return false;
}

static int know_digest(struct owning *w)
{
	const char *path;
	size_t guest;

	if (parse_digest(w->o->what, &w->report->digest))
		return 0;
	if (parse_guest_path(w, &guest, &path))
		return digest_in_guest(w, guest, path);
	_cleanup_free_ char *abs = vu_locate_absolute(w->o->what);

	if (!abs)
		return no_file(w, -errno, NULL);
	return vu_locate_guest(&w->s.guests, abs, &guest, &path) ? digest_in_guest(w, guest, path)
								 : digest_of_host(w);
}

/* ---- by the catalog ---- */

/* The guest's index, or SIZE_MAX for one whose root is not there. */
static size_t guest_of(const struct owning *w, uint32_t id)
{
	for (size_t i = 0; i < w->s.guests.n; i++)
		if (w->s.guests.v[i].id == id)
			return i;
	return SIZE_MAX;
}

static int on_path(void *arg, const char *path)
{
	struct owning *w = arg;

	return check_held(w, w->guest, path);
}

static int on_unread_path(void *arg, const char *path)
{
	struct owning *w = arg;

	return VU_MIN(check_name(w, w->guest, path), 0);
}

static int on_object(void *arg, const char *fs_id, uint64_t ino, const struct vu_key *key,
		     uint32_t n_links)
{
	struct owning *w = arg;
	int r = 0;

	(void)key;
	(void)n_links;
	for (w->guest = 0; !r && w->guest < w->s.guests.n; w->guest++)
		if (!strcmp(w->s.guests.v[w->guest].fs_id, fs_id))
			r = vu_catalog_find_unified(w->s.catalog, w->s.guests.v[w->guest].id, ino,
						    UINT32_MAX, on_path, w);
	return r;
}

static int on_private(void *arg, uint32_t id, const char *path, uint64_t size)
{
	struct owning *w = arg;
	size_t guest = guest_of(w, id);

	(void)size;
	return guest == SIZE_MAX ? 0 : check_held(w, guest, path);
}

static int on_size(void *arg, uint32_t id, const char *path, uint64_t size)
{
	struct owning *w = arg;

	(void)id;
	(void)path;
	w->report->size = size;
	w->report->size_known = true;
	return 0;
}

static int on_object_size(void *arg, const char *fs_id, uint64_t ino, const struct vu_key *key,
			  uint32_t n_links)
{
	struct owning *w = arg;
	struct vu_found_inode f;
	int r = vu_catalog_find_object(w->s.catalog, fs_id, ino, &f);

	(void)key;
	(void)n_links;
	if (!r) {
		w->report->size = f.size;
		w->report->size_known = true;
	}
	return r == -ENOENT ? 0 : r;
}

/* A digest alone has no size, but files of which it is have one. */
static int know_size(struct owning *w)
{
	int r = 0;

	if (!w->report->size_known)
		r = vu_catalog_find_objects(w->s.catalog, &w->report->digest, on_object_size, w);
	if (!r && !w->report->size_known)
		r = vu_catalog_find_content(w->s.catalog, &w->report->digest, 1, on_size, w);
	return r;
}

/* A file that no scan had to read: nobody had one of its size then. */
static int on_unread(void *arg, uint32_t id, uint64_t ino, uint64_t size)
{
	struct owning *w = arg;

	w->guest = guest_of(w, id);
	if (w->guest == SIZE_MAX || (w->report->size_known && size != w->report->size))
		return 0;
	if (w->report->size_known)
		return vu_catalog_find_private(w->s.catalog, id, ino, UINT32_MAX, on_unread_path,
					       w);
	w->report->guests[w->guest].unread++;
	w->report->unread++;
	w->report->unread_bytes += size;
	return 0;
}

static int search_catalog(struct owning *w)
{
	int r = know_size(w);

	if (!r)
		r = vu_catalog_find_objects(w->s.catalog, &w->report->digest, on_object, w);
	if (!r)
		r = vu_catalog_find_content(w->s.catalog, &w->report->digest, UINT32_MAX,
					    on_private, w);
	if (!r)
		r = vu_catalog_find_unread(w->s.catalog, on_unread, w);
	return r == VU_CATALOG_DAMAGED ? vu_session_catalog_failed(&w->s, r) : r;
}

/* ---- by looking at everything ---- */

static int on_file(void *arg, const struct vu_sides_file *f)
{
	struct owning *w = arg;
	int r = judge(w, w->guest, f->dir[0], f->name, f->path, &f->st[0]);

	if (w->s.ops->progress)
		vu_progress_add(w->s.ops->progress, 1, 0);
	return r < 0 ? r : 0;
}

static void on_trouble(void *arg, unsigned side, const char *path, int err, const char *text)
{
	struct owning *w = arg;

	(void)side;
	tell(w, w->guest, path, err,
	     err == -EXDEV ? "another mount begins there: it was not looked into" : text);
}

static int search_all(struct owning *w)
{
	int r = know_size(w);

	if (r > 0)
		r = vu_session_catalog_failed(&w->s, r);
	if (w->s.ops->progress)
		vu_progress_begin(w->s.ops->progress, VU_PHASE_WALK, 0, 0);
	for (w->guest = 0; !r && w->guest < w->s.guests.n; w->guest++) {
		const struct vu_sides one = {
			.root = {w->s.root_fds[w->guest], -EBADF},
			.max_depth = w->s.ops->config->max_depth,
			.file = on_file,
			.trouble = on_trouble,
			.arg = w,
		};

		vu_progress_guest(w->s.ops->progress, (unsigned)w->guest);
		r = vu_sides_walk(&one);
	}
	return r;
}

/* ---- how much of it is sure ---- */

/* Has the guest's dpkg done something since? ctime is not for the guest to choose. */
static bool packages_changed(const struct owning *w, size_t guest, uint64_t since_ns)
{
	struct vu_stat st;
	_cleanup_fd_ int fd =
		vu_beneath_open(w->s.root_fds[guest], DPKG_STATUS, O_PATH | O_NOFOLLOW);

	return fd >= 0 && !vu_stat_fd(fd, &st) && st.version.ctime_ns > since_ns;
}

static int know_age(struct owning *w, size_t i)
{
	struct vu_held_guest *g = &w->report->guests[i];
	uint64_t broken = 0;
	int r = vu_catalog_looked_at(w->s.catalog, w->s.guests.v[i].id, &g->looked_ns);

	if (!r)
		r = vu_catalog_broken_count(w->s.catalog, w->s.guests.v[i].id, &broken);
	if (r)
		return vu_session_catalog_failed(&w->s, r);
	const char *why = !g->looked_ns ? "it was never scanned"
			  : packages_changed(w, i, g->looked_ns)
				  ? "its packages have changed since it was scanned"
			  : broken ? "it has changed shared files since it was scanned"
				   : NULL;

	g->stale = why && !w->o->full;
	if (g->stale)
		tell(w, i, NULL, 0, why);
	return 0;
}

static int list_guests(struct owning *w)
{
	struct vu_held_report *r = w->report;

	r->guests = calloc(w->s.guests.n + 1, sizeof(*r->guests));
	if (!r->guests)
		return -ENOMEM;
	for (; r->n_guests < w->s.guests.n; r->n_guests++) {
		r->guests[r->n_guests].name = strdup(w->s.guests.v[r->n_guests].name);
		if (!r->guests[r->n_guests].name)
			return -ENOMEM;
	}
	return 0;
}

static int judge_all(struct owning *w)
{
	_cleanup_free_ char *text = NULL;
	int r = 0;

	for (size_t i = 0; !r && i < w->s.guests.n; i++)
		r = know_age(w, i);
	if (r || w->o->full || !w->report->unread || w->report->size_known)
		return r;
	if (asprintf(&text,
		     "no file of this content is known, and %" PRIu64
		     " files were never read: they may hold it; --full reads them",
		     w->report->unread) < 0)
		return -ENOMEM;
	tell(w, SIZE_MAX, NULL, 0, text);
	return 0;
}

/* ---- */

static int search(struct owning *w)
{
	int r = list_guests(w);

	if (!r)
		r = vu_session_find_pools(&w->s);
	if (!r)
		r = vu_digest_now_init(&w->digests, &w->s);
	if (!r)
		r = know_digest(w);
	w->digests.read = w->digests.read_bytes = 0;
	if (!r)
		r = w->o->full ? search_all(w) : search_catalog(w);
	w->report->read = w->digests.read;
	w->report->read_bytes = w->digests.read_bytes;
	return r ? r : judge_all(w);
}

int vu_ops_owners(struct vu_ops *ops, const struct vu_held_options *o, struct vu_held_report *ret)
{
	struct owning w = {.o = o, .report = ret};

	*ret = (struct vu_held_report){0};
	int r = vu_session_open(&w.s, ops, 0, NULL, 0);

	if (!r) {
		r = search(&w);
		if (w.digests.session)
			vu_digest_now_done(&w.digests);
	}
	if (r == -ECANCELED)
		r = vu_fail(ops, VU_OPS_CANCELLED, "stopped", NULL, NULL, NULL);
	ret->warnings = w.s.warnings;
	vu_session_close(&w.s);
	return r < 0 && !ops->problem->what
		       ? vu_fail(ops, r, "cannot tell who holds", o->what, NULL, NULL)
		       : r;
}

void vu_held_done(struct vu_held_report *r)
{
	for (size_t i = 0; i < r->n_guests; i++)
		free(r->guests[i].name);
	free(r->guests);
	*r = (struct vu_held_report){0};
}

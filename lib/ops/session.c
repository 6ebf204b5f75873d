/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "db/catalog-guest.h"
#include "ops/lock.h"
#include "ops/rebuild.h"

#define READ_TRIES 100
#define READ_WAIT_NS 10000000

/* What helps whatever failed. */
static const char *usual_todo(int code)
{
	switch (code) {
	case -ENOMEM:
		return "nothing is lost: run it again when there is memory";
	case -EMFILE:
	case -ENFILE:
		return "nothing is lost: run it again with more open files allowed (ulimit -n, "
		       "LimitNOFILE=)";
	case -EFBIG:
		return "nothing is lost: run it again with larger files allowed (ulimit -f, "
		       "LimitFSIZE=)";
	default:
		return NULL;
	}
}

int vu_fail(const struct vu_ops *ops, int code, const char *what, const char *on, const char *why,
	    const char *todo)
{
	const char *usual = usual_todo(code);

	/* whatever it was that failed: it is not the user's path that is wrong */
	if (usual)
		todo = usual;
	vu_problem_set(ops->problem, what, on, why || code >= 0 ? why : strerror(-code), todo);
	return code;
}

/* Counts what decides the exit code, and passes everything on. */
static void count_event(void *arg, const struct vu_event *e)
{
	struct vu_session *s = arg;

	if (e->kind == VU_EVENT_WARN)
		s->warnings++;
	if (e->kind == VU_EVENT_DAMAGE)
		s->damages++;
	vu_emit(s->ops->sink, e);
}

static int take_lock(struct vu_session *s)
{
	const struct vu_config *c = s->ops->config;
	char why[80];
	pid_t pid = 0;
	int r = vu_lock_take(c->lock_dir, c->catalog, &s->lock_fd, &pid);

	if (r < 0)
		return vu_fail(s->ops, r, "cannot take the lock", c->lock_dir, NULL,
			       "run as root, or name another directory by --lock-dir");
	if (r == VU_LOCK_BUSY) {
		/* it may not have written its number yet */
		snprintf(why, sizeof(why), "another vunify works with it");
		if (pid)
			snprintf(why, sizeof(why), "another vunify (process %d) works with it",
				 (int)pid);
		return vu_fail(s->ops, VU_OPS_LOCKED, "cannot work with the catalog", c->catalog,
			       why, "wait until it has ended");
	}
	return 0;
}

int vu_session_catalog_failed(struct vu_session *s, int r)
{
	const char *path = s->ops->config->catalog, *why = vu_catalog_message(s->catalog);

	if (why && !*why) /* then the errno says it */
		why = NULL;
	if (r == VU_CATALOG_DAMAGED)
		return vu_fail(s->ops, VU_OPS_DAMAGED, "cannot read the catalog", path, why,
			       VU_REBUILD_TODO);
	if (r == -ENOSPC || r == -EDQUOT)
		return vu_fail(s->ops, VU_OPS_NO_SPACE, "cannot work with the catalog", path, why,
			       "free some space there");
	return vu_fail(s->ops, r, "cannot work with the catalog", path, why,
		       r == -EBUSY ? "nothing is wrong with it: run it again" : NULL);
}

/* Goes on without a catalog that is there: it will not know what is done now. */
static int without_catalog(struct vu_session *s, const char *why)
{
	_cleanup_free_ char *text = NULL;

	if (s->lock_fd < 0) /* it only looks: whoever writes tells it */
		return 0;
	if (asprintf(&text, "the catalog %s is left out: %s; " VU_REBUILD_TODO,
		     s->ops->config->catalog, why) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	vu_emit(&s->counting, &(struct vu_event){.kind = VU_EVENT_WARN, .text = text});
	return 0;
}

int vu_session_catalog_lost(struct vu_session *s, int r)
{
	_cleanup_free_ char *why = NULL;

	if (!s->without || r == -ENOMEM)
		return vu_session_catalog_failed(s, r);
	why = strdup(vu_catalog_message(s->catalog));
	vu_catalog_close(s->catalog);
	s->catalog = NULL;
	return why ? without_catalog(s, why) : -ENOMEM;
}

static int open_failed(struct vu_session *s, int r, const char *why)
{
	const char *path = s->ops->config->catalog;

	switch (r) {
	case VU_CATALOG_MISSING:
		return vu_fail(s->ops, VU_OPS_NOT_SET_UP, "cannot open the catalog", path,
			       "there is none yet", "run `vunify scan ROOT...` first");
	case VU_CATALOG_FUTURE:
		return vu_fail(s->ops, VU_OPS_DAMAGED, "cannot open the catalog", path,
			       "a newer vunify made it", "use that version; or " VU_REBUILD_TODO);
	case VU_CATALOG_OLD:
		return vu_fail(s->ops, VU_OPS_NOT_SET_UP, "cannot open the catalog", path,
			       "an older vunify made it",
			       "run `vunify scan` once: that brings it up to date");
	case VU_CATALOG_DAMAGED:
		return vu_fail(s->ops, VU_OPS_DAMAGED, "cannot read the catalog", path,
			       why ? why : "it is damaged", VU_REBUILD_TODO);
	case -ENOSPC:
	case -EDQUOT:
		return vu_fail(s->ops, VU_OPS_NO_SPACE, "cannot open the catalog", path,
			       why ? why : strerror(-r), "free some space");
	default:
		return vu_fail(s->ops, r, "cannot open the catalog", path, why,
			       "see --catalog, and `catalog =` in vunify.conf");
	}
}

/* The guests of a reader; or are they there at all? The catalog may open, and be damaged where they stand. */
static int read_guests(struct vu_session *s)
{
	struct vu_guests known = {0};
	int r = vu_catalog_guests(s->catalog, s->reads ? &s->known : &known);

	vu_guests_done(&known);
	return r;
}

static int open_once(struct vu_session *s, unsigned flags, char **ret_why)
{
	int r = vu_catalog_open(s->ops->config->catalog,
				flags & VU_SESSION_WRITE ? VU_CATALOG_WRITE : VU_CATALOG_READ,
				&s->catalog, ret_why);

	s->known_result = !r && (s->reads || s->without) ? read_guests(s) : 0;
	return r;
}

/*
 * A reader has no lock. What was written while it read it reads once more: a supervisor that has just taken the place
 * of another one would not know its guest, and that would be the end of it.
 */
static int open_still(struct vu_session *s, unsigned flags, char **ret_why)
{
	int r = open_once(s, flags, ret_why);

	for (unsigned i = 0;
	     s->reads && i < READ_TRIES && (r == -EBUSY || s->known_result == -EBUSY); i++) {
		vu_catalog_close(s->catalog);
		s->catalog = NULL;
		free(*ret_why);
		*ret_why = NULL;
		nanosleep(&(struct timespec){.tv_nsec = READ_WAIT_NS}, NULL);
		r = open_once(s, flags, ret_why);
	}
	return r;
}

static int open_catalog(struct vu_session *s, unsigned flags)
{
	const char *path = s->ops->config->catalog;
	_cleanup_free_ char *why = NULL;
	int r = 0;

	s->without = flags & VU_SESSION_NO_CATALOG;
	s->reads = !(flags & VU_SESSION_WRITE);
	if (flags & (VU_SESSION_REBUILD | VU_SESSION_REBUILD_DRY))
		r = vu_rebuild_catalog(s, flags & VU_SESSION_REBUILD_DRY);
	if (r || flags & VU_SESSION_REBUILD_DRY)
		return r;
	if (s->without && access(path, F_OK) && (errno == ENOENT || errno == ENOTDIR))
		return 0; /* and none is made */
	r = open_still(s, flags, &why);
	if (!r)
		return s->without && s->known_result ? vu_session_catalog_lost(s, s->known_result)
						     : 0;
	if (s->without && r != -ENOMEM)
		return without_catalog(s, why ? why : r < 0 ? strerror(-r) : "it cannot be read");
	return open_failed(s, r, why);
}

int vu_session_open_catalog(struct vu_session *s, struct vu_ops *ops, unsigned flags)
{
	*s = (struct vu_session){.ops = ops, .lock_fd = -EBADF};
	s->counting = (struct vu_sink){.fn = count_event, .arg = s};
	int r = flags & VU_SESSION_WRITE ? take_lock(s) : 0;

	return r ? r : open_catalog(s, flags);
}

int vu_session_known_guests(struct vu_session *s, struct vu_guests *ret)
{
	int r = !s->catalog ? 0 : s->reads ? s->known_result : vu_catalog_guests(s->catalog, ret);

	if (r)
		return vu_session_catalog_failed(s, r);
	return s->catalog && s->reads ? vu_guests_copy(&s->known, ret) : 0;
}

void vu_session_close(struct vu_session *s)
{
	for (size_t i = 0; i < s->guests.n; i++)
		vu_close_p(&s->root_fds[i]);
	free(s->root_fds);
	free(s->guest_fs);
	for (size_t i = 0; i < s->n_fs; i++) {
		vu_mount_done(&s->fs[i].mount);
		if (!s->fs[i].borrowed)
			vu_pool_close(s->fs[i].pool);
	}
	free(s->fs);
	vu_guests_done(&s->guests);
	vu_guests_done(&s->known);
	vu_catalog_close(s->catalog);
	if (s->ops)
		vu_close_p(&s->lock_fd);
	*s = (struct vu_session){.lock_fd = -EBADF};
}

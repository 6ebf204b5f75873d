/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recovery decides by inodes, keys and the journal alone.
 *
 * Objects first, because the stage is put right with their help. An object without its flag was in a
 * moment, or had just got its name in the pool, or somebody took the flag off:
 *   - noted as slipped: flag on, whatever it is; it is evicted afterwards (link/evict.c)
 *   - only the pool has it: nobody needs it; removed
 *   - leased (nobody writes to it), and content, metadata and mtime give its key: flag on. One
 *     syncfs(2) comes first: what is compared may be in memory only, and the flag is believed
 *   - else, with one guest at most (two links): it is simply that guest's file again; the pool's name
 *     is removed, and whoever writes to it is in the right
 *   - else, open for writing in one of its guests (but on ext4): noted as slipped, flag on
 *   - else it is damage: told, and left as it is
 * An object with its flag, or with a mark of the guard (fs/guard.h) in its place, is believed; one that only
 * the pool has is removed.
 *
 * Then the stage (recover-stage.c), names that were being led over (recover-lead.c) and trees on their way
 * (recover-trees.c), then the journals are emptied, unless something had to be left. All of
 * that is metadata, whose order the file systems keep, as linker and breaker rely on as well: a journal is
 * not empty before what it told of is settled. Power lost or killed in between: the same again.
 */
#include "link/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/guard.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "link/identify.h"
#include "link/recover-int.h"

void vu_recover_tell(struct vu_recover *c, enum vu_event_kind kind, const struct vu_key *key,
		     const char *path, int err, const char *text)
{
	char name[VU_KEY_NAME_MAX];

	if (key)
		vu_key_name(key, name);
	vu_moment_emit(&c->moment, &(struct vu_event){.kind = kind,
						      .err = err,
						      .path = path,
						      .object = key ? name : NULL,
						      .text = text});
}

/* The domain that the journal names for a key, or NULL. */
static const char *domain_of(const struct vu_recover *c, const struct vu_key *key)
{
	for (size_t i = 0; i < c->n_intents; i++)
		if (!memcmp(&c->intents[i].key, key, sizeof(*key)))
			return c->intents[i].domain;
	return NULL;
}

/* ---- objects ---- */

/* st, attr: what it was found to be; NULL for one that is to be evicted anyway. */
static int reflag(struct vu_recover *c, const struct vu_key *key, int fd, const struct vu_stat *st,
		  const struct vu_attr *attr)
{
	int r = c->env->dry_run ? 0 : vu_iattr_set_immutable(fd, true);

	if (r)
		return r;
	c->stats->reflagged++;
	vu_recover_tell(c, VU_EVENT_RECOVER, key, NULL, 0,
			"the object got its immutable flag again");
	if (!c->env->dry_run) /* those between the permission check and the lease */
		nanosleep(&(struct timespec){.tv_nsec = VU_COOL_DOWN_NS}, NULL);
	if (!c->env->dry_run && st && !vu_lease_quiet(fd)) {
		/* who waits passed the permission check before: he starts anew and meets the flag */
		struct vu_object o = {
			.pool = c->pool,
			.key = *key,
			.fd = fd,
			.ino = st->version.ino,
			.size = st->version.size,
			.mtime_ns = st->version.mtime_ns,
			.attr = *attr,
		};

		r = vu_moment_settle(&c->moment, &o);
	}
	return r;
}

static int give_back(struct vu_recover *c, const struct vu_key *key)
{
	int r = c->env->dry_run ? 0 : vu_pool_object_unlink(c->pool, key);

	if (r)
		return r;
	c->stats->objects_given++;
	vu_recover_tell(
		c, VU_EVENT_RECOVER, key, NULL, 0,
		"the object has one guest only and was changed by it: it is that guest's file "
		"again");
	return 0;
}

/*
 * Somebody of its guests has it open for writing since the moment in which the run was killed: that is
 * a slip like any other. Noted, it is evicted afterwards.
 */
static int note_slip(struct vu_recover *c, const struct vu_key *key)
{
	struct vu_object *o = NULL;
	int r = vu_object_open(c->pool, key, false, c->env->max_xattr_bytes, &o, NULL);

	if (!r) {
		r = vu_slip_note(c->env->watch, o, -EBADF, c->env->max_xattr_bytes);
		o->lost = true;
	}
	if (!r)
		r = vu_iattr_set_immutable(o->fd, true);
	vu_object_unref(&c->moment, o);
	if (!r)
		c->stats->slipped++;
	return r;
}

static int damage(struct vu_recover *c, const struct vu_key *key, bool busy)
{
	c->stats->damaged++;
	vu_recover_tell(
		c, VU_EVENT_DAMAGE, key, NULL, 0,
		busy ? "the object has no immutable flag and is open for writing: its guests may "
		       "see what one of them writes"
		     : "the object was changed while it had no immutable flag: its guests see "
		       "the changed file");
	return 0;
}

/*
 * What is compared is on disk before its flag can be. Not with a lease held: who wants to write to one
 * of them would have to wait for it.
 */
static int sync_once(struct vu_recover *c)
{
	int r = c->synced || c->env->dry_run ? 0 : vu_pool_sync(c->pool);

	c->synced = c->synced || !r;
	return r;
}

/*
 * It has its flag, but somebody came for writing while it was read. Was that longer than lease-break-time, the kernel
 * has let him in, and what he wrote to where it had been read already was not seen.
 */
static int look_again(struct vu_recover *c, const struct vu_key *key, int fd)
{
	struct vu_stat now;
	struct vu_attr attr;

	if (vu_pool_object_slipped(c->pool, key))
		return 0;
	int r = vu_identify(fd, key, c->env->domains, domain_of(c, key), c->env->max_xattr_bytes,
			    &now, &attr);

	return r < 0 ? r : r ? 0 : damage(c, key, false);
}

/* An object without its flag. */
static int check_unflagged(struct vu_recover *c, const struct vu_key *key, int fd,
			   const struct vu_stat *st)
{
	struct vu_stat now;
	struct vu_attr attr;
	int r = sync_once(c);

	if (r)
		return r;
	int busy = vu_lease_take(fd);

	if (busy < 0)
		return busy;
	r = busy ? 0
		 : vu_identify(fd, key, c->env->domains, domain_of(c, key), c->env->max_xattr_bytes,
			       &now, &attr);
	if (r < 0)
		return r;
	bool came = r && !vu_lease_quiet(fd);

	if (came && st->n_links <= 2)
		r = 0; /* its one guest is about to write to it, with every right */
	if (r) {
		r = reflag(c, key, fd, &now, &attr);
		return r || !came || c->env->dry_run ? r : look_again(c, key, fd);
	}
	if (st->n_links <= 2)
		return give_back(c, key);
	if (busy && vu_pool_slip_writes(c->pool) && !c->env->dry_run)
		return note_slip(c, key);
	return damage(c, key, busy);
}

/* It is claimed by this process, and vu_pool_object_remove gives the claim back. */
static int remove_unused(struct vu_recover *c, const struct vu_key *key)
{
	int r = c->env->dry_run ? 0 : vu_moment_remove_unused(&c->moment, c->pool, key);

	if (r)
		return r == -EBUSY ? 0 : r;
	c->stats->names_removed++;
	vu_recover_tell(c, VU_EVENT_RECOVER, key, NULL, 0, "no guest has the object: removed");
	return 0;
}

/* One that nobody else works on. */
static int check_claimed(struct vu_recover *c, const struct vu_key *key, int fd)
{
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	bool kept = !r && vu_guard_or_flag_holds(fd, &st);

	if (r || (kept && st.n_links > 1))
		return r;
	if (vu_pool_object_slipped(c->pool, key))
		return kept ? 0 : reflag(c, key, fd, NULL, NULL);
	return st.n_links == 1 ? remove_unused(c, key) : check_unflagged(c, key, fd, &st);
}

static int check_object(struct vu_recover *c, const struct vu_key *key)
{
	const struct vu_claims *claims = vu_pool_claims(c->pool);
	_cleanup_fd_ int fd = vu_pool_object_open(c->pool, key);
	struct vu_stat st;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	c->stats->objects++;
	if (st.n_links > 1 && vu_guard_or_flag_holds(fd, &st))
		return 0;
	if (c->env->dry_run ? vu_claim_is_taken(claims, st.version.ino)
			    : vu_claim(claims, st.version.ino) == VU_CLAIMED)
		return 0;
	r = check_claimed(c, key, fd);
	if (!c->env->dry_run)
		vu_claim_release(claims, st.version.ino);
	return r;
}

int vu_recover_object_open(struct vu_recover *c, const struct vu_key *key, struct vu_object **ret)
{
	_cleanup_fd_ int fd = vu_pool_object_open(c->pool, key);
	struct vu_attr attr;
	struct vu_stat st;

	if (fd < 0)
		return fd == -ENOENT ? VU_RECOVER_UNSOUND : fd;
	int r = vu_guard_lease(fd);

	if (r)
		return r == VU_LEASE_BUSY ? VU_RECOVER_BUSY : r;
	r = vu_identify(fd, key, c->env->domains, domain_of(c, key), c->env->max_xattr_bytes, &st,
			&attr);
	if (r <= 0)
		return r ? r : VU_RECOVER_UNSOUND;
	if (!vu_guard_or_flag_holds(fd, &st) && !c->env->dry_run)
		return VU_RECOVER_UNSOUND;
	r = vu_object_new_consume(c->pool, key, fd, &st, &attr, ret);
	if (!r)
		fd = -EBADF;
	return r;
}

/* ---- guests ---- */

int vu_recover_root(const struct vu_recover *c, const struct vu_intent *in)
{
	struct vu_stat st;
	int fd = c->env->root ? c->env->root(c->env->root_arg, in->root_ino, in->root) : -ESTALE;

	if (fd < 0)
		return -ESTALE;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	return st.version.ino == in->root_ino && st.version.dev == vu_pool_dev(c->pool) ? fd
											: -ESTALE;
}

/* ---- journals ---- */

static int keep_intent(void *arg, const struct vu_intent *in)
{
	struct vu_recover *c = arg;

	if (c->n_intents == c->cap_intents) {
		size_t cap = c->cap_intents ? 2 * c->cap_intents : 256;
		struct vu_intent *v = reallocarray(c->intents, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		c->intents = v;
		c->cap_intents = cap;
	}
	struct vu_intent *k = &c->intents[c->n_intents++];

	*k = *in;
	k->tmp = strdup(in->tmp);
	k->root = strdup(in->root);
	k->path = strdup(in->path);
	k->domain = strdup(in->domain);
	return k->tmp && k->root && k->path && k->domain ? 0 : -ENOMEM;
}

static void free_text(const char *s)
{
	free((void *)(uintptr_t)s);
}

static void done(struct vu_recover *c)
{
	for (size_t i = 0; i < c->n_intents; i++) {
		free_text(c->intents[i].tmp);
		free_text(c->intents[i].root);
		free_text(c->intents[i].path);
		free_text(c->intents[i].domain);
	}
	free(c->intents);
	vu_pool_listing_done(&c->objects);
	vu_moment_env_done(&c->moment);
}

/* Adds the slots that the names in a directory of the pool belong to: a journal's, or a stage directory's. */
static int add_slots(int dir, bool journals, struct vu_slots *ret)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	unsigned slot;

	if (!d)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while ((errno = 0, e = readdir(d)))
		if (!journals)
			vu_slots_add(ret, (unsigned)strtoul(e->d_name, NULL, 10));
		else if (vu_journal_is(e->d_name, &slot))
			vu_slots_add(ret, slot);
	return -errno;
}

/*
 * Slots in which something may be left are claimed, and no others: while guests run, somebody who has to break a
 * link just now finds one that is free. With -n none is: what others work on is told from what is left by looking.
 */
static int claim_slots(struct vu_recover *c)
{
	struct vu_slots among = {0};
	int r = add_slots(vu_pool_fd(c->pool), true, &among);

	if (!r)
		r = add_slots(vu_pool_stage_fd(c->pool), false, &among);
	if (!r)
		vu_slots_claim(vu_pool_claims(c->pool), &among, &c->slots);
	return r;
}

int vu_recover_run(struct vu_pool *pool, const struct vu_recover_env *env,
		   struct vu_recover_stats *stats)
{
	struct vu_recover c = {.pool = pool, .env = env, .stats = stats};
	uint64_t left = stats->left;
	int r;

	vu_moment_env_init(&c.moment, env->sink, env->max_xattr_bytes);
	c.moment.watch = env->watch;
	r = claim_slots(&c);
	if (!r)
		r = vu_journal_each(pool, &c.slots, keep_intent, &c);
	if (!r)
		r = vu_pool_listing_read(&c.objects, pool);
	for (uint32_t i = 0; !r && i < c.objects.n; i++)
		r = check_object(&c, &c.objects.keys[i]);
	if (!r)
		r = vu_recover_stage(&c);
	if (!r)
		r = vu_recover_leads(&c);
	if (!r)
		r = vu_recover_trees(&c);
	if (!r && !env->dry_run && stats->left == left)
		r = vu_journal_reset_all(pool, &c.slots);
	vu_slots_release(vu_pool_claims(pool), &c.slots);
	done(&c);
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whoever changes names: of files, and of whole directories. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "race-proc.h"

/*
 * A new file beside it, with this content and metadata; the mtime is known afterwards. One that is left
 * from before, because it became an object, goes first. false: refused.
 */
static bool make_new(struct proc *p, const char *path, struct record *r, enum mode m)
{
	struct timespec t[2] = {r->mtime, r->mtime};

	if (unlink(path) && errno != ENOENT)
		return !was_refused(p, m);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, r->bytes, r->size) != (ssize_t)r->size || fchmod(fd, r->mode) ||
	    (r->mtime.tv_sec && futimens(fd, t)))
		die(path);
	note_mtime(r, fd);
	close(fd);
	return true;
}

void put_over(struct proc *p, struct at *a, struct record *r, enum mode m)
{
	char path[128];

	sibling(p, a, ".new", path, sizeof(path));
	let_go_of(p, a->dir, a->file);
	if (!make_new(p, path, r, m))
		return;
	if (rename(path, a->path)) {
		was_refused(p, m);
		unlink(path);
		return;
	}
	r->exists = true;
	r->away = a->r->away;
	r->linked = false;
	*a->r = *r;
	was_acked(p, m);
}

void stamped(struct proc *p, struct record *r)
{
	*r = (struct record){.exists = true, .mode = 0640, .size = STAMP};
	memcpy(r->bytes, next_stamp(p), STAMP);
}

static void do_rename(struct proc *p, struct at *a)
{
	struct record r;

	stamped(p, &r);
	put_over(p, a, &r, M_RENAME);
}

static void do_away(struct proc *p, struct at *a)
{
	char to[128];

	sibling(p, a, a->r->away ? "" : ".away", to, sizeof(to));
	if (rename(a->path, to) && was_refused(p, M_AWAY))
		return;
	a->r->away = !a->r->away;
	was_acked(p, M_AWAY);
}

static void do_unlink(struct proc *p, struct at *a)
{
	struct record r;

	let_go_of(p, a->dir, a->file);
	if (a->r->exists) {
		if (unlink(a->path) && was_refused(p, M_UNLINK))
			return;
		a->r->exists = a->r->away = false;
	} else {
		stamped(p, &r);
		if (!make_new(p, a->path, &r, M_UNLINK))
			return;
		*a->r = r;
	}
	was_acked(p, M_UNLINK);
}

static void do_link(struct proc *p, struct at *a)
{
	struct stat st;
	char to[128];

	sibling(p, a, ".link", to, sizeof(to));
	/* the two had come apart (race-check.c): what is left of it goes first */
	if (!a->r->linked && a->r->loose && unlink(to) && errno != ENOENT && was_refused(p, M_LINK))
		return;
	if ((a->r->linked ? unlink(to) : link(a->path, to)) && was_refused(p, M_LINK))
		return;
	a->r->linked = !a->r->linked;
	/* an object: it was its moment, and the two names may come apart again; not where it was made for him */
	a->r->loose = a->r->linked && !p->b->supervised && (stat(to, &st) || st.st_nlink > 2);
	was_acked(p, M_LINK);
}

void act_name(struct proc *p, struct at *a, enum mode m)
{
	if (a->r->linked || m == M_LINK)
		do_link(p, a);
	else if (m == M_RENAME)
		do_rename(p, a);
	else if (m == M_AWAY)
		do_away(p, a);
	else
		do_unlink(p, a);
}

/* ---- back to the original ---- */

static void restore_in_place(struct proc *p, struct at *a, const struct record *o)
{
	struct record *r = a->r;
	struct timespec t[2] = {o->mtime, o->mtime};

	let_go_of(p, a->dir, a->file);
	int fd = open_clocked(p, a->path, O_RDWR);

	if (fd < 0 && was_refused(p, M_RESTORE))
		return;
	/* on ext4 one who slipped in is refused here: nothing has changed then */
	if (pwrite(fd, o->bytes, o->size, 0) != (ssize_t)o->size) {
		was_refused(p, M_RESTORE);
		close(fd);
		return;
	}
	if (ftruncate(fd, o->size) || fchown(fd, o->uid, o->gid) || fchmod(fd, o->mode) ||
	    (fremovexattr(fd, XATTR_NAME) && errno != ENODATA) || futimens(fd, t))
		die(a->path);
	close(fd);
	wrote(r, 0, o->bytes, o->size);
	r->size = o->size;
	r->mode = o->mode;
	r->uid = o->uid;
	r->gid = o->gid;
	r->mtime = o->mtime;
	r->xattr[0] = 0;
	was_acked(p, M_RESTORE);
}

void restore(struct proc *p, struct at *a)
{
	struct record o;

	original_of(p->b, p->proc, a->dir, a->file, &o);
	if (a->r->linked)
		do_link(p, a);
	else if (a->r->away)
		do_away(p, a);
	else if (a->r->exists && dice(p, 2))
		restore_in_place(p, a, &o);
	else
		put_over(p, a, &o, M_RESTORE);
}

/* ---- directories ---- */

static void dir_name(const struct proc *p, unsigned dir, const char *suffix, char *ret, size_t size)
{
	snprintf(ret, size, "/usr/race/p%u/d%u%s", p->proc, dir, suffix);
}

static void move_dir(struct proc *p, unsigned dir)
{
	struct record_dir *d = &p->b->dirs[p->guest][p->proc][dir];
	char here[128], there[128];

	dir_name(p, dir, "", here, sizeof(here));
	dir_name(p, dir, ".moved", there, sizeof(there));
	if (d->moved ? rename(there, here) : rename(here, there))
		die(here);
	d->moved = !d->moved;
	was_acked(p, M_DIR_RENAME);
}

/* Who follows it from the host ends in the host's /etc, or in files that look like those of here. */
static void swap_dir(struct proc *p, unsigned dir)
{
	struct record_dir *d = &p->b->dirs[p->guest][p->proc][dir];
	char here[128], there[128];

	dir_name(p, dir, "", here, sizeof(here));
	dir_name(p, dir, ".real", there, sizeof(there));
	if (d->swapped) {
		if (unlink(here) || rename(there, here))
			die(here);
	} else {
		const char *to = dice(p, 2) && p->b->canary[0] ? p->b->canary : "/etc";

		if (rename(here, there) || symlink(to, here))
			die(here);
	}
	d->swapped = !d->swapped;
	was_acked(p, M_DIR_SYMLINK);
}

/* The host does that: from inside, nothing outside can be named. */
static void cover_dir(struct proc *p, unsigned dir)
{
	struct record_dir *d = &p->b->dirs[p->guest][p->proc][dir];
	char path[700];

	snprintf(path, sizeof(path), "%s/g%u/usr/race/p%u/d%u", p->b->top + 1, p->guest + 1,
		 p->proc, dir);
	if (!p->b->canary[0])
		return;
	if (fchdir(p->host_root))
		die("the host's root");
	if (d->covered ? umount2(path, MNT_DETACH)
		       : mount(p->b->canary + 1, path, NULL, MS_BIND, NULL))
		die(path);
	if (chdir("/"))
		die("/");
	d->covered = !d->covered;
	was_acked(p, M_DIR_BIND);
}

void act_dir(struct proc *p, unsigned dir, enum mode m)
{
	const struct record_dir *d = &p->b->dirs[p->guest][p->proc][dir];

	/* one after the other */
	if (d->covered || (m == M_DIR_BIND && !d->moved && !d->swapped))
		cover_dir(p, dir);
	else if (d->swapped || (m == M_DIR_SYMLINK && !d->moved))
		swap_dir(p, dir);
	else
		move_dir(p, dir);
}

void dirs_back(struct proc *p)
{
	for (unsigned dir = 0; dir < p->b->n_dirs; dir++) {
		const struct record_dir *d = &p->b->dirs[p->guest][p->proc][dir];

		while (d->covered || d->swapped || d->moved)
			act_dir(p, dir, M_DIR_RENAME);
	}
}

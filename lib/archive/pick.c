/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive/pick.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/unpack-int.h"
#include "base/cleanup.h"

struct vu_pick {
	const struct vu_pick_env *env;
	struct vu_unpack *u;
	const struct vu_member *m;
	struct vu_filling *g;
};

int vu_pick_make(struct vu_pick *p)
{
	struct vu_filling *g = p->g;
	struct timespec mtime = vu_unpack_mtime(p->m);
	_cleanup_fd_ int fd =
		g->fd >= 0 ? fcntl(g->fd, F_DUPFD_CLOEXEC, 3)
			   : openat(p->env->dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	int r = g->fd >= 0 ? 0 : vu_filling_write_small(g, fd);

	if (!r)
		r = vu_unpack_metadata(p->u, fd, g->f.attr.mode, p->m->uid, p->m->gid, &mtime);
	return r ? r > 0 ? -EINVAL : r : vu_take_fd(fd);
}

/* The member is the stream's, and gone with the first item behind it: own is what stays. */
static int show(struct vu_pick *p, struct vu_filling *g, const struct vu_member *own)
{
	g->unkept = p->env->unkept;
	g->hash = !own->hashed;
	int r = vu_filling_gather(g);

	/* one with huge holes has no digest */
	if (r || !g->hashed)
		return r;
	p->m = own;
	p->g = g;
	return p->env->show(p->env->arg, p, &g->f);
}

static int take_file(struct vu_pick *p, const struct vu_member *m)
{
	struct vu_attr attr = {.mode = m->mode & (S_IFMT | 07777), .uid = m->uid, .gid = m->gid};
	struct vu_member own = *m; /* its texts are not looked at any more */
	struct vu_filling g;
	int r = vu_filling_init(&g, p->u, m, &attr);

	if (r || !p->env->wants(p->env->arg, m->size))
		return r ? r : vu_unpack_skip_data(p->u);
	r = vu_unpack_take_xattrs(p->u, m, &g.f.attr);
	if (!r)
		r = show(p, &g, &own);
	vu_close_p(&g.fd);
	return r;
}

static int take_member(struct vu_pick *p, const struct vu_member *m)
{
	struct vu_unpack *u = p->u;

	snprintf(u->member, sizeof(u->member), "%s", m->path);
	if (++u->stats.members > p->env->max_members)
		return vu_unpack_refuse(u, "there are more members than max_files");
	/* a further name of a file that came already has no content of its own */
	if (m->hard || !S_ISREG(m->mode) || vu_member_path(m->path, p->env->max_depth, u->path))
		return vu_unpack_skip_data(u);
	return take_file(p, m);
}

static int take_all(struct vu_pick *p)
{
	struct vu_stream_item it;
	int r;

	while (!(r = vu_unpack_next(p->u, &it)) && it.kind == VU_STREAM_MEMBER) {
		r = take_member(p, &it.member);
		if (r)
			return r;
		p->u->member[0] = 0;
	}
	return r ? r : it.kind == VU_STREAM_DONE ? 0 : -EPROTO;
}

static char *why(const struct vu_unpack *u)
{
	const char *member, *text = vu_unpack_why(u, &member);
	char *all;

	return asprintf(&all, "%s%s%s", member ? member : "", member ? ": " : "", text) < 0 ? NULL
											    : all;
}

int vu_pick_each(const struct vu_pick_env *env, int stream, uint64_t *ret_members, char **ret_why)
{
	const struct vu_unpack_env as = {
		.root = env->dir,
		.flags = VU_UNPACK_SETID, /* nothing gets a name here */
		.max_depth = env->max_depth,
		.max_members = env->max_members,
		.max_bytes = env->max_bytes,
		.max_xattr_bytes = env->max_xattr_bytes,
	};
	struct vu_pick p = {.env = env};
	int r = vu_unpack_new(&as, &p.u);

	*ret_members = 0;
	*ret_why = NULL;
	if (r)
		return r;
	r = vu_stream_in_init(&p.u->in, stream);
	if (!r)
		r = take_all(&p);
	if (r == -EPROTO) {
		vu_unpack_refuse(p.u, "the process that reads it has failed");
		r = VU_UNPACK_BROKEN;
	}
	vu_stream_in_done(&p.u->in);
	*ret_members = p.u->stats.members;
	if (r > 0)
		*ret_why = why(p.u);
	vu_unpack_free(p.u);
	return r;
}

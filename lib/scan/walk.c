/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order of the walk: a stack of directories whose children are not all taken yet, under one
 * mutex. A thread takes the next child of the directory on top, visits it relative to that
 * directory's descriptor, and pushes it if it has children of its own. So pending work needs no
 * memory (a child is a record of the tree), a directory is popped when its last child is taken, and a
 * chain without branches needs two descriptors however long it is.
 *
 * Beyond a number of descriptors the lowest one of the stack is closed: it is needed last. When the
 * stack has shrunk to a directory without descriptor, that is opened anew by its path, and on the way
 * back up, by "..", those below it on the stack, a good many at once: "n levels" then costs n * n /
 * OPEN_AT_ONCE lookups. ".." may lead anywhere in a hostile tree: what it leads to is used only if it
 * has the recorded inode number on the guest's mount.
 */
#include "scan/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "base/stop.h"
#include "scan/treeopen.h"
#include "scan/walk-visit.h"

#define WALKERS_PER_JOB 8   /* what is not in memory is waited for: then many wait at once */
#define OPEN_MAX_FDS 160    /* of directories on the stack */
#define OPEN_AT_ONCE_PART 2 /* of which this part is opened anew at once */

/* A directory whose children are visited. */
struct node {
	struct vu_exclude_dir rules;
	uint32_t dir;
	uint32_t next; /* child, VU_NONE: all are taken */
	uint32_t depth;
	uint32_t path_bytes;
	unsigned users; /* visits of its children that go on */
	int fd; /* -EBADF: closed to save descriptors; other negative errno: cannot be opened */
	bool stacked;
};

struct walker {
	struct vu_visit_shared s;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct node **stack; /* owned, with the nodes */
	size_t n;
	size_t cap;
	size_t lowest; /* below this, no node of the stack has a descriptor */
	size_t n_open;
	size_t max_open;
	size_t next_guest; /* the next root to be visited */
	unsigned busy;	   /* threads that visit */
	unsigned waiting;
	int error;
};

static struct vu_dir *dir_at(const struct walker *w, uint32_t i)
{
	return vu_tree_dir(w->s.t, i);
}

static void node_close(struct walker *w, struct node *n)
{
	if (n->fd < 0)
		return;
	close(n->fd);
	n->fd = -EBADF;
	w->n_open--;
}

static void node_put(struct walker *w, struct node *n)
{
	if (n->stacked || n->users)
		return;
	node_close(w, n);
	free(n);
}

static void save_fds(struct walker *w)
{
	for (size_t i = w->lowest; i + 1 < w->n && w->n_open > w->max_open; i++) {
		struct node *n = w->stack[i];

		if (!n->users)
			node_close(w, n);
		if (i == w->lowest && n->fd < 0)
			w->lowest++;
	}
}

/* Goes up from the top of the stack and opens what lies on the way and below it on the stack. */
static void reopen_more(struct walker *w)
{
	struct node *top = w->stack[w->n - 1];
	const struct vu_visit_root *root = &w->s.roots[dir_at(w, top->dir)->guest];
	size_t steps = w->max_open * 2, below = w->n - 1;
	uint32_t dir = dir_at(w, top->dir)->parent;
	_cleanup_fd_ int at = fcntl(top->fd, F_DUPFD_CLOEXEC, 3);

	while (at >= 0 && dir != VU_NONE && below && steps-- &&
	       w->n_open < w->max_open / OPEN_AT_ONCE_PART) {
		struct vu_stat st;
		struct node *n = w->stack[below - 1];
		int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		close(at);
		at = up;
		if (up < 0 || vu_stat_fd(up, &st) || st.version.ino != dir_at(w, dir)->ino ||
		    st.version.dev != root->dev || st.mount != root->mount)
			return;
		if (n->dir == dir) {
			if (n->fd >= 0)
				return;
			n->fd = fcntl(up, F_DUPFD_CLOEXEC, 3);
			w->n_open += n->fd >= 0;
			below--;
			w->lowest = VU_MIN(w->lowest, below);
		}
		dir = dir_at(w, dir)->parent;
	}
}

static void reopen_top(struct walker *w)
{
	struct node *n = w->stack[w->n - 1];
	int root = w->s.env->guests[dir_at(w, n->dir)->guest].root;

	n->fd = vu_treeopen_dir(w->s.t, root, n->dir, O_PATH);
	if (n->fd < 0)
		return;
	w->n_open++;
	w->lowest = VU_MIN(w->lowest, w->n - 1);
	reopen_more(w);
}

static uint32_t first_alive(const struct walker *w, uint32_t i)
{
	while (i != VU_NONE && dir_at(w, i)->fate == VU_GONE)
		i = dir_at(w, i)->sibling;
	return i;
}

/* Takes the next child of the directory on top of the stack. */
static void take_child(struct walker *w, struct node **ret_node, struct vu_visit *ret)
{
	struct node *n = w->stack[w->n - 1];

	if (n->fd == -EBADF)
		reopen_top(w);
	*ret = (struct vu_visit){
		.dir = n->next,
		.depth = n->depth + 1,
		.path_bytes = n->path_bytes,
		.parent = n->fd,
		.outer = &n->rules,
	};
	n->users++;
	n->next = first_alive(w, dir_at(w, n->next)->sibling);
	if (n->next == VU_NONE) {
		n->stacked = false;
		w->n--;
		w->lowest = VU_MIN(w->lowest, w->n);
	}
	*ret_node = n;
}

static void take_root(struct walker *w, struct node **ret_node, struct vu_visit *ret)
{
	size_t g = w->next_guest++;

	*ret = (struct vu_visit){
		.dir = w->s.roots[g].dir,
		.parent = w->s.env->guests[g].root,
	};
	vu_progress_guest(w->s.env->progress, (unsigned)g);
	*ret_node = NULL;
}

/* Waits for something to visit. False: there is and will be nothing. Called with the lock held. */
static bool take(struct walker *w, struct node **ret_node, struct vu_visit *ret)
{
	for (;;) {
		if (!w->error && vu_stop_requested())
			w->error = -ECANCELED;
		if (w->error)
			break;
		if (w->n || w->next_guest < w->s.env->n_guests) {
			if (w->n)
				take_child(w, ret_node, ret);
			else
				take_root(w, ret_node, ret);
			w->busy++;
			return true;
		}
		if (!w->busy)
			break;
		w->waiting++;
		pthread_cond_wait(&w->more, &w->lock);
		w->waiting--;
	}
	pthread_cond_broadcast(&w->more);
	return false;
}

static int push(struct walker *w, const struct vu_visit *p)
{
	uint32_t child = first_alive(w, dir_at(w, p->dir)->first_child);

	if (child == VU_NONE) {
		close(p->fd);
		return 0;
	}
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 256;
		struct node **s = reallocarray(w->stack, cap, sizeof(struct node *));

		if (!s)
			return -ENOMEM;
		w->stack = s;
		w->cap = cap;
	}
	struct node *n = malloc(sizeof(*n));

	if (!n)
		return -ENOMEM;
	*n = (struct node){
		.rules = p->rules,
		.dir = p->dir,
		.next = child,
		.depth = p->depth,
		.path_bytes = p->path_bytes,
		.fd = p->fd,
		.stacked = true,
	};
	w->stack[w->n++] = n;
	w->n_open++;
	save_fds(w);
	if (w->waiting)
		pthread_cond_broadcast(&w->more);
	return 0;
}

/* Ends a visit. Called with the lock held. */
static void give(struct walker *w, struct node *parent, struct vu_visit *p, int r)
{
	w->busy--;
	if (parent) {
		parent->users--;
		node_put(w, parent);
	}
	if (!r && p->enter) {
		r = push(w, p);
		if (r)
			close(p->fd);
	}
	if (r && !w->error)
		w->error = r;
}

static int work(void *arg, unsigned i)
{
	struct walker *w = arg;
	struct vu_visitor *v = vu_visitor_new(&w->s);
	struct node *node = NULL;
	struct vu_visit p;

	(void)i;
	pthread_mutex_lock(&w->lock);
	if (!v)
		w->error = -ENOMEM;
	while (take(w, &node, &p)) {
		pthread_mutex_unlock(&w->lock);
		int r = vu_visit(v, &p);

		pthread_mutex_lock(&w->lock);
		give(w, node, &p, r);
	}
	pthread_mutex_unlock(&w->lock);
	vu_visitor_free(v);
	return 0;
}

/* The root directories: recorded ones, or new ones. */
static int roots_find(struct walker *w)
{
	struct vu_tree *t = w->s.t;
	int r = 0;

	for (uint32_t i = 0; i < t->dirs.n; i++)
		if (dir_at(w, i)->parent == VU_NONE && dir_at(w, i)->guest < w->s.env->n_guests)
			w->s.roots[dir_at(w, i)->guest].dir = i;
	for (size_t g = 0; !r && g < w->s.env->n_guests; g++) {
		if (w->s.roots[g].dir != VU_NONE)
			continue;
		r = vu_tree_dir_add(t, VU_NONE, (uint16_t)g, "", &w->s.roots[g].dir);
		if (!r)
			dir_at(w, w->s.roots[g].dir)->fate = VU_NEW;
	}
	return r;
}

static int walker_init(struct walker *w, const struct vu_walk_env *env, struct vu_tree *t)
{
	struct rlimit lim;
	int r = vu_visit_shared_init(&w->s, env, t);

	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	w->max_open = OPEN_MAX_FDS;
	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur / 4 < w->max_open)
		w->max_open = VU_MAX((size_t)lim.rlim_cur / 4, 4);
	return r ? r : roots_find(w);
}

static void walker_done(struct walker *w)
{
	while (w->n) {
		struct node *n = w->stack[--w->n];

		n->stacked = false;
		node_put(w, n);
	}
	free(w->stack);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->more);
	vu_visit_shared_done(&w->s);
}

VU_DEFINE_CLEANUP_DONE(struct walker, walker_done)

/* ---- after the walk: what the records of names say about inodes ---- */

static bool is_alive(uint8_t fate)
{
	return fate != VU_UNSEEN && fate != VU_GONE;
}

static bool inode_is_guests(const struct vu_inode *n)
{
	return !(n->flags & VU_INODE_OBJECT);
}

/* Chains the names that exist to their inodes, and only these. */
static void settle_names(struct vu_tree *t, struct vu_walk_stats *s)
{
	for (uint32_t i = 0; i < t->inodes.n; i++) {
		struct vu_inode *n = vu_tree_inode(t, i);

		if (inode_is_guests(n))
			n->first_name = VU_NONE;
	}
	for (uint32_t i = t->names.n; i-- > 0;) {
		struct vu_name *m = vu_tree_name(t, i);

		m->next = VU_NONE;
		if (!is_alive(m->fate) || !is_alive(vu_tree_dir(t, m->dir)->fate))
			continue;
		struct vu_inode *n = vu_tree_inode(t, m->inode);

		m->next = n->first_name;
		n->first_name = i;
		s->n_private++;
	}
}

static void settle_inodes(struct vu_tree *t, struct vu_walk_stats *s)
{
	for (uint32_t i = 0; i < t->inodes.n; i++) {
		struct vu_inode *n = vu_tree_inode(t, i);

		if (!inode_is_guests(n))
			continue;
		if (n->first_name == VU_NONE) {
			n->fate = VU_GONE;
			continue;
		}
		if (n->skip == VU_SKIP_NONE && n->n_links > 1 &&
		    vu_tree_count_names(t, n) < n->n_links)
			n->skip = VU_SKIP_LINKS_OUTSIDE;
		s->n_inodes++;
		s->bytes += n->size;
	}
}

static void count_dirs(const struct vu_tree *t, struct vu_walk_stats *s)
{
	for (uint32_t i = 0; i < t->dirs.n; i++) {
		const struct vu_dir *d = vu_tree_dir(t, i);

		if (!is_alive(d->fate))
			continue;
		s->n_dirs++;
		s->n_clean += !!(d->flags & VU_DIR_CLEAN);
		s->n_listed += !!(d->flags & VU_DIR_LISTED);
		s->n_excluded += !!(d->flags & VU_DIR_EXCLUDED);
		s->n_failed += !!(d->flags & VU_DIR_FAILED);
		if (d->flags & (VU_DIR_CLEAN | VU_DIR_LISTED)) {
			s->n_unified += d->n_unified;
			s->n_other += d->n_other;
		}
	}
}

int vu_walk_run(const struct vu_walk_env *env, struct vu_tree *t, struct vu_walk_stats *ret)
{
	vu_cleanup(walker_done_p) struct walker w = {0};
	struct vu_walk_stats s = {0};
	int r = walker_init(&w, env, t);

	if (r)
		return r;
	if (env->progress)
		vu_progress_begin(env->progress, VU_PHASE_WALK, 0, 0);
	r = vu_crew_run(env->jobs > 1 ? env->jobs * WALKERS_PER_JOB : 1, work, &w);
	if (r || w.error)
		return r ? r : w.error;
	settle_names(t, &s);
	settle_inodes(t, &s);
	count_dirs(t, &s);
	*ret = s;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link-farm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/iattr.h"
#include "fs/xattr.h"

struct seen seen;
struct fixture now_fs;
struct farm now;
pid_t now_child;

int sh(const char *format, ...)
{
	char cmd[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(cmd, sizeof(cmd), format, ap);
	va_end(ap);
	return system(cmd);
}

bool fs_make(struct fixture *f, const char *type)
{
	const char *mkfs = !strcmp(type, "ext4")
				   ? "mkfs.ext4 -q -F -N 150000 -E lazy_itable_init=1,nodiscard"
			   : !strcmp(type, "xfs") ? "mkfs.xfs -q -f"
						  : "mkfs.btrfs -q -f";

	*f = (struct fixture){.type = type};
	if (geteuid() || !scratch_dir(f->dir, "test-link")) {
		print_message("skipped: needs root\n");
		return false;
	}
	snprintf(f->mnt, sizeof(f->mnt), "%s/mnt", f->dir);
	if (sh("cd %s && mkdir mnt && truncate -s 700M img && %s img >/dev/null 2>&1 && "
	       "mount -o loop -t %s img mnt 2>/dev/null",
	       f->dir, mkfs, type)) {
		print_message("skipped: this machine cannot make a loop image of %s\n", type);
		sh("rm -rf %s", f->dir);
		return false;
	}
	f->mounted = true;
	return true;
}

void fs_drop(struct fixture *f)
{
	if (!f->mounted)
		return;
	sh("umount %s || { sleep 1; umount -l %s; }; rm -rf --one-file-system %s", f->mnt, f->mnt,
	   f->dir);
	f->mounted = false;
}

void put_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	futimens(fd, (struct timespec[]){{MTIME, 5}, {MTIME, 123456789}});
	close(fd);
}

void put_text(const char *path, const char *text)
{
	put_file(path, text, strlen(text));
}

char *get_text(const char *path)
{
	char *buf = calloc(1, 70000);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		free(buf);
		return NULL;
	}
	assert_true(read(fd, buf, 69999) >= 0);
	close(fd);
	return buf;
}

void guest_path(const struct farm *f, unsigned g, const char *rel, char *path)
{
	snprintf(path, 256, "%s/g%u/%s", f->fs->mnt, g, rel);
}

struct stat stat_of(const struct farm *f, unsigned g, const char *rel)
{
	char path[256];
	struct stat st;

	guest_path(f, g, rel, path);
	assert_int_equal(lstat(path, &st), 0);
	return st;
}

bool immutable(const struct farm *f, unsigned g, const char *rel)
{
	char path[256];
	uint32_t flags = 0;

	guest_path(f, g, rel, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(vu_iattr_get(fd, &flags), 0);
	close(fd);
	return flags & 0x10;
}

void farm_open(struct farm *f, const struct fixture *fs, unsigned n)
{
	char *why = NULL;

	*f = (struct farm){.fs = fs, .n = n, .jobs = 1};
	f->hash = vu_hash_new();
	for (unsigned g = 0; g < n; g++) {
		struct vu_guest guest = {.domain = strdup("")};
		struct stat st;

		assert_true(asprintf(&guest.path, "%s/g%u", fs->mnt, g) > 0);
		assert_true(asprintf(&guest.name, "g%u", g) > 0);
		mkdir(guest.path, 0755);
		assert_int_equal(stat(guest.path, &st), 0);
		guest.dev = st.st_dev;
		guest.ino = st.st_ino;
		f->roots[g] = open(guest.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		assert_int_equal(vu_guests_add_consume(&f->guests, &guest), 0);
	}
	int r = vu_pool_open(f->roots[0], VU_POOL_CREATE, &f->pool, &why);

	if (r)
		print_message("pool: %d %s\n", r, why ? why : "");
	free(why);
	assert_int_equal(r, 0);
}

static void farm_forget(struct farm *f)
{
	f->t = vu_tree_free(f->t);
	free(f->keys);
	f->keys = NULL;
	vu_plan_done(&f->plan);
	f->plan = (struct vu_plan){0};
	vu_inomap_done(&f->objects);
	f->objects = (struct vu_inomap){0};
}

void farm_close(struct farm *f)
{
	farm_forget(f);
	f->hash = vu_hash_free(f->hash);
	for (unsigned g = 0; g < f->n; g++)
		close(f->roots[g]);
	f->pool = vu_pool_close(f->pool);
	vu_guests_done(&f->guests);
}

static void read_key(struct farm *f, int fd, const struct vu_stat *st, struct vu_attr *attr,
		     struct vu_key *key)
{
	static _Thread_local char buf[65536];
	struct vu_digest d;
	ssize_t n;

	*attr = vu_stat_attr(st);
	assert_int_equal(vu_xattr_complete(fd, f->hash, 65536, attr), 0);
	vu_hash_begin(f->hash);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		vu_hash_add(f->hash, buf, (size_t)n);
	vu_hash_end(f->hash, d.b);
	assert_int_equal(vu_key_make(f->hash, "", &d, st->version.size, attr, true,
				     st->version.mtime_ns, key),
			 0);
}

static uint32_t new_inode(struct farm *f)
{
	uint32_t i;

	assert_int_equal(vu_tree_inode_add(f->t, &i), 0);
	if (i % 4096 == 0)
		f->keys = realloc(f->keys, (i + 4096) * sizeof(*f->keys));
	return i;
}

static void fill_inode(struct farm *f, uint32_t i, int fd, const struct vu_stat *st)
{
	struct vu_inode *n = vu_tree_inode(f->t, i);
	struct vu_attr attr;

	read_key(f, fd, st, &attr, &f->keys[i]);
	n->ino = st->version.ino;
	n->size = st->version.size;
	n->mtime_ns = st->version.mtime_ns;
	n->ctime_ns = st->version.ctime_ns;
	n->n_links = st->n_links;
	n->fate = VU_KEPT;
	assert_int_equal(vu_attrs_intern(f->t->attrs, &attr, &n->attr), 0);
}

static void walk_dir(struct farm *f, uint16_t g, uint32_t dir, int fd)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	struct vu_stat st;

	assert_int_equal(vu_stat_fd(fd, &st), 0);
	vu_tree_dir(f->t, dir)->ino = st.version.ino;
	vu_tree_dir(f->t, dir)->mtime_ns = st.version.mtime_ns;
	while ((e = readdir(d))) {
		uint32_t i;

		if (e->d_name[0] == '.')
			continue;
		if (vu_stat_at(fd, e->d_name, &st))
			continue;
		if (S_ISDIR(st.mode)) {
			assert_int_equal(vu_tree_dir_add(f->t, dir, g, e->d_name, &i), 0);
			walk_dir(f, g, i,
				 openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
			continue;
		}
		if (!S_ISREG(st.mode) || vu_inomap_get(&f->objects, st.version.ino, &i))
			if (!S_ISREG(st.mode) || vu_tree_inode(f->t, i)->flags & VU_INODE_OBJECT)
				continue;
		if (!vu_inomap_get(&f->objects, st.version.ino, &i)) {
			int file = openat(fd, e->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
			uint32_t flags = 0;

			if (file < 0 || vu_stat_fd(file, &st) || vu_iattr_get(file, &flags) ||
			    flags & 0x10) {
				if (file >= 0)
					close(file);
				continue;
			}
			i = new_inode(f);
			fill_inode(f, i, file, &st);
			vu_tree_inode(f->t, i)->guest = g;
			close(file);
			assert_int_equal(vu_inomap_set(&f->objects, st.version.ino, i), 0);
		}
		uint32_t name;

		assert_int_equal(vu_tree_name_add(f->t, dir, e->d_name, i, &name), 0);
		vu_tree_name(f->t, name)->fate = VU_KEPT;
	}
	closedir(d);
}

static int list_object(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct farm *f = arg;
	uint32_t i = new_inode(f), k;
	int fd = vu_pool_object_open(f->pool, key);
	struct vu_stat st;

	assert_true(fd >= 0);
	assert_int_equal(vu_stat_fd(fd, &st), 0);
	fill_inode(f, i, fd, &st);
	close(fd);
	assert_int_equal(ino, st.version.ino);
	f->keys[i] = *key;
	assert_int_equal(vu_chunks_add(&f->t->objects, 1, &k), 0);
	*vu_tree_key(f->t, k) = *key;
	vu_tree_inode(f->t, i)->key = k;
	vu_tree_inode(f->t, i)->flags = VU_INODE_OBJECT;
	return vu_inomap_set(&f->objects, ino, i);
}

static struct farm *sorting;

static int by_key(const void *a, const void *b)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct vu_inode *x = vu_tree_inode(sorting->t, i), *y = vu_tree_inode(sorting->t, j);
	int r = memcmp(&sorting->keys[i].hash, &sorting->keys[j].hash, 32);

	if (r)
		return r;
	if ((x->flags ^ y->flags) & VU_INODE_OBJECT)
		return x->flags & VU_INODE_OBJECT ? -1 : 1;
	return (i > j) - (i < j);
}

/* One object for each key; guests have one inode of a key at most in these tests. */
static void make_plan(struct farm *f)
{
	uint32_t n = f->t->inodes.n, *order = calloc(n + 1, sizeof(*order));

	f->plan.objects = calloc(n + 1, sizeof(*f->plan.objects));
	f->plan.targets = calloc(n + 1, sizeof(*f->plan.targets));
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	sorting = f;
	qsort(order, n, sizeof(*order), by_key);
	for (uint32_t i = 0, k; i < n; i = k) {
		for (k = i + 1;
		     k < n && !memcmp(&f->keys[order[i]].hash, &f->keys[order[k]].hash, 32);)
			k++;
		if (k == i + 1)
			continue;
		struct vu_plan_object *o = &f->plan.objects[f->plan.n_objects++];
		bool object = vu_tree_inode(f->t, order[i])->flags & VU_INODE_OBJECT;

		*o = (struct vu_plan_object){.key = f->keys[order[i]],
					     .keeper = order[i],
					     .first = f->plan.n_targets,
					     .keeper_is_object = object};
		for (uint32_t j = i + 1; j < k; j++)
			if (!(vu_tree_inode(f->t, order[j])->flags & VU_INODE_OBJECT)) {
				f->plan.targets[f->plan.n_targets++] = order[j];
				o->n++;
			}
		if (!o->n)
			f->plan.n_objects--;
	}
	free(order);
}

void farm_scan(struct farm *f)
{
	farm_forget(f);
	f->t = vu_tree_new();
	assert_int_equal(vu_pool_list(f->pool, list_object, f), 0);
	for (unsigned g = 0; g < f->n; g++) {
		uint32_t dir;

		assert_int_equal(vu_tree_dir_add(f->t, VU_NONE, (uint16_t)g, "", &dir), 0);
		walk_dir(f, (uint16_t)g, dir,
			 open(f->guests.v[g].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	}
	make_plan(f);
}

void on_event(void *arg, const struct vu_event *e)
{
	struct seen *s = arg;

	s->n[e->kind]++;
	if (!s->quiet && (e->kind == VU_EVENT_WARN || e->kind == VU_EVENT_DAMAGE))
		print_message("event: %s %s: %s\n", e->object ? e->object : "",
			      e->path ? e->path : "", e->text ? e->text : "");
}

static struct vu_linker_env link_env(struct farm *f, struct vu_pool **pools,
				     const struct vu_sink *sink)
{
	pools[0] = f->pool;
	return (struct vu_linker_env){
		.tree = f->t,
		.guests = &f->guests,
		.root_fds = f->roots,
		.pools = pools,
		.jobs = f->jobs,
		.mtime_exact = true,
		.max_xattr_bytes = 65536,
		.watch = &f->watch,
		.sink = sink,
	};
}

int farm_link(struct farm *f)
{
	struct vu_sink sink = {on_event, &seen};
	struct vu_pool *pools[1];
	struct vu_linker_env env = link_env(f, pools, &sink);

	memset(&seen, 0, sizeof(seen));
	return vu_linker_run(&env, &f->plan, &f->stats);
}

static int count_object(void *arg, uint64_t ino, const struct vu_key *key)
{
	(void)ino;
	(void)key;
	++*(unsigned *)arg;
	return 0;
}

unsigned n_objects(const struct farm *f)
{
	unsigned n = 0;

	assert_int_equal(vu_pool_list(f->pool, count_object, &n), 0);
	return n;
}

void stage_is_empty(const struct farm *f)
{
	assert_int_equal(vu_recover_is_needed(f->pool), 0);
}

void manifest(const struct farm *f, const char *file, bool with_dirtimes)
{
	assert_int_equal(sh("cd %s && { find g? -type d -printf '%%p %%m %%U %%G %s\\n' -o "
			    "-printf '%%p %%y %%m %%U %%G %%s %%T@ %%l\\n' | sort; "
			    "find g? -type f -print0 | sort -z | xargs -0 sha256sum; "
			    "getfattr -R -d -m - g? 2>/dev/null; } >%s/%s",
			    f->fs->mnt, with_dirtimes ? "%T@" : "", f->fs->dir, file),
			 0);
}

void same_manifest(const struct farm *f, const char *a, const char *b)
{
	assert_int_equal(sh("cd %s && cmp %s %s || { diff %s %s | head -20; false; }", f->fs->dir,
			    a, b, a, b),
			 0);
}

/* ---- unmerge, recover ---- */

int break_object(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct break_list *l = arg;

	for (unsigned g = 0; g < l->f->n; g++) {
		char cmd[512], line[512];
		struct vu_break_item it = {.guest = g, .key = *key, .ino = ino};

		snprintf(cmd, sizeof(cmd), "cd %s && find . -inum %llu -type f -printf '%%P\\n'",
			 l->f->guests.v[g].path, (unsigned long long)ino);
		FILE *p = popen(cmd, "re");

		while (fgets(line, sizeof(line), p)) {
			line[strcspn(line, "\n")] = 0;
			it.paths = reallocarray(it.paths, it.n_paths + 1, sizeof(*it.paths));
			it.paths[it.n_paths++] = strdup(line);
		}
		pclose(p);
		if (!it.n_paths)
			continue;
		l->v = reallocarray(l->v, l->n + 1, sizeof(*l->v));
		l->v[l->n++] = it;
	}
	return 0;
}

void break_list_done(struct break_list *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		for (unsigned k = 0; k < l->v[i].n_paths; k++)
			free((void *)(uintptr_t)l->v[i].paths[k]);
		free(l->v[i].paths);
	}
	free(l->v);
	*l = (struct break_list){.f = l->f};
}

int farm_unmerge(struct farm *f, struct vu_breaker_stats *ret)
{
	struct break_list l = {.f = f};
	struct vu_sink sink = {on_event, &seen};
	struct vu_pool *pools[1] = {f->pool};
	struct vu_breaker_env env = {
		.guests = &f->guests,
		.root_fds = f->roots,
		.pools = pools,
		.n_pools = 1,
		.max_xattr_bytes = 65536,
		.watch = &f->watch,
		.sink = &sink,
	};

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(vu_pool_list(f->pool, break_object, &l), 0);
	int r = vu_breaker_run(&env, l.v, l.n, ret);

	break_list_done(&l);
	return r;
}

static int find_root(void *arg, uint64_t ino, const char *path)
{
	const struct farm *f = arg;

	(void)path;
	for (unsigned g = 0; g < f->n; g++)
		if (f->guests.v[g].ino == ino)
			return f->roots[g];
	return -ENOENT;
}

int farm_try_recover(struct farm *f, bool dry_run, struct vu_recover_stats *ret)
{
	struct vu_sink sink = {on_event, &seen};
	struct vu_recover_env env = {
		.root = find_root,
		.root_arg = f,
		.max_xattr_bytes = 65536,
		.watch = &f->watch,
		.sink = &sink,
		.dry_run = dry_run,
	};

	memset(&seen, 0, sizeof(seen));
	*ret = (struct vu_recover_stats){0};
	return vu_recover_run(f->pool, &env, ret);
}

struct vu_recover_stats farm_recover(struct farm *f, bool dry_run)
{
	struct vu_recover_stats s;
	int r = farm_try_recover(f, dry_run, &s);

	if (r)
		print_message("recover: %s\n", strerror(-r));
	assert_int_equal(r, 0);
	return s;
}

void populate(struct farm *f, unsigned n)
{
	char p[256], q[256], text[64];

	for (unsigned g = 0; g < f->n; g++) {
		guest_path(f, g, "usr", p);
		mkdir(p, 0755);
		guest_path(f, g, "usr/lib", p);
		mkdir(p, 0755);
		for (unsigned i = 0; i < n; i++) {
			snprintf(text, sizeof(text), "usr/lib/f%u", i);
			guest_path(f, g, text, p);
			snprintf(text, sizeof(text), "content of %u, longer than inline\n", i);
			put_text(p, text);
		}
		guest_path(f, g, "usr/lib/f0", p);
		guest_path(f, g, "usr/twin", q);
		assert_int_equal(link(p, q), 0);
		guest_path(f, g, "usr/lib/f1", p);
		assert_int_equal(setxattr(p, "user.x", "value", 5, 0), 0);
		guest_path(f, g, "usr/lib/f2", p);
		assert_int_equal(chown(p, 7, 8), 0);
		assert_int_equal(chmod(p, 0640), 0);
		guest_path(f, g, "usr/own", p);
		snprintf(text, sizeof(text), "guest %u's own", g);
		put_text(p, text);
	}
	sync();
}

void run_on(const char *type, void (*fn)(struct farm *f))
{
	if (!fs_make(&now_fs, type))
		skip();
	farm_open(&now, &now_fs, GUESTS);
	fn(&now);
}

void run_on_ext4(void **state)
{
	run_on("ext4", (void (*)(struct farm *)) * state);
}

void run_on_xfs(void **state)
{
	run_on("xfs", (void (*)(struct farm *)) * state);
}

void run_on_btrfs(void **state)
{
	run_on("btrfs", (void (*)(struct farm *)) * state);
}

int clean_up(void **state)
{
	(void)state;
	if (now_child > 0) {
		kill(now_child, SIGKILL);
		waitpid(now_child, NULL, 0);
		now_child = 0;
	}
	if (now_fs.mounted)
		farm_close(&now);
	fs_drop(&now_fs);
	return 0;
}

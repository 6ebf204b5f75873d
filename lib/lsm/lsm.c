/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is pinned, all of it root's alone:
 *
 *   marks, keepers    maps (programs.bpf.c)
 *   links-N/PROGRAM   what holds a program at its hook; N is the process that attached it
 *
 * A program stays at its hook as long as its link is pinned, and sees the marks as long as it is there. So the order
 * is: maps, then links, then marks; and back: no marks, then links, then maps. Killed in between, either nothing is
 * marked, or all that is marked is guarded. A new keeper attaches and pins its own programs, to the same marks, before
 * it unpins those of the one before: in between both refuse.
 *
 * The directory is locked by flock(2) while there is a keeper. Kernel behaviour relied on (5.11 and later; run on 6.1
 * and 6.12): LSM programs are found by BTF, task storage, and links of them can be pinned.
 */
#include "lsm/lsm.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/guard.h"
#include "lsm/ask.h"
#include "lsm/symbols.h"

/* bpftool's, which knows nothing of our warnings */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "lsm/programs.skel.h"
#pragma GCC diagnostic pop

#define BPF_FS_MAGIC 0xcafe4a11
#define LINKS "links-"

struct vu_lsm {
	int dir;		      /* owned: VU_GUARD_DIR, locked */
	struct vu_programs *programs; /* owned */
};

static struct vu_programs *programs_free(struct vu_programs *p)
{
	vu_programs__destroy(p);
	return NULL;
}

VU_DEFINE_CLEANUP(struct vu_programs *, programs_free)
VU_DEFINE_CLEANUP(struct vu_lsm *, vu_lsm_free)

static int unable(char **ret_why, const char *why, int err)
{
	int n = err ? asprintf(ret_why, "%s: %s", why, strerror(err < 0 ? -err : err))
		    : asprintf(ret_why, "%s", why);

	if (n < 0)
		*ret_why = NULL;
	return VU_LSM_UNABLE;
}

/* ---- programs ---- */

/* Where the kernel does not say which there are, the attempts will tell. */
static bool lsm_is_off(void)
{
	_cleanup_fclose_ FILE *f = fopen("/sys/kernel/security/lsm", "re");
	char line[512] = "";

	if (!f || !fgets(line, sizeof(line), f))
		return false;
	line[strcspn(line, "\n")] = 0;
	for (char *save = NULL, *s = strtok_r(line, ",", &save); s; s = strtok_r(NULL, ",", &save))
		if (!strcmp(s, "bpf"))
			return false;
	return true;
}

/* How many arguments a hook takes, or -1 where there is none of that name. */
static int arguments_of(const struct btf *btf, const char *hook)
{
	char name[64];

	snprintf(name, sizeof(name), "bpf_lsm_%s", hook);
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, (__u32)id);

	t = t ? btf__type_by_id(btf, t->type) : NULL;
	return t ? btf_vlen(t) : -1;
}

/* The hooks without which marked inodes could be changed; of the others see programs.bpf.c. */
static bool is_needed(const char *hook)
{
	static const char *const needed[] = {
		"file_open",	  "path_truncate",     "inode_setattr",
		"inode_setxattr", "inode_removexattr", "file_ioctl",
	};

	for (size_t i = 0; i < VU_ARRAY_SIZE(needed); i++)
		if (!strcmp(needed[i], hook))
			return true;
	return false;
}

/* Programs without which there is no copy-on-write, and that are of no use without it. */
static bool is_for_asking(const struct vu_programs *p, const struct bpf_program *program)
{
	return program == p->progs.on_post_open || program == p->progs.on_link ||
	       program == p->progs.on_rename;
}

static bool fits(const struct vu_programs *p, const struct bpf_program *program, int arguments)
{
	if (is_for_asking(p, program))
		return p->rodata->may_ask;
	if (program == p->progs.on_setattr_2)
		return arguments == 2;
	return program == p->progs.on_setattr_3 ? arguments == 3 : arguments >= 0;
}

/* Has it what copy-on-write takes (programs.bpf.c)? */
static bool may_ask(struct vu_programs *p, const struct btf *btf)
{
	struct vu_ask_range functions[VU_ASK_FUNCTIONS];
	_cleanup_fclose_ FILE *f = fopen("/proc/kallsyms", "re");

	if (arguments_of(btf, "file_post_open") < 0 || !f || vu_symbols_read(f, functions))
		return false;
	memcpy(p->rodata->functions, functions, sizeof(functions));
	return true;
}

/* Leaves out what this kernel has no hook for. */
static int choose(struct vu_programs *p, bool asking, char **ret_why)
{
	struct btf *btf = btf__load_vmlinux_btf();
	struct bpf_program *program;
	int r = 0;

	if (!btf)
		return unable(ret_why, "the kernel does not describe its types (BTF)", 0);
	p->rodata->may_ask = asking && may_ask(p, btf);
	bpf_object__for_each_program(program, p->obj)
	{
		const char *hook = strchr(bpf_program__section_name(program), '/') + 1;
		int n = arguments_of(btf, hook);

		if (is_needed(hook) &&
		    (n < 0 || (!strcmp(hook, "inode_setattr") && n != 2 && n != 3)))
			r = unable(ret_why, "the kernel lacks a hook that is needed", 0);
		bpf_program__set_autoload(program, fits(p, program, n));
	}
	btf__free(btf);
	return r;
}

static int be_silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static int load_once(int marks, int keepers, bool asking, struct vu_programs **ret, char **ret_why)
{
	vu_cleanup(programs_free_p) struct vu_programs *p = NULL;
	int r;

	libbpf_set_print(be_silent);
	if (lsm_is_off())
		return unable(ret_why,
			      "BPF is not among the kernel's security modules: add bpf to the boot "
			      "parameter lsm=",
			      0);
	p = vu_programs__open();
	if (!p)
		return -ENOMEM;
	r = choose(p, asking, ret_why);
	if (!r && marks >= 0)
		r = bpf_map__reuse_fd(p->maps.marks, marks);
	if (!r && keepers >= 0)
		r = bpf_map__reuse_fd(p->maps.keepers, keepers);
	if (r)
		return r;
	r = vu_programs__load(p);
	if (r)
		return unable(ret_why, "the kernel refuses to load the guard's programs", r);
	r = vu_programs__attach(p);
	if (r)
		return unable(ret_why, "the kernel refuses to attach the guard's programs", r);
	*ret = vu_take_ptr(p);
	return 0;
}

/* marks, keepers: maps that are there; or -EBADF. Where it cannot be had with copy-on-write, without. */
static int load(int marks, int keepers, struct vu_programs **ret, char **ret_why)
{
	int r = load_once(marks, keepers, true, ret, ret_why);

	if (r != VU_LSM_UNABLE)
		return r;
	free(*ret_why);
	*ret_why = NULL;
	return load_once(marks, keepers, false, ret, ret_why);
}

int vu_lsm_probe(char **ret_why)
{
	struct vu_programs *p = NULL;
	int r = load(-EBADF, -EBADF, &p, ret_why);

	programs_free(p); /* nothing is pinned: detached */
	return r;
}

/* ---- what is pinned ---- */

static int open_dir(int *ret_dir, char **ret_why)
{
	struct statfs s;
	struct stat st;

	if (statfs("/sys/fs/bpf", &s) || (unsigned long)s.f_type != BPF_FS_MAGIC)
		return unable(ret_why,
			      "no bpf file system is mounted at /sys/fs/bpf (mount -t bpf bpf "
			      "/sys/fs/bpf)",
			      0);
	if (mkdir(VU_GUARD_DIR, 0700) && errno != EEXIST)
		return -errno;
	_cleanup_fd_ int dir = open(VU_GUARD_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return -errno;
	if (fstat(dir, &st))
		return -errno;
	if (!vu_guard_dir_is_safe(&st))
		return unable(ret_why, VU_GUARD_DIR " is not for root alone: remove it", 0);
	if (flock(dir, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? VU_LSM_BUSY : -errno;
	*ret_dir = vu_take_fd(dir);
	return 0;
}

/* Returns the fd, -EBADF where nothing is pinned, VU_LSM_OTHER, or another negative errno. */
static int open_map(const char *path, struct bpf_map *wanted, int *ret)
{
	_cleanup_fd_ int fd = bpf_obj_get(path);
	struct bpf_map_info info = {0};
	__u32 size = sizeof(info);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	if (info.type != bpf_map__type(wanted) || info.key_size != bpf_map__key_size(wanted) ||
	    info.value_size != bpf_map__value_size(wanted))
		return VU_LSM_OTHER;
	*ret = vu_take_fd(fd);
	return 0;
}

static int open_maps(int *marks, int *keepers)
{
	vu_cleanup(programs_free_p) struct vu_programs *p = vu_programs__open();
	int r = p ? open_map(VU_GUARD_MARKS, p->maps.marks, marks) : -ENOMEM;

	return r ? r : open_map(VU_GUARD_KEEPERS, p->maps.keepers, keepers);
}

static int pin_map(struct bpf_map *map, const char *path)
{
	return bpf_obj_pin(bpf_map__fd(map), path) && errno != EEXIST ? -errno : 0;
}

/* Unpins what is in a directory of links, and the directory. */
static int remove_links(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while ((errno = 0, e = readdir(d)))
		if (e->d_name[0] != '.' && unlinkat(dirfd(d), e->d_name, 0))
			return -errno;
	if (errno)
		return -errno;
	return unlinkat(parent, name, AT_REMOVEDIR) ? -errno : 0;
}

/* But those of this name (or NULL). */
static int remove_all_links(int dir, const char *but)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while (!r && (errno = 0, e = readdir(d)))
		if (!strncmp(e->d_name, LINKS, strlen(LINKS)) &&
		    (!but || strcmp(e->d_name, but) != 0))
			r = remove_links(dir, e->d_name);
	return r ? r : -errno;
}

static int pin_link(const struct bpf_object_skeleton *s, int i, const char *links)
{
	_cleanup_free_ char *path = NULL;
	struct bpf_link *link = *s->progs[i].link;

	if (!link) /* its program was left out */
		return 0;
	if (asprintf(&path, VU_GUARD_DIR "/%s/%s", links, s->progs[i].name) < 0)
		return path = NULL, -ENOMEM;
	return bpf_link__pin(link, path);
}

static int pin_links(const struct vu_lsm *l, const char *links)
{
	const struct bpf_object_skeleton *s = l->programs->skeleton;
	int r = mkdirat(l->dir, links, 0700) ? -errno : 0;

	for (int i = 0; !r && i < s->prog_cnt; i++)
		r = pin_link(s, i, links);
	return r;
}

/* A directory of that name may be left by a process that had the number before. */
static int pin_all(const struct vu_lsm *l)
{
	char links[40];
	int r = pin_map(l->programs->maps.marks, VU_GUARD_MARKS), n = (int)getpid();

	if (!r)
		r = pin_map(l->programs->maps.keepers, VU_GUARD_KEEPERS);
	if (r)
		return r;
	do
		snprintf(links, sizeof(links), LINKS "%d", n++);
	while (!faccessat(l->dir, links, F_OK, 0));
	r = pin_links(l, links);
	if (!r)
		return remove_all_links(l->dir, links);
	(void)remove_links(l->dir, links);
	return r;
}

static int become_keeper(const struct vu_lsm *l)
{
	_cleanup_fd_ int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	__u32 one = 1;

	if (self < 0)
		return -errno;
	return bpf_map_update_elem(bpf_map__fd(l->programs->maps.keepers), &self, &one, BPF_ANY)
		       ? -errno
		       : 0;
}

static int explain(int r, char **ret_why)
{
	if (r == VU_LSM_BUSY)
		*ret_why = strdup("another vunify is its keeper");
	if (r == VU_LSM_OTHER)
		*ret_why =
			strdup("the guard in force is of another version of vunify, with which it "
			       "has to be ended (cowd --lsm --off)");
	return r;
}

int vu_lsm_enter(struct vu_lsm **ret, char **ret_why)
{
	vu_cleanup(vu_lsm_free_p) struct vu_lsm *l = calloc(1, sizeof(*l));
	_cleanup_fd_ int marks = -EBADF, keepers = -EBADF;
	int r;

	*ret_why = NULL;
	if (!l)
		return -ENOMEM;
	l->dir = -EBADF;
	r = open_dir(&l->dir, ret_why);
	if (!r)
		r = open_maps(&marks, &keepers);
	if (!r)
		r = load(marks, keepers, &l->programs, ret_why);
	if (!r)
		r = pin_all(l);
	if (!r)
		r = become_keeper(l);
	if (r)
		return explain(r, ret_why);
	*ret = vu_take_ptr(l);
	return 0;
}

int vu_lsm_marks(const struct vu_lsm *l)
{
	return bpf_map__fd(l->programs->maps.marks);
}

bool vu_lsm_asks(const struct vu_lsm *l, struct vu_lsm_asking *ret)
{
	if (!l->programs->rodata->may_ask)
		return false;
	*ret = (struct vu_lsm_asking){
		.asks = bpf_map__fd(l->programs->maps.asks),
		.held = bpf_map__fd(l->programs->maps.held),
		.refusals = bpf_map__fd(l->programs->maps.refusals),
		.names_missed = (const uint64_t *)&l->programs->bss->names_missed,
	};
	return true;
}

int vu_lsm_end(struct vu_lsm *l)
{
	struct vu_guard_mark mark;
	int r = vu_guard_next(vu_lsm_marks(l), NULL, &mark);

	if (r != -ENOENT)
		return r ? r : VU_LSM_MARKED;
	r = remove_all_links(l->dir, NULL);
	if (!r && (unlinkat(l->dir, "keepers", 0) || unlinkat(l->dir, "marks", 0)))
		r = -errno;
	if (!r && rmdir(VU_GUARD_DIR))
		r = -errno;
	return r;
}

struct vu_lsm *vu_lsm_free(struct vu_lsm *l)
{
	if (!l)
		return NULL;
	l->programs = programs_free(l->programs);
	vu_close_p(&l->dir);
	free(l);
	return NULL;
}

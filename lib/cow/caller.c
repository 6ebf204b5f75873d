/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

static bool has_cap(const struct vu_caller *c, unsigned cap)
{
	return c->caps >> cap & 1;
}

/* The line of a status file that begins so; behind the name and its tab. */
static const char *line_of(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, name, len))
			return p + len;
	}
	return NULL;
}

/* Of real, effective, saved and file system the first and the fourth. */
static int read_ids(const char *line, uint32_t *ret_real, uint32_t *ret_fs)
{
	unsigned u[4];

	if (!line || sscanf(line, "%u %u %u %u", &u[0], &u[1], &u[2], &u[3]) != 4)
		return -EINVAL;
	*ret_real = u[0];
	*ret_fs = u[3];
	return 0;
}

static void read_groups(struct vu_caller *c, const char *line)
{
	char *end;

	for (const char *p = line; p && *p && *p != '\n'; p = end) {
		unsigned long g = strtoul(p, &end, 10);

		if (end == p)
			return;
		if (c->n_groups == VU_CALLER_GROUPS) {
			c->any_group = true;
			return;
		}
		c->groups[c->n_groups++] = (uint32_t)g;
	}
}

int vu_caller_read(int proc, pid_t tid, struct vu_caller *ret)
{
	char path[32], text[4096];
	const char *caps, *no_new_privs;
	ssize_t n;

	snprintf(path, sizeof(path), "%d/status", tid);
	_cleanup_fd_ int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n ? -errno : -ESRCH;
	text[n] = 0;
	*ret = (struct vu_caller){0};
	caps = line_of(text, "CapEff:");
	no_new_privs = line_of(text, "NoNewPrivs:\t");
	ret->no_new_privs = no_new_privs ? *no_new_privs == '1' : -1;
	if (read_ids(line_of(text, "Uid:"), &ret->uid, &ret->fsuid) ||
	    read_ids(line_of(text, "Gid:"), &ret->gid, &ret->fsgid) || !caps) {
		/* so many groups that the rest is cut off */
		ret->any_group = true;
		ret->caps = UINT64_MAX;
		return 0;
	}
	ret->caps = strtoull(caps, NULL, 16);
	read_groups(ret, line_of(text, "Groups:"));
	return 0;
}

#define ROOT_CAPS ((UINT32_C(1) << CAP_DAC_OVERRIDE) | (UINT32_C(1) << CAP_FOWNER))

/* What the user namespace of a process is: an inode. */
static int read_namespace(int proc, const char *pid, struct stat *ret)
{
	char path[40];

	snprintf(path, sizeof(path), "%s/ns/user", pid);
	return fstatat(proc, path, ret, 0) ? -errno : 0;
}

/* No module has a profile for him; where none has any, the file cannot be read, or is empty. */
static bool is_unconfined(int proc, const char *pid, bool *ret_nobody)
{
	char path[48], text[64] = "";

	snprintf(path, sizeof(path), "%s/attr/current", pid);
	_cleanup_fd_ int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);

	*ret_nobody = fd < 0 && errno == ENOENT;
	if (fd < 0)
		return *ret_nobody;
	if (read(fd, text, sizeof(text) - 1) < 0)
		return *ret_nobody = errno == EINVAL;
	return !*text || !strncmp(text, "unconfined", strlen("unconfined"));
}

int vu_caller_ours_read(int proc, struct vu_caller_ours *ret)
{
	struct stat st;
	bool nobody;
	int r = read_namespace(proc, "self", &st);

	if (r)
		return r;
	(void)is_unconfined(proc, "self", &nobody);
	*ret = (struct vu_caller_ours){
		.dev = st.st_dev, .ino = st.st_ino, .nobody_is_confined = nobody};
	return 0;
}

static bool has_root_caps(pid_t tid)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, tid};
	struct __user_cap_data_struct d[2];

	return !syscall(SYS_capget, &h, d) && (d[0].effective & ROOT_CAPS) == ROOT_CAPS;
}

static bool in_our_user_namespace(const struct vu_caller_ours *ours, int proc, const char *pid)
{
	struct stat st;

	return !read_namespace(proc, pid, &st) && st.st_ino == ours->ino && st.st_dev == ours->dev;
}

/* The user that they are kept for can be another one (mke2fs -E resuid); that is root then in vain. */
bool vu_caller_may_use_reserve(const struct vu_caller *c, const struct vu_caller_ours *ours,
			       int proc, pid_t tid)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", tid);
	return !c->fsuid ||
	       (has_cap(c, CAP_SYS_RESOURCE) && in_our_user_namespace(ours, proc, pid));
}

bool vu_caller_is_root(const struct vu_caller_ours *ours, int proc, pid_t tid)
{
	char pid[16];
	bool nobody;

	snprintf(pid, sizeof(pid), "%d", tid);
	return has_root_caps(tid) && in_our_user_namespace(ours, proc, pid) &&
	       (ours->nobody_is_confined || is_unconfined(proc, pid, &nobody));
}

static bool in_group(const struct vu_caller *c, uint32_t gid)
{
	if (c->any_group || c->fsgid == gid)
		return true;
	for (unsigned i = 0; i < c->n_groups; i++)
		if (c->groups[i] == gid)
			return true;
	return false;
}

static bool may_write(const struct vu_caller *c, const struct vu_stat *st)
{
	if (has_cap(c, CAP_DAC_OVERRIDE))
		return true;
	if (c->fsuid == st->uid)
		return st->mode & S_IWUSR;
	if (in_group(c, st->gid) && st->mode & S_IWGRP)
		return true;
	/* where there is an ACL the group's bits are its mask: somebody may have them by name */
	return st->mode & (S_IWOTH | S_IWGRP);
}

static bool is_owner(const struct vu_caller *c, const struct vu_stat *st)
{
	return c->fsuid == st->uid || has_cap(c, CAP_FOWNER);
}

static bool may_remove(const struct vu_caller *c, const struct vu_stat *st,
		       const struct vu_stat *dir)
{
	if (!may_write(c, dir))
		return false;
	return !(dir->mode & S_ISVTX) || is_owner(c, st) || is_owner(c, dir);
}

bool vu_caller_may(const struct vu_caller *c, enum vu_call_op op, const struct vu_stat *st,
		   const struct vu_stat *dir)
{
	switch (op) {
	case VU_CALL_OPEN:
	case VU_CALL_TRUNCATE:
	case VU_CALL_ACCESS:
		return may_write(c, st);
	case VU_CALL_UNLINK:
	case VU_CALL_RMDIR:
	case VU_CALL_RENAME:
	case VU_CALL_EXCHANGE:
		return may_remove(c, st, dir);
	case VU_CALL_CHOWN:
		return is_owner(c, st) || has_cap(c, CAP_CHOWN);
	case VU_CALL_CHMOD:
	case VU_CALL_SETATTR:
		return is_owner(c, st);
	case VU_CALL_LINK:
	case VU_CALL_UTIMES:
	case VU_CALL_SETXATTR:
	case VU_CALL_REMOVEXATTR:
		return is_owner(c, st) || may_write(c, st) || has_cap(c, CAP_SYS_ADMIN) ||
		       has_cap(c, CAP_SETFCAP);
	}
	return true;
}

int vu_caller_access(const struct vu_caller *c, uint32_t mode, bool real, const struct vu_stat *st,
		     bool has_acl)
{
	/* reading, searching, writing: the bits are those of R_OK, X_OK and W_OK */
	uint32_t owner = st->mode >> 6 & 7, group = st->mode >> 3 & 7, other = st->mode & 7;

	if (real && (c->uid != c->fsuid || c->gid != c->fsgid))
		return 1;
	if (has_cap(c, CAP_DAC_OVERRIDE))
		return mode & X_OK && !((owner | group | other) & X_OK) ? -EACCES : 0;
	if (c->fsuid == st->uid)
		return mode & ~owner ? -EACCES : 0;
	/* where there is an ACL the group's bits are its mask: nobody has by it what is not in them */
	if (mode & ~(group | other))
		return -EACCES;
	if (has_acl || (c->any_group && group != other))
		return 1;
	return mode & ~(in_group(c, st->gid) ? group : other) ? -EACCES : 0;
}

int vu_caller_search(const struct vu_caller *c, bool real, const struct vu_stat *dir, bool has_acl)
{
	bool other = real && (c->uid != c->fsuid || c->gid != c->fsgid);

	if (!other && (has_cap(c, CAP_DAC_OVERRIDE) || has_cap(c, CAP_DAC_READ_SEARCH)))
		return 0;
	return vu_caller_access(c, X_OK, real, dir, has_acl);
}

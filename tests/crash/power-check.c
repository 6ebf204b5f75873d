/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "power-check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/iattr.h"
#include "link/identify.h"
#include "power-disk.h"

/* ---- running ---- */

void power_command(const struct power_env *e, const char *catalog, const char *const *args,
		   const char **argv, char (*buf)[512])
{
	int n = 0, b = 0;

	snprintf(buf[b++], 512, "%s/vunify.conf", e->state);
	argv[n++] = e->vunify;
	argv[n++] = "--config";
	argv[n++] = buf[0];
	argv[n++] = "--catalog";
	argv[n++] = catalog;
	argv[n++] = args[0];
	for (int i = 1; i < POWER_ARGS && args[i]; i++) {
		snprintf(buf[b], 512, "%s%s%s", *args[i] == '-' ? "" : e->farm->top,
			 *args[i] == '-' ? "" : "/", args[i]);
		argv[n++] = buf[b++];
	}
	argv[n] = NULL;
}

static int run(const char *const *argv, const char *output)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		int out = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		dup2(out, 1);
		dup2(out, 2);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(126);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void tell_output(const char *output)
{
	FILE *f = fopen(output, "r");
	char line[400];

	for (int i = 0; f && i < 12 && fgets(line, sizeof(line), f); i++)
		printf("#   %.390s%s", line, strchr(line, '\n') ? "" : "\n");
	if (f)
		fclose(f);
}

static int vunify(const struct power_env *e, const char *catalog, const char *const *args,
		  const char *what)
{
	const char *argv[POWER_ARGS + 8];
	char buf[POWER_ARGS + 1][512], output[512];

	snprintf(output, sizeof(output), "%s/output.%d", e->state, getpid());
	power_command(e, catalog, args, argv, buf);
	int r = run(argv, output);

	if (!r || (r == 3 && e->warns))
		return 0;
	printf("# %s: vunify %s ended with %d\n", what, args[0], r);
	tell_output(output);
	return 1;
}

/* ---- the pool ---- */

struct looking {
	const char *what;
	bool settled;
	int wrong;
};

static void complain(struct looking *l, const char *path, const char *text)
{
	l->wrong++;
	printf("# %s: %s: %s\n", l->what, path, text);
}

static void look_at_object(struct looking *l, const char *path, const struct vu_key *key)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint32_t flags = 0;
	struct vu_attr attr;
	struct vu_stat st;

	if (fd < 0 || vu_iattr_get(fd, &flags))
		return complain(l, path, "an object that cannot be opened");
	if (!(flags & 0x10)) {
		if (l->settled)
			complain(l, path, "an object without its flag");
		return;
	}
	if (vu_identify(fd, key, NULL, NULL, SIZE_MAX, &st, &attr) != 1)
		complain(l, path, "an object that is not what its name says");
	else if (l->settled && st.n_links < 2)
		complain(l, path, "an object that nobody has");
}

static void look_in_pool(struct looking *l, const char *dir)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[1024];
		struct stat st;
		struct vu_key key;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (lstat(path, &st))
			complain(l, path, "cannot be looked at");
		else if (S_ISDIR(st.st_mode))
			look_in_pool(l, path);
		else if (!vu_key_parse(e->d_name, &key) && strstr(path, "/objects/"))
			look_at_object(l, path, &key);
		else if (l->settled &&
			 (st.st_size || (strcmp(e->d_name, "lock") && strcmp(e->d_name, "claims") &&
					 strncmp(e->d_name, "journal", 7))))
			complain(l, path, "does not belong here");
	}
}

int power_check_pool(const struct power_env *e, const char *what, bool settled)
{
	struct looking l = {.what = what, .settled = settled};
	char dir[512];

	snprintf(dir, sizeof(dir), "%s/.vunify", e->mnt);
	look_in_pool(&l, dir);
	return l.wrong;
}

/* ---- one state ---- */

int power_mount(const struct power_env *e, int image)
{
	const char *options = !strcmp(e->fs, "xfs") ? "nouuid" : "";
	char name[32];
	int loop = power_loop(image, name), r = 0;

	if (loop < 0)
		return loop;
	if (mount(name, e->mnt, e->fs, MS_NOATIME, options))
		r = -errno;
	close(loop);
	return r;
}

static int fsck(const struct power_env *e, int image, const char *what)
{
	char path[64], output[512];
	const char *ext4[] = {"e2fsck", "-fn", path, NULL};
	const char *xfs[] = {"xfs_repair", "-n", "-f", path, NULL};
	const char *btrfs[] = {"btrfs", "check", "--readonly", path, NULL};

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), image);
	snprintf(output, sizeof(output), "%s/output.%d", e->state, getpid());
	int r = run(*e->fs == 'e' ? ext4 : *e->fs == 'x' ? xfs : btrfs, output);

	if (!r)
		return 0;
	printf("# %s: the file system's own checker ended with %d\n", what, r);
	tell_output(output);
	return 1;
}

static int copy_catalog(const struct power_env *e, int n, const char *to)
{
	char from[512];
	const char *argv[] = {"cp", from, to, NULL};

	unlink(to);
	snprintf(from, sizeof(from), "%s/catalog.%d", e->state, n);
	return n < 0 ? 0 : run(argv, "/dev/null");
}

/* Nothing that is there now may have changed since. */
static int changed(const struct power_farm *f, const struct power_seen *then,
		   const struct power_seen *now, const char *what)
{
	int wrong = 0;

	for (int i = 0; i < f->n; i++)
		if (then[i].version != -1 && then[i].digest != now[i].digest) {
			wrong++;
			printf("# %s: %s has changed\n", what, f->p[i].name);
		}
	return wrong;
}

/* Lines of both, one for each path in the same order. */
static void tell_difference(const char *have, const char *want)
{
	while (*have && *want) {
		int n = (int)strcspn(have, "\n"), m = (int)strcspn(want, "\n");

		if (n != m || strncmp(have, want, (size_t)n))
			printf("#   %.*s; wanted: %.*s\n", n, have, m, want);
		have += n + 1;
		want += m + 1;
	}
}

static int go_on(const struct power_env *e, const struct power_cut *c, const char *catalog,
		 const struct power_seen *then)
{
	static struct power_seen seen[POWER_PATHS];
	const struct power_op *op = &e->ops[c->op], *again = &e->ops[op->again];
	char what[160];
	int wrong;

	snprintf(what, sizeof(what), "recovered %s", c->what);
	wrong = power_farm_look(e->farm, c->instant, what, seen);
	wrong += changed(e->farm, then, seen, what);
	wrong += power_check_pool(e, what, true);
	if (wrong)
		return wrong;
	bool complete = power_farm_complete(e->farm, op->began, seen);

	snprintf(what, sizeof(what), "after one more run %s", c->what);
	wrong = vunify(e, catalog, again->args, what);
	wrong += power_farm_look(e->farm, c->instant, what, seen);
	wrong += power_check_pool(e, what, true);
	_cleanup_free_ char *shape = power_farm_shape(e->farm, seen);

	if (complete && again->shape && shape && strcmp(shape, again->shape)) {
		printf("# %s: other links than without a power cut:\n", what);
		tell_difference(shape, again->shape);
		wrong++;
	}
	return wrong;
}

int power_check(const struct power_env *e, const struct power_cut *c, int image)
{
	static const char *const recover[POWER_ARGS] = {"recover", "g1", "g2", "g3"};
	const char *args[POWER_ARGS];
	static struct power_seen seen[POWER_PATHS];
	char what[160], catalog[512], path[512];
	int wrong = power_mount(e, image);

	snprintf(what, sizeof(what), "cut %s", c->what);
	if (wrong) {
		printf("# %s: cannot be mounted: %s\n", what, strerror(-wrong));
		return 1;
	}
	snprintf(catalog, sizeof(catalog), "%s/check.%d", e->state, getpid());
	if (e->catalog_inside)
		snprintf(catalog, sizeof(catalog), "%s/catalog.db", e->mnt);
	else if (copy_catalog(e, c->catalog, catalog))
		return 1;
	wrong = power_farm_look(e->farm, c->instant, what, seen);
	wrong += power_check_pool(e, what, false);
	memcpy(args, recover, sizeof(args));
	snprintf(path, sizeof(path), "%s/g3", e->farm->top);
	if (access(path, F_OK))
		args[3] = NULL;
	if (!wrong)
		wrong = vunify(e, catalog, args, what);
	if (!wrong)
		wrong = go_on(e, c, catalog, seen);
	unlink(catalog);
	if (umount(e->mnt)) {
		printf("# %s: cannot be unmounted: %s\n", what, strerror(errno));
		umount2(e->mnt, MNT_DETACH);
		wrong++;
	}
	if (!wrong && c->fsck)
		wrong = fsck(e, image, what);
	return wrong;
}

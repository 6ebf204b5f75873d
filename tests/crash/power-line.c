/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "power-line.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum before {
	B_BEGIN,  /* two guests with files that are on disk, and some that are not */
	B_JOIN,	  /* the third one comes, and all get more files */
	B_KILL,	  /* the command is killed at some call */
	B_CHANGE, /* the second one changes files of its own, and all get more files */
	B_SLIP, /* a guest has an object open for writing since a moment in which a run was killed */
	B_NONE,
};

struct step {
	enum before before;
	int again; /* with which operation one goes on after a cut in this one */
	const char *args[POWER_ARGS];
};

static const struct step main_line[] = {
	{B_BEGIN, 0, {"scan", "g1", "g2"}},
	{B_JOIN, 3, {"scan", "g1", "g2", "g3"}},
	{B_NONE, 3, {"recover", "g1", "g2", "g3"}},
	{B_NONE, 3, {"scan", "g1", "g2", "g3"}},
	{B_NONE, 3, {"unmerge", "g2"}},
	{B_CHANGE, 5, {"scan", "g1", "g2", "g3"}},
	{B_NONE, 6, {"unmerge", "g1", "g2", "g3"}},
	{B_NONE, 0, {NULL}},
};

static const struct step reflink_line[] = {
	{B_BEGIN, 0, {"scan", "--mode=reflink", "g1", "g2"}},
	{B_JOIN, 1, {"scan", "--mode=reflink", "g1", "g2", "g3"}},
	{B_NONE, 0, {NULL}},
};

static const struct step evict_line[] = {
	{B_BEGIN, 0, {"scan", "g1", "g2"}},
	{B_JOIN, 1, {"scan", "g1", "g2", "g3"}},
	{B_SLIP, 3, {"recover", "g1", "g2", "g3"}},
	{B_NONE, 3, {"scan", "g1", "g2", "g3"}},
	{B_NONE, 0, {NULL}},
};

static const struct step *steps;

int power_line_choose(struct power_line *l, const char *name)
{
	steps = !strcmp(name, "main")	   ? main_line
		: !strcmp(name, "reflink") ? reflink_line
		: !strcmp(name, "evict")   ? evict_line
					   : NULL;
	if (!steps)
		return -EINVAL;
	l->e->warns = steps == evict_line;
	for (l->n_ops = 0; steps[l->n_ops].args[0]; l->n_ops++) {
		struct power_op *o = &l->e->ops[l->n_ops];

		*o = (struct power_op){.again = steps[l->n_ops].again};
		memcpy(o->args, steps[l->n_ops].args, sizeof(o->args));
	}
	return 0;
}

/* ---- what else goes on ---- */

/*
 * Somebody else syncs a file of his: all metadata that was changed before reaches the disk, too, but
 * not the data of other files. Now and then somebody syncs everything.
 */
static void noise(const struct power_line *l)
{
	char path[512];
	uint64_t id = 0;
	long dice = random() % 1000;

	if (l->no_noise || dice >= 300)
		return;
	snprintf(path, sizeof(path), "%s/noise", l->e->mnt);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	if (dice < 3)
		syncfs(fd);
	else if (!strcmp(l->e->fs, "btrfs") &&
		 (pwrite(fd, &dice, 1, 0) != 1 || ioctl(fd, BTRFS_IOC_START_SYNC, &id) ||
		  ioctl(fd, BTRFS_IOC_WAIT_SYNC, &id)))
		fprintf(stderr, "power: no commit: %s\n", strerror(errno));
	else if (pwrite(fd, &dice, sizeof(dice), 0) != sizeof(dice) || fsync(fd))
		fprintf(stderr, "power: no fsync: %s\n", strerror(errno));
	close(fd);
}

static bool is_lie(const struct power_line *l, int sync)
{
	for (int i = 0; i < l->n_lies; i++)
		if ((l->lies[i].op < 0 || l->lies[i].op == l->now_op) &&
		    (l->lies[i].nth < 0 || l->lies[i].nth == sync))
			return true;
	return false;
}

struct telling {
	struct power_line *l;
	uint32_t kill_at;
};

/* The catalog is written when the last change of links is done. */
static void on_catalog(void *arg)
{
	const struct telling *t = arg;
	struct power_op *op = &t->l->e->ops[t->l->now_op];

	if (!op->catalog)
		op->catalog = t->l->e->farm->now(t->l->e->farm->arg);
}

static enum power_act on_call(void *arg, uint32_t n, int sync, long nr)
{
	const struct telling *t = arg;
	struct power_line *l = t->l;

	if (nr == SYS_linkat || nr == SYS_renameat2 || nr == SYS_ioctl)
		l->e->ops[l->now_op].catalog = 0;

	l->n_calls[l->now_op] = n + 1;
	if (n == t->kill_at)
		return POWER_KILL;
	noise(l);
	if (l->on_call && l->on_call(l->arg, l->now_op, n)) {
		l->stopped = true;
		return POWER_KILL;
	}
	return sync >= 0 && is_lie(l, sync) ? POWER_LIE : POWER_GO;
}

/* ---- steps ---- */

/* Opens one of the second guest's names of an object for writing, in a moment without the flag. */
static int slip(const struct power_line *l)
{
	char path[512];
	long flags = 0;

	snprintf(path, sizeof(path), "%s/g2/usr/c/c3", l->e->farm->top);
	int fd = open(path, O_RDONLY | O_CLOEXEC), w = -1;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return -errno;
	flags &= ~FS_IMMUTABLE_FL;
	if (!ioctl(fd, FS_IOC_SETFLAGS, &flags))
		w = open(path, O_WRONLY | O_CLOEXEC);
	close(fd);
	return w;
}

static int before(struct power_line *l, enum before b)
{
	struct power_farm *f = l->e->farm;
	int r = 0;

	switch (b) {
	case B_BEGIN:
		r = power_farm_begin(f);
		return r ? r : power_farm_wave(f, 1, 2);
	case B_JOIN:
		r = power_farm_join(f, 2);
		return r ? r : power_farm_wave(f, 2, 3);
	case B_CHANGE:
		r = power_farm_replace(f, 1);
		return r ? r : power_farm_wave(f, 3, 3);
	case B_SLIP:
		return slip(l);
	default:
		return 0;
	}
}

static int keep_catalog(const struct power_line *l, const char *catalog)
{
	char command[1200];

	if (l->e->catalog_inside)
		return 0;
	snprintf(command, sizeof(command), "cp '%s' '%s/catalog.%d'", catalog, l->e->state,
		 l->now_op);
	return system(command) ? -EIO : 0;
}

static int run(struct power_line *l, const struct power_op *op, bool to_be_killed)
{
	const char *argv[POWER_ARGS + 8];
	char buf[POWER_ARGS + 1][512], output[512], catalog[512];
	struct telling t = {.l = l,
			    .kill_at = to_be_killed ? 30 + (uint32_t)random() % 300 : UINT32_MAX};
	struct stat st, other;

	snprintf(output, sizeof(output), "%s/output", l->e->state);
	snprintf(catalog, sizeof(catalog), "%s/catalog%s",
		 l->e->catalog_inside ? l->e->mnt : l->e->state, ".db");
	power_command(l->e, catalog, op->args, argv, buf);
	if (stat(l->e->mnt, &st) || stat(l->e->state, &other))
		return -errno;
	int r = power_trace_run(&(struct power_trace){.argv = argv,
						      .output = output,
						      .dev = st.st_dev,
						      .other = other.st_dev,
						      .on_other = on_catalog,
						      .on_call = on_call,
						      .arg = &t});

	if (l->stopped)
		return 0;
	if (r && r != 3 && !to_be_killed) {
		printf("# vunify %s ended with %d: see %s\n", op->args[0], r, output);
		return -EIO;
	}
	return keep_catalog(l, catalog);
}

int power_line_tell(struct power_line *l)
{
	static struct power_seen seen[POWER_PATHS];
	int held = -1;

	srandom(l->seed);
	for (int i = 0; i < l->n_ops && !l->stopped; i++) {
		struct power_op *op = &l->e->ops[i];
		bool to_be_killed = i + 1 < l->n_ops && !strcmp(op[1].args[0], "recover") &&
				    steps[i + 1].before == B_NONE;
		int r = before(l, steps[i].before);

		if (r < 0)
			return r;
		if (steps[i].before == B_SLIP)
			held = r;
		op->began = l->e->farm->now(l->e->farm->arg);
		l->now_op = i;
		r = run(l, op, to_be_killed);
		if (r)
			return r;
		op->ended = l->e->farm->now(l->e->farm->arg);
		if (!op->catalog)
			op->catalog = op->ended;
		if (l->stopped)
			break;
		if (power_farm_look(l->e->farm, op->ended,
				    to_be_killed ? "cut short" : "undisturbed", seen))
			return -EUCLEAN;
		/* who has slipped in is gone with the power: evicted or not, both is in order */
		free(op->shape);
		op->shape = held >= 0 ? NULL : power_farm_shape(l->e->farm, seen);
	}
	if (held >= 0)
		close(held);
	return 0;
}

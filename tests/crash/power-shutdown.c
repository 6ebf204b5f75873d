/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "power-shutdown.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "power-disk.h"

#define SHUTDOWN _IOR('X', 125, __u32)

static const char *const how[] = {"all flushed", "log flushed", "nothing flushed"};

struct cutting {
	struct power_line *l;
	uint32_t clock;
	int op; /* where to cut; -1: nowhere */
	uint32_t call;
	__u32 flag;
	int error;
};

/* Instants are what happened since the beginning. */
static uint32_t now(void *arg)
{
	struct cutting *c = arg;

	return ++c->clock;
}

static bool on_call(void *arg, int op, uint32_t n)
{
	struct cutting *c = arg;

	if (op != c->op || n != c->call)
		return false;
	int fd = open(c->l->e->mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, SHUTDOWN, &c->flag))
		c->error = -errno;
	close(fd);
	return true;
}

/* Tells the story on a fresh disk, which is then not mounted any more. Returns it, or -errno. */
static int tell(struct cutting *c, int base)
{
	struct power_farm *f = c->l->e->farm;
	const struct power_farm empty = {.top = f->top, .now = now, .arg = c};
	int image = power_memory_copy(base), r = image < 0 ? image : 0;
	char catalog[512];

	*f = empty;
	c->clock = 0;
	c->l->stopped = false;
	snprintf(catalog, sizeof(catalog), "%s/catalog.db", c->l->e->state);
	unlink(catalog);
	if (!r)
		r = power_mount(c->l->e, image);
	if (r)
		return r;
	r = power_line_tell(c->l);
	for (int i = 0; i < 50 && umount(c->l->e->mnt); i++)
		usleep(100000);
	r = r ? r : c->error;
	if (!r)
		return image;
	close(image);
	return r;
}

static int cut(struct cutting *c, int base, uint32_t i)
{
	const struct power_env *e = c->l->e;
	struct power_cut k = {.fsck = i % 4 == 0};

	c->l->seed += 1000;
	c->op = (int)(i % (uint32_t)c->l->n_ops);
	c->call = (uint32_t)random() % c->l->n_calls[c->op];
	c->flag = i / 2 % 3;
	/* a run that is killed may come to its end before */
	int image = tell(c, base);

	if (image < 0)
		return image;
	k.op = c->l->now_op;
	k.instant = now(c);
	k.catalog = i % 2 ? k.op - 1 : -1;
	snprintf(k.what, sizeof(k.what), "%s, call %u of %s %d, %s, catalog %d", e->fs, c->call,
		 e->ops[k.op].args[0], k.op, how[c->flag], k.catalog);
	int wrong = power_check(e, &k, image);

	close(image);
	return wrong > 0;
}

int power_shutdown_run(struct power_line *l, int base, uint32_t n)
{
	struct cutting c = {.l = l, .op = -1};
	int lost = 0, r;

	power_memory_thin(base);
	l->on_call = on_call;
	l->arg = &c;
	r = tell(&c, base);
	if (r < 0)
		return r;
	close(r);
	for (uint32_t i = 0; i < n; i++) {
		r = cut(&c, base, i);
		if (r < 0)
			return r;
		lost += r;
		fflush(stdout);
	}
	printf("# proof: power cut by shutdown, %s | %u | %d\n", l->e->fs, n, lost);
	return lost;
}

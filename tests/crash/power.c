/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power cuts: whatever instant they come at, each path is the old or the new file, what was synced is
 * there, and recovery and one more run end where they should.
 *
 * usage: power [OPTION...] FS LINE STATES DIR VUNIFY
 *
 *   FS        ext4, xfs or btrfs            LINE     main, reflink or evict (power-line.c)
 *   STATES    how many are looked at        DIR      an empty directory, for mounts and files
 *   --seed=N  other instants                --lie=OP:N  the N-th sync of the OP-th command is not
 *   --op=OP   only in or around this        made; "all" for each of them, may be repeated
 *             command, counted from 0       --catalog-inside  the catalog is on the disk, too
 *   --quiet   nobody else syncs anything  --shutdown  the file system stops, not its disk
 *
 * The story is told once, on a disk that logs what it is given (power-disk.h). Then disks are made of
 * it as a power cut may have left them: at some instant, all that was flushed before, and of what was
 * not some part: nothing, all, any half of the writes or of the blocks, all but one.
 *
 * Prints what is wrong, and "# proof: ..." last. Exits with 0 if nothing is, with 1 if something is,
 * and with 2 if it could not be tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "power-disk.h"
#include "power-line.h"
#include "power-shutdown.h"

#define STATES_MAX 20000

struct power {
	struct power_env env;
	struct power_op ops[POWER_OPS];
	struct power_farm farm;
	struct power_line line;
	struct power_disk disk;
	char mnt[300], top[320], state[300];
	uint32_t *instants; /* owned; of calls, and what was logged between them */
	uint32_t n_instants, cap_instants;
	uint32_t workers;
	bool shutdown;
	int only_op;		   /* all cuts are in this one; -1: in all */
	uint64_t told_ms, told_at; /* for how long the story was told, and when it ended */
};

/* How a cut treats what was not flushed. */
enum loss {
	L_ALL,
	L_NONE,
	L_WRITES,
	L_BLOCKS,
	L_ONE_LOST,
	L_KINDS
};

struct cut {
	uint32_t instant;
	uint32_t seed;
	enum loss loss;
	uint32_t flushed; /* instant up to which nothing is lost */
};

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- the story ---- */

static uint32_t now(void *arg)
{
	const struct power *p = arg;

	return power_disk_now(&p->disk);
}

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	printf("Bail out! %s: %s\n", what, strerror(-r));
	exit(2);
}

static int mkfs(const char *fs, int image)
{
	char command[256];

	snprintf(command, sizeof(command), "mkfs.%s %s /proc/%d/fd/%d >/dev/null 2>&1", fs,
		 *fs == 'e' ? "-q -F -b 4096 -E lazy_itable_init=1,nodiscard" : "-q -f -K",
		 getpid(), image);
	return system(command) ? -EIO : 0;
}

static void set_up(struct power *p, const char *dir, int image)
{
	char fuse[300], conf[320];

	/* whatever becomes of this, nothing stays mounted */
	must(unshare(CLONE_NEWNS) ? -errno : 0, "a mount namespace of its own");
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ? -errno : 0, "private mounts");
	/* the catalog's disk is a fast one */
	must(mount("power", dir, "tmpfs", 0, "") ? -errno : 0, dir);
	snprintf(fuse, sizeof(fuse), "%s/disk", dir);
	snprintf(p->mnt, sizeof(p->mnt), "%s/mnt", dir);
	snprintf(p->top, sizeof(p->top), "%s/guests", p->mnt);
	snprintf(p->state, sizeof(p->state), "%s/state", dir);
	snprintf(conf, sizeof(conf), "%s/vunify.conf", p->state);
	mkdir(fuse, 0700);
	mkdir(p->mnt, 0700);
	mkdir(p->state, 0700);
	p->env.mnt = p->mnt;
	p->env.state = p->state;
	p->env.farm = &p->farm;
	p->env.ops = p->ops;
	p->farm.top = p->top;
	p->farm.now = now;
	p->farm.arg = p;
	p->line.e = &p->env;
	FILE *f = fopen(conf, "w");

	must(f ? 0 : -errno, conf);
	fprintf(f, "[policy]\nmin_size = 1\n[paths]\nlock_dir = %s/lock\n", p->state);
	fclose(f);
	must(mkfs(p->env.fs, image), "mkfs");
	if (p->shutdown)
		return;
	int loop = power_disk_start(&p->disk, fuse, image);

	must(loop, "the disk");
	must(mount(p->disk.loop, p->mnt, p->env.fs, MS_NOATIME, "") ? -errno : 0, "mount");
	close(loop);
}

static bool note_instant(void *arg, int op, uint32_t n)
{
	struct power *p = arg;

	(void)op;
	(void)n;
	if (p->n_instants == p->cap_instants) {
		p->cap_instants = p->cap_instants ? 2 * p->cap_instants : 4096;
		p->instants = reallocarray(p->instants, p->cap_instants, sizeof(*p->instants));
		must(p->instants ? 0 : -ENOMEM, "instants");
	}
	p->instants[p->n_instants++] = power_disk_now(&p->disk);
	return false;
}

static void record(struct power *p)
{
	uint64_t begun = clock_ms();

	p->line.on_call = note_instant;
	p->line.arg = p;
	must(power_line_tell(&p->line), "the story");
	for (int i = 0; i < 20 && umount(p->mnt); i++)
		usleep(100000);
	power_disk_stop(&p->disk);
	p->told_at = clock_ms();
	p->told_ms = p->told_at - begun;
}

/* ---- the cuts ---- */

static bool keep(void *arg, uint32_t i, uint32_t block)
{
	const struct cut *c = arg;
	uint64_t x = ((uint64_t)c->seed << 32 | i) * UINT64_C(0x9e3779b97f4a7c15);

	if (c->loss == L_ALL || c->loss == L_NONE)
		return c->loss == L_NONE;
	if (c->loss == L_ONE_LOST)
		return i != c->flushed + c->seed % (c->instant - c->flushed);
	if (c->loss == L_BLOCKS)
		x += block * UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 31;
	x *= UINT64_C(0x94d049bb133111eb);
	return x >> 63;
}

static int by_instant(const void *a, const void *b)
{
	const struct cut *x = a, *y = b;

	return x->instant < y->instant ? -1 : x->instant > y->instant;
}

/* Two cuts that leave the same are one. */
static bool is_new(const struct cut *v, uint32_t n, const struct cut *c)
{
	for (uint32_t i = 0; i < n; i++)
		if (v[i].flushed == c->flushed &&
		    ((v[i].loss == c->loss && v[i].loss == L_ALL) ||
		     (v[i].instant == c->instant && v[i].loss == c->loss &&
		      (c->loss == L_NONE || v[i].seed == c->seed))))
			return false;
	return true;
}

static uint32_t choose(const struct power *p, uint32_t want, struct cut *v)
{
	uint32_t n = 0, first = p->farm.p[0].v[0].durable, end = power_disk_now(&p->disk);

	if (p->only_op >= 0)
		end = p->only_op + 1 < p->line.n_ops ? p->ops[p->only_op + 1].began
						     : p->ops[p->only_op].ended;
	if (p->only_op > 0)
		first = p->ops[p->only_op - 1].ended;

	for (uint32_t tries = 0; n < want && tries < 50 * want; tries++) {
		struct cut c = {.seed = (uint32_t)random(),
				.loss = (enum loss)(random() % L_KINDS)};

		/* half of them before calls, half of them anywhere */
		c.instant = random() % 2 ? p->instants[(uint32_t)random() % p->n_instants]
					 : first + (uint32_t)random() % (end - first + 1);
		/* and first of all when the commands have ended */
		if (tries < (uint32_t)p->line.n_ops) {
			c.instant = p->ops[tries].ended;
			c.loss = L_ALL;
		}
		if (c.instant < first || c.instant > end)
			continue;
		c.flushed = power_disk_flush_before(&p->disk, c.instant);
		if (c.flushed == c.instant)
			c.loss = L_ALL;
		if (is_new(v, n, &c))
			v[n++] = c;
	}
	qsort(v, n, sizeof(*v), by_instant);
	return n;
}

static const char *const loss_names[] = {"all lost", "nothing lost", "writes lost", "blocks lost",
					 "one write lost"};

static struct power_cut cut_of(const struct power *p, const struct cut *c, uint32_t i)
{
	struct power_cut k = {.instant = c->instant, .fsck = i % 8 == 0};

	while (k.op + 1 < p->line.n_ops && p->ops[k.op].ended < c->instant)
		k.op++;
	/* none, or the last one that can be on its disk, or the one before */
	k.catalog = k.op - (i % 4 == 1);
	if (c->instant == p->ops[k.op].ended)
		k.catalog = k.op;
	else if (i % 4 == 0 || c->instant < p->ops[0].catalog)
		k.catalog = -1;
	else if (k.catalog == k.op && c->instant < p->ops[k.op].catalog)
		k.catalog--;
	snprintf(k.what, sizeof(k.what), "%s, %u of %s %d, %s (seed %u), catalog %d", p->env.fs,
		 c->instant, p->ops[k.op].args[0], k.op, loss_names[c->loss], c->seed, k.catalog);
	return k;
}

/* Looks at the worker's share of the cuts; returns how many of them lost something. */
static int work(struct power *p, const struct cut *v, uint32_t n, uint32_t worker)
{
	int lost = 0, disk = power_memory_copy(p->disk.base);
	uint32_t done = 0;

	must(unshare(CLONE_NEWNS) ? -errno : 0, "a mount namespace of its own");
	for (uint32_t i = worker; i < n; i += p->workers) {
		struct power_cut k = cut_of(p, &v[i], i);

		for (; done < v[i].flushed; done++)
			power_disk_apply(&p->disk, done, disk, NULL, NULL);
		int image = power_memory_copy(disk);

		must(image, "memory");
		for (uint32_t w = done; w < v[i].instant; w++)
			power_disk_apply(&p->disk, w, image, keep, (void *)(uintptr_t)&v[i]);
		lost += power_check(&p->env, &k, image) > 0;
		fflush(stdout);
		close(image);
	}
	return lost;
}

static int check(struct power *p, uint32_t want)
{
	struct cut *v = calloc(want + 1, sizeof(*v));
	uint32_t n = v ? choose(p, want, v) : 0;
	int fds[2], lost = 0, one;

	must(v && !pipe(fds) ? 0 : -ENOMEM, "memory");
	fflush(NULL);
	for (uint32_t i = 0; i < p->workers; i++)
		if (!fork()) {
			one = work(p, v, n, i);
			_exit(write(fds[1], &one, sizeof(one)) == sizeof(one) ? 0 : 2);
		}
	close(fds[1]);
	for (uint32_t i = 0; i < p->workers; i++) {
		must(read(fds[0], &one, sizeof(one)) == sizeof(one) ? 0 : -EIO, "a worker");
		lost += one;
	}
	while (wait(NULL) > 0)
		;
	printf("# told in %.1f s, looked at in %.1f s\n", (double)p->told_ms / 1000,
	       (double)(clock_ms() - p->told_at) / 1000);
	printf("# proof: power cut, %s | %u | %d\n", p->env.fs, n, lost);
	free(v);
	return lost;
}

static void take_lie(struct power_line *l, const char *s)
{
	char *end;

	if (l->n_lies == sizeof(l->lies) / sizeof(l->lies[0]))
		return;
	l->lies[l->n_lies].op = !strncmp(s, "all", 3) ? -1 : atoi(s);
	end = strchr(s, ':');
	l->lies[l->n_lies++].nth = end ? atoi(end + 1) : -1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
						{"lie", required_argument, NULL, 'l'},
						{"op", required_argument, NULL, 'o'},
						{"quiet", no_argument, NULL, 'q'},
						{"shutdown", no_argument, NULL, 'd'},
						{"catalog-inside", no_argument, NULL, 'c'},
						{NULL, 0, NULL, 0}};
	static struct power p;
	int c;

	p.line.seed = 1;
	p.only_op = -1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 's')
			p.line.seed = (unsigned)atoi(optarg);
		else if (c == 'l')
			take_lie(&p.line, optarg);
		else if (c == 'o')
			p.only_op = atoi(optarg);
		else if (c == 'd')
			p.shutdown = true;
		else if (c == 'q')
			p.line.no_noise = true;
		else if (c == 'c')
			p.env.catalog_inside = true;
		else
			return 2;
	}
	if (argc - optind != 5)
		return fprintf(stderr, "usage: power [OPTION...] FS LINE STATES DIR VUNIFY\n"), 2;
	argv += optind;
	p.env.fs = argv[0];
	p.env.vunify = argv[4];
	/* two of one btrfs, mounted at a time, are told apart by the kernel; and one catalog's
	 * path has one lock */
	p.workers = *argv[0] == 'b' || p.env.catalog_inside ? 1 : 2;
	uint64_t mb = *argv[0] == 'e' ? 64 : *argv[0] == 'x' ? 300 : 128;
	int image = power_memory(mb << 20);

	must(image, "memory");
	set_up(&p, argv[3], image);
	must(power_line_choose(&p.line, argv[1]), argv[1]);
	if (p.shutdown) {
		int lost = power_shutdown_run(&p.line, image, (uint32_t)atoi(argv[2]));

		must(lost, "shutdown");
		return lost ? 1 : 0;
	}
	record(&p);
	return check(&p, (uint32_t)atoi(argv[2])) ? 1 : 0;
}

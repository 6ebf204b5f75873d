/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kill-closed.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill-run.h"

/* Objects without their flag. */
static unsigned look_at_shard(const char *shard, bool tell)
{
	unsigned n = 0;
	char path[600];
	DIR *d = opendir(shard);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		int flags = 0;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%.300s/%.255s", shard, e->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd >= 0 && !ioctl(fd, FS_IOC_GETFLAGS, &flags) && !(flags & FS_IMMUTABLE_FL)) {
			n++;
			if (tell)
				say("without its flag", path);
		}
		if (fd >= 0)
			close(fd);
	}
	if (d)
		closedir(d);
	return n;
}

static unsigned unflagged(bool tell)
{
	unsigned n = 0;
	char path[600], objects[300];
	struct dirent *e;

	snprintf(objects, sizeof(objects), "%s/.vunify/objects", run.mnt);
	DIR *d = opendir(objects);

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%.10s", objects, e->d_name);
		n += look_at_shard(path, tell);
	}
	if (d)
		closedir(d);
	return n;
}

/* Guests that are frozen; told ones are thawed. */
static unsigned frozen(bool tell)
{
	unsigned n = 0;
	char path[300], text[8] = "";

	for (int g = 0; in_cgroups() && g < GUESTS; g++) {
		snprintf(path, sizeof(path), "%s/g%d/cgroup.freeze", run.cgroup, g + 1);
		int fd = open(path, O_RDWR | O_CLOEXEC);

		if (fd < 0 || read(fd, text, sizeof(text)) <= 0)
			die(path);
		if (text[0] != '0') {
			n++;
			if (tell)
				say("frozen", path);
			if (tell && write(fd, "0", 1) != 1)
				die(path);
		}
		close(fd);
	}
	return n;
}

void check_closed(void)
{
	run.n_unflagged += unflagged(true);
	run.n_frozen += frozen(true);
}

void time_closing(uint64_t since)
{
	uint64_t ns;

	do {
		/* threads that are traced are dead when their tracer has heard of it */
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		ns = now_ns() - since;
	} while ((unflagged(false) || frozen(false)) && ns < 5000000000 && (nap_us(100), true));
	if (ns > run.closed_max_ns)
		run.closed_max_ns = ns;
}

/* ---- without a kill ---- */

static _Atomic uint64_t *frozen_max_ns; /* shared with the watcher */
static pid_t watching;

static _Noreturn void watcher(void)
{
	uint64_t since = 0, last = 0;
	char path[300], is;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 2});
	snprintf(path, sizeof(path), "%s/g1/cgroup.freeze", run.cgroup);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	for (;;) {
		uint64_t now = now_ns();

		if (pread(fd, &is, 1, 0) != 1)
			die(path);
		if (is != '1' || now > last + 2000000)
			since = now;
		last = now;
		if (is == '1' && now - since > atomic_load(frozen_max_ns))
			atomic_store(frozen_max_ns, now - since);
		nap_us(200);
	}
}

void start_watcher(void)
{
	frozen_max_ns = mmap(NULL, sizeof(*frozen_max_ns), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (frozen_max_ns == MAP_FAILED)
		die("mmap");
	watching = fork();
	if (watching < 0)
		die("fork");
	if (!watching)
		watcher();
}

uint64_t stop_watcher(void)
{
	kill(watching, SIGKILL);
	waitpid(watching, NULL, 0);
	return atomic_load(frozen_max_ns);
}

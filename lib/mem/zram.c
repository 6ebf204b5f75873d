/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices come and go by /sys/class/zram-control (Linux 4.2). The one that is made must not outlive who has it,
 * whatever that one dies of: a device that nobody knows of would hold its memory until the host is booted
 * again. So a process of its own makes it, before anybody else has its number, waits for the end of a pipe, and
 * removes it. That is refused as long as somebody has it open (who watches devices looks into new ones), for a
 * moment: it tries again.
 */
#include "mem/zram.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CONTROL "/sys/class/zram-control"
#define REMOVE_TRIES 500
#define REMOVE_MS 10

/* ---- files of sysfs ---- */

static int read_text(const char *path, char *ret, size_t size)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

	if (n < 0)
		return -errno;
	ret[n] = 0;
	return 0;
}

static int write_text(const char *path, const char *text)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int read_of(unsigned number, const char *name, char *ret, size_t size)
{
	char path[80];

	snprintf(path, sizeof(path), "/sys/block/zram%u/%s", number, name);
	return read_text(path, ret, size);
}

static int write_of(unsigned number, const char *name, const char *text)
{
	char path[80];

	snprintf(path, sizeof(path), "/sys/block/zram%u/%s", number, name);
	return write_text(path, text);
}

static int write_number_of(unsigned number, const char *name, uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	return write_of(number, name, text);
}

/* ---- what it says of itself ---- */

/* "lzo-rle [lzo] lz4" */
static void take_algorithm(char *text, struct vu_zram *z)
{
	char *begin = strchr(text, '['), *end = begin ? strchr(begin, ']') : NULL;

	if (!end) /* there is one only */
		begin = text, end = text + strcspn(text, " \n");
	else
		begin++;
	size_t n = VU_MIN((size_t)(end - begin), sizeof(z->algorithm) - 1);

	memcpy(z->algorithm, begin, n);
	z->algorithm[n] = 0;
}

int vu_zram_stat(struct vu_zram *z)
{
	char text[512];
	int r = read_of(z->number, "disksize", text, sizeof(text));

	if (r)
		return r == -ENOENT ? VU_ZRAM_OTHER : r;
	z->size = strtoull(text, NULL, 10);
	r = read_of(z->number, "comp_algorithm", text, sizeof(text));
	if (!r) {
		take_algorithm(text, z);
		r = read_of(z->number, "mm_stat", text, sizeof(text));
	}
	if (r)
		return r;
	z->huge_pages = 0; /* since Linux 4.20 */
	if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u %" SCNu64 " %*u %" SCNu64,
		   &z->stored, &z->compressed, &z->used, &z->same_pages, &z->huge_pages) < 4)
		return -EBADMSG;
	return z->size ? 0 : VU_ZRAM_UNSET;
}

int vu_zram_of(int fd, struct vu_zram *ret)
{
	char path[64], name[256];
	struct vu_zram z = {0};
	struct stat st;
	char *last;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISBLK(st.st_mode))
		return VU_ZRAM_OTHER;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	ssize_t n = readlink(path, name, sizeof(name) - 1);

	if (n < 0)
		return errno == ENOENT ? VU_ZRAM_OTHER : -errno;
	name[n] = 0;
	last = strrchr(name, '/');
	if (!last || sscanf(last, "/zram%u", &z.number) != 1)
		return VU_ZRAM_OTHER;
	int r = vu_zram_stat(&z);

	if (!r)
		*ret = z;
	return r;
}

/* ---- one that is made for a time ---- */

static int remove_device(const char *number)
{
	int r = -EBUSY;

	for (int i = 0; r == -EBUSY && i < REMOVE_TRIES; i++) {
		r = write_text(CONTROL "/hot_remove", number);
		if (r == -EBUSY)
			poll(NULL, 0, REMOVE_MS);
	}
	return r;
}

/* The remover: says the number of the new device, and at the end what became of it. */
static void make_and_remove(int keep, int answer)
{
	char text[32], c;
	int r;

	unsigned low = (unsigned)VU_MIN(keep, answer), high = (unsigned)VU_MAX(keep, answer);

	/* Who waits for the end of the others by what they have open is not to wait for this one. */
	if (low)
		close_range(0, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0U, 0);
	setsid(); /* what ends the others by their group is not for it */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	r = read_text(CONTROL "/hot_add", text, sizeof(text));
	if (!r)
		r = atoi(text);
	(void)!write(answer, &r, sizeof(r));
	if (r < 0)
		_exit(1);
	while (read(keep, &c, 1) < 0 && errno == EINTR)
		;
	text[strcspn(text, "\n")] = 0;
	r = remove_device(text);
	(void)!write(answer, &r, sizeof(r));
	_exit(0);
}

static int start_remover(struct vu_zram_made *m)
{
	int keep[2], answer[2];

	if (pipe2(keep, O_CLOEXEC))
		return -errno;
	_cleanup_fd_ int keep_in = keep[0];

	m->keep = keep[1];
	if (pipe2(answer, O_CLOEXEC))
		return -errno;
	m->answer = answer[0];
	_cleanup_fd_ int answer_out = answer[1];

	m->remover = fork();
	if (m->remover < 0)
		return -errno;
	if (!m->remover) {
		close(m->keep);
		make_and_remove(keep_in, answer_out);
	}
	return 0;
}

static int hear(const struct vu_zram_made *m, int *ret)
{
	ssize_t n;

	do {
		n = read(m->answer, ret, sizeof(*ret));
	} while (n < 0 && errno == EINTR);
	return n == sizeof(*ret) ? 0 : -EIO;
}

static int open_node(struct vu_zram_made *m)
{
	char path[32];
	struct vu_zram z = {0};

	snprintf(path, sizeof(path), "/dev/zram%u", m->z.number);
	m->fd = open(path, O_RDWR | O_DIRECT | O_NOFOLLOW | O_CLOEXEC);
	if (m->fd < 0)
		return errno == ENOENT || errno == ENXIO ? VU_ZRAM_NO_NODE : -errno;
	/* that name can be anything where /dev is not the kernel's own */
	return !vu_zram_of(m->fd, &z) && z.number == m->z.number ? 0 : VU_ZRAM_NO_NODE;
}

int vu_zram_make(uint64_t size, const char *algorithm, uint64_t max_memory,
		 struct vu_zram_made *ret)
{
	int r, number = 0;

	*ret = (struct vu_zram_made){.fd = -EBADF, .keep = -EBADF, .answer = -EBADF};
	if (access(CONTROL "/hot_add", F_OK))
		return VU_ZRAM_NO_CONTROL;
	r = start_remover(ret);
	if (!r)
		r = hear(ret, &number);
	if (!r && number < 0)
		r = number;
	if (r)
		return r;
	ret->z.number = (unsigned)number;
	r = write_of(ret->z.number, "comp_algorithm", algorithm);
	if (!r)
		r = write_number_of(ret->z.number, "disksize", size);
	if (!r)
		r = write_number_of(ret->z.number, "mem_limit", max_memory);
	return r ? r : open_node(ret);
}

int vu_zram_remove(struct vu_zram_made *m)
{
	int r = 0;

	if (m->fd >= 0)
		close(vu_take_fd(m->fd));
	if (m->keep >= 0)
		close(vu_take_fd(m->keep));
	if (m->remover > 0 && hear(m, &r))
		r = 0; /* it made none */
	if (m->remover > 0)
		waitpid(m->remover, NULL, 0);
	m->remover = 0;
	if (m->answer >= 0)
		close(vu_take_fd(m->answer));
	return r;
}

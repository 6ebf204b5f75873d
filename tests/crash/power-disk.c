/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "power-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_MAX (UINT64_C(1) << 20)  /* entries */
#define DATA_MAX (UINT64_C(4) << 30) /* bytes; memory is used for what is written only */
#define WRITE_MAX (1u << 20)
#define FILE_NODE 2
#define FILE_NAME "disk"

/* ---- memory ---- */

int power_memory(uint64_t size)
{
	int fd = memfd_create("power", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)size)) {
		close(fd);
		return -errno;
	}
	return fd < 0 ? -errno : fd;
}

void power_memory_thin(int fd)
{
	static const uint8_t zero[POWER_BLOCK];
	uint8_t buf[POWER_BLOCK];
	off_t at = 0;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		if (pread(fd, buf, sizeof(buf), at) == sizeof(buf) &&
		    !memcmp(buf, zero, sizeof(buf)) &&
		    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, sizeof(buf)))
			return;
		at += POWER_BLOCK;
	}
}

int power_memory_copy(int from)
{
	off_t size = lseek(from, 0, SEEK_END), at = 0;
	int to = power_memory((uint64_t)size);

	while (to >= 0 && (at = lseek(from, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(from, at, SEEK_HOLE), out = at;

		while (at < end)
			if (copy_file_range(from, &at, to, &out, (size_t)(end - at), 0) <= 0) {
				close(to);
				return -EIO;
			}
	}
	return to;
}

static void *shared(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* ---- the server ---- */

struct server {
	struct power_disk *d;
	int fuse;
	uint8_t *image; /* mapped */
	uint8_t *buf;
};

static void reply(const struct server *s, uint64_t unique, int err, const void *data, size_t len)
{
	struct fuse_out_header h = {.unique = unique, .error = -err};
	struct iovec v[2] = {{&h, sizeof(h)}, {(void *)(uintptr_t)data, len}};

	h.len = (uint32_t)(sizeof(h) + len);
	if (writev(s->fuse, v, len ? 2 : 1) < 0 && errno != ENOENT)
		_exit(1);
}

static struct fuse_attr attr_of(const struct server *s, uint64_t node)
{
	struct fuse_attr a = {.ino = node, .nlink = 1, .blksize = POWER_BLOCK};

	a.mode = node == FILE_NODE ? S_IFREG | 0600 : S_IFDIR | 0700;
	a.size = node == FILE_NODE ? s->d->size : 0;
	a.blocks = a.size / 512;
	return a;
}

static void log_entry(struct power_disk *d, uint64_t at, const void *data, uint32_t len)
{
	uint32_t n = atomic_load(&d->log->n);

	if (n == LOG_MAX || d->log->used + len > DATA_MAX)
		_exit(2);
	d->log->w[n] = (struct power_write){.at = at, .data = d->log->used, .len = len};
	if (len)
		memcpy(d->data + d->log->used, data, len);
	d->log->used += len;
	atomic_store(&d->log->n, n + 1);
}

static void do_init(const struct server *s, const struct fuse_in_header *h,
		    const struct fuse_init_in *in)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = in->max_readahead,
		.flags = (FUSE_BIG_WRITES | FUSE_ASYNC_READ | FUSE_MAX_PAGES) & in->flags,
		.max_background = 16,
		.congestion_threshold = 12,
		.max_write = WRITE_MAX,
		.time_gran = 1,
		.max_pages = WRITE_MAX / 4096,
	};

	reply(s, h->unique, 0, &out, sizeof(out));
}

static void do_lookup(const struct server *s, const struct fuse_in_header *h, const char *name)
{
	struct fuse_entry_out out = {.nodeid = FILE_NODE, .entry_valid = 3600, .attr_valid = 3600};

	out.attr = attr_of(s, FILE_NODE);
	if (strcmp(name, FILE_NAME))
		reply(s, h->unique, ENOENT, NULL, 0);
	else
		reply(s, h->unique, 0, &out, sizeof(out));
}

static void do_read(const struct server *s, const struct fuse_in_header *h,
		    const struct fuse_read_in *in)
{
	uint64_t len = in->offset < s->d->size ? s->d->size - in->offset : 0;

	reply(s, h->unique, 0, s->image + in->offset, len < in->size ? len : in->size);
}

static void do_write(const struct server *s, const struct fuse_in_header *h,
		     const struct fuse_write_in *in)
{
	struct fuse_write_out out = {.size = in->size};

	if (in->offset + in->size > s->d->size) {
		reply(s, h->unique, ENOSPC, NULL, 0);
		return;
	}
	memcpy(s->image + in->offset, in + 1, in->size);
	log_entry(s->d, in->offset, in + 1, in->size);
	reply(s, h->unique, 0, &out, sizeof(out));
}

static void serve_one(const struct server *s)
{
	const struct fuse_in_header *h = (const void *)s->buf;
	const void *in = h + 1;
	struct fuse_attr_out attr = {.attr_valid = 3600, .attr = attr_of(s, h->nodeid)};
	struct fuse_open_out open = {.open_flags = FOPEN_DIRECT_IO};

	switch (h->opcode) {
	case FUSE_INIT:
		return do_init(s, h, in);
	case FUSE_LOOKUP:
		return do_lookup(s, h, in);
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return reply(s, h->unique, 0, &attr, sizeof(attr));
	case FUSE_OPEN:
		return reply(s, h->unique, 0, &open, sizeof(open));
	case FUSE_READ:
		return do_read(s, h, in);
	case FUSE_WRITE:
		return do_write(s, h, in);
	case FUSE_FSYNC:
		log_entry(s->d, 0, NULL, 0);
		return reply(s, h->unique, 0, NULL, 0);
	case FUSE_RELEASE:
		return reply(s, h->unique, 0, NULL, 0);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		reply(s, h->unique, ENOSYS, NULL, 0);
	}
}

static void serve(struct power_disk *d, int fuse)
{
	struct server s = {.d = d, .fuse = fuse};
	size_t size = WRITE_MAX + 65536;

	/* no mount outlives the test: the namespace goes with its last process */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	s.buf = malloc(size);
	s.image = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_SHARED, d->image, 0);
	if (!s.buf || s.image == MAP_FAILED)
		_exit(1);
	for (;;) {
		ssize_t n = read(fuse, s.buf, size);

		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			serve_one(&s);
		else if (n >= 0 || errno == ENODEV)
			_exit(0);
		else if (errno != EINTR && errno != EAGAIN && errno != ENOENT)
			_exit(1);
	}
}

/* ---- loop devices ---- */

int power_loop(int file, char *ret_name)
{
	struct loop_config c = {.fd = (uint32_t)file, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd = -1, err = ENODEV;

	if (control < 0)
		return -errno;
	/* others look for a free one at the same time */
	for (int i = 0; fd < 0 && i < 1000; i++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		if (n < 0)
			break;
		snprintf(ret_name, 32, "/dev/loop%d", n);
		fd = open(ret_name, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &c)) {
			err = errno;
			close(fd);
			fd = -1;
		}
		if (fd < 0)
			usleep(1000);
	}
	close(control);
	return fd < 0 ? -err : fd;
}

/* ---- the disk ---- */

static int mount_fuse(const char *dir, int fuse)
{
	char options[128];

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
	return mount("power", dir, "fuse", MS_NOSUID | MS_NODEV, options) ? -errno : 0;
}

static int attach(struct power_disk *d)
{
	char path[sizeof(d->dir) + 16];

	snprintf(path, sizeof(path), "%s/" FILE_NAME, d->dir);
	int file = open(path, O_RDWR | O_CLOEXEC);

	if (file < 0)
		return -errno;
	int loop = power_loop(file, d->loop);

	close(file);
	return loop;
}

int power_disk_start(struct power_disk *d, const char *dir, int image)
{
	struct stat st;

	if (fstat(image, &st))
		return -errno;
	*d = (struct power_disk){.image = image, .size = (uint64_t)st.st_size};
	snprintf(d->dir, sizeof(d->dir), "%s", dir);
	power_memory_thin(image);
	d->base = power_memory_copy(image);
	d->log = shared(sizeof(*d->log) + LOG_MAX * sizeof(d->log->w[0]));
	d->data = shared(DATA_MAX);
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (d->base < 0 || !d->log || !d->data || fuse < 0)
		return -ENOMEM;
	int r = mount_fuse(dir, fuse);

	if (r)
		return r;
	fflush(NULL);
	d->server = fork();
	if (!d->server)
		serve(d, fuse);
	close(fuse);
	return d->server < 0 ? -errno : attach(d);
}

void power_disk_stop(struct power_disk *d)
{
	if (umount(d->dir))
		umount2(d->dir, MNT_DETACH);
	if (d->server > 0)
		waitpid(d->server, NULL, 0);
	d->server = 0;
}

uint32_t power_disk_now(const struct power_disk *d)
{
	return atomic_load(&d->log->n);
}

uint32_t power_disk_flush_before(const struct power_disk *d, uint32_t instant)
{
	while (instant && d->log->w[instant - 1].len)
		instant--;
	return instant;
}

void power_disk_apply(const struct power_disk *d, uint32_t i, int image,
		      bool (*keep)(void *arg, uint32_t i, uint32_t block), void *arg)
{
	const struct power_write *w = &d->log->w[i];

	for (uint32_t at = 0; at < w->len;) {
		uint32_t n = POWER_BLOCK - (uint32_t)((w->at + at) % POWER_BLOCK);

		n = n < w->len - at ? n : w->len - at;
		if (!keep || keep(arg, i, at / POWER_BLOCK))
			if (pwrite(image, d->data + w->data + at, n, (off_t)(w->at + at)) != n)
				abort();
		at += n;
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A FUSE file system that hangs: whoever asks it anything waits for ever, and so does it that ends it.
 *
 * usage: fuse-silent DIR     mounts it at DIR, prints "ready", answers what is asked about its root
 *                            directory until it reads a line; prints "silent", and answers nothing
 *                            any more until the end of its input
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *what)
{
	fprintf(stderr, "fuse-silent: %s: %s\n", what, strerror(errno));
	return 1;
}

static void reply(int dev, const struct fuse_in_header *in, int error, const void *body, size_t n)
{
	char buf[sizeof(struct fuse_out_header) + 256];
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + n), .error = error, .unique = in->unique};

	memcpy(buf, &out, sizeof(out));
	if (n)
		memcpy(buf + sizeof(out), body, n);
	if (write(dev, buf, sizeof(out) + n) < 0 && errno != ENOENT)
		fail("write");
}

/* One request. Attributes are good for no time at all, so each look at them asks again. */
static void serve(int dev, bool silent)
{
	static char buf[FUSE_MIN_READ_BUFFER + (1 << 17)];
	const struct fuse_in_header *in = (const void *)buf;
	struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096};
	struct fuse_attr_out attr = {
		.attr = {.ino = FUSE_ROOT_ID, .mode = S_IFDIR | 0755, .nlink = 2}};
	struct fuse_open_out open_out = {0};

	if (read(dev, buf, sizeof(buf)) < (ssize_t)sizeof(*in) || silent)
		return;
	switch (in->opcode) {
	case FUSE_INIT:
		reply(dev, in, 0, &init, sizeof(init));
		break;
	case FUSE_GETATTR:
		reply(dev, in, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPENDIR:
		reply(dev, in, 0, &open_out, sizeof(open_out));
		break;
	case FUSE_READDIR:
		reply(dev, in, 0, NULL, 0);
		break;
	case FUSE_ACCESS:
	case FUSE_RELEASEDIR:
		reply(dev, in, 0, NULL, 0);
		break;
	default:
		reply(dev, in, -ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	char options[160], line[16];
	bool silent = false;
	int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (argc != 2 || dev < 0)
		return fail(argc == 2 ? "/dev/fuse" : "usage: fuse-silent DIR");
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", dev);
	if (mount("silent", argv[1], "fuse.silent", MS_NOSUID | MS_NODEV, options))
		return fail(argv[1]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct pollfd p[2] = {{.fd = dev, .events = POLLIN}, {.fd = 0, .events = POLLIN}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return fail("poll");
		if (p[0].revents)
			serve(dev, silent);
		if (p[1].revents && read(0, line, sizeof(line)) <= 0)
			return 0;
		if (p[1].revents && !silent) {
			silent = true;
			puts("silent");
			fflush(stdout);
		}
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/stop.h"

/* A change of struct vu_kept, or of what a slot means, is another version. */
#define VERSION 2

#define WAIT_NS 5000000 /* for the one before: it finishes the calls that it has at hand */
#define ASK_AGAIN 200

static const char magic[8] = "vunify\nK";

/* Cuts nothing: what does not fit is not known. */
static void put_text(char *to, size_t size, const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (n < size)
		memcpy(to, text ? text : "", n + 1);
}

static int fill(struct vu_kept *k, const struct vu_handoff *h)
{
	uint8_t key[VU_KEPT_KEY_LEN / 2];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return -EIO;
	vu_hex_encode(key, sizeof(key), k->key);
	memcpy(k->magic, magic, sizeof(magic));
	k->version = VERSION;
	k->size = sizeof(*k);
	put_text(k->id, sizeof(k->id), h->id);
	put_text(k->metadata, sizeof(k->metadata), h->metadata);
	k->pid = h->pid;
	k->init = h->init;
	k->creating = h->creating;
	return 0;
}

int vu_kept_new(const struct vu_handoff *h)
{
	_cleanup_fd_ int fd = memfd_create("vunify-kept", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sizeof(struct vu_kept)))
		return -errno;
	void *p = mmap(NULL, sizeof(struct vu_kept), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	int r = fill(p, h);

	munmap(p, sizeof(struct vu_kept));
	return r ? r : vu_take_fd(fd);
}

static bool is_text(const char *s, size_t size)
{
	return memchr(s, 0, size);
}

bool vu_kept_is_right(const void *bytes, size_t size)
{
	const struct vu_kept *k = bytes;

	return size == sizeof(*k) && !memcmp(k->magic, magic, sizeof(magic)) &&
	       k->version == VERSION && k->size == sizeof(*k) && k->key[VU_KEPT_KEY_LEN] == 0 &&
	       strlen(k->key) == VU_KEPT_KEY_LEN && is_text(k->id, sizeof(k->id)) &&
	       is_text(k->metadata, sizeof(k->metadata)) && is_text(k->guest, sizeof(k->guest));
}

int vu_kept_map(int fd, struct vu_kept **ret)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	/* touching what is behind the end of a file kills */
	if (!S_ISREG(st.st_mode) || st.st_size != sizeof(struct vu_kept))
		return VU_KEPT_WRONG;
	void *p = mmap(NULL, sizeof(struct vu_kept), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	if (vu_kept_is_right(p, sizeof(struct vu_kept)))
		return 0;
	*ret = vu_kept_unmap(*ret);
	return VU_KEPT_WRONG;
}

int vu_kept_check(int fd)
{
	struct vu_kept *k = NULL;
	int r = vu_kept_map(fd, &k);

	vu_kept_unmap(k);
	return r;
}

struct vu_kept *vu_kept_unmap(struct vu_kept *k)
{
	if (k)
		munmap(k, sizeof(*k));
	return NULL;
}

int vu_kept_take_over(int fd, struct vu_kept *k)
{
	char path[32];
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	/* the lock is of an open file, and those who have this descriptor have all the same one */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	_cleanup_fd_ int own = open(path, O_RDWR | O_CLOEXEC);

	if (own < 0)
		return -errno;
	for (unsigned n = 0; fcntl(own, F_OFD_SETLK, &whole); n++) {
		pid_t server = atomic_load(&k->server);

		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		if (vu_stop_requested())
			return -ECANCELED;
		/* it is alive, as the lock is; now and then, as it may have got the number meanwhile */
		if (server > 0 && !(n % ASK_AGAIN))
			(void)kill(server, SIGTERM);
		nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
	}
	atomic_store(&k->server, getpid());
	return vu_take_fd(own);
}

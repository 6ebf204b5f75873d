/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Format: one line for each temporary name,
 *
 *   link|copy|lead TMP OBJECT OBJECT-INO INO ROOT-INO MTIME =DOMAIN =ROOT =PATH LF
 *
 * numbers in decimal, MTIME 0 or 1; in the last three every byte that is not a visible ASCII
 * character, and '%', is written as %XX. A line without its LF was cut off by the crash: nothing had
 * been done yet, because the journal is on disk (syncfs) before the first step of its batch.
 */
#include "link/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hex.h"
#include "base/write.h"
#include "fs/stat.h"

static const char *const kinds[] = {
	[VU_JOURNAL_LINK] = "link",
	[VU_JOURNAL_COPY] = "copy",
	[VU_JOURNAL_LEAD] = "lead",
};

static void name_of(unsigned n, char *name, size_t size)
{
	if (n)
		snprintf(name, size, "journal.%u", n);
	else
		snprintf(name, size, "journal");
}

int vu_journal_open(const struct vu_pool *p, unsigned n, struct vu_journal *ret)
{
	char name[32];
	struct vu_stat st;

	name_of(n, name, sizeof(name));
	_cleanup_fd_ int fd = openat(vu_pool_fd(p), name,
				     O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	if (st.version.size)
		return -EBUSY;
	*ret = (struct vu_journal){.fd = vu_take_fd(fd)};
	return 0;
}

void vu_journal_close(const struct vu_pool *p, unsigned n, struct vu_journal *j)
{
	char name[32];

	if (!j->written && n && j->fd > 0) {
		name_of(n, name, sizeof(name));
		unlinkat(vu_pool_fd(p), name, 0);
	}
	if (j->fd > 0)
		close(j->fd);
	free(j->buf);
	*j = (struct vu_journal){.fd = -EBADF};
}

static int reserve(struct vu_journal *j, size_t more)
{
	size_t cap = j->cap ? j->cap : 4096;

	while (cap - j->len < more)
		cap *= 2;
	if (cap == j->cap)
		return 0;
	char *buf = realloc(j->buf, cap);

	if (!buf)
		return -ENOMEM;
	j->buf = buf;
	j->cap = cap;
	return 0;
}

static char *put_text(char *to, const char *s)
{
	*to++ = '=';
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c > ' ' && c < 0x7f && c != '%')
			*to++ = (char)c;
		else
			to += sprintf(to, "%%%02x", c);
	}
	return to;
}

int vu_journal_add(struct vu_journal *j, const struct vu_intent *in)
{
	char object[VU_KEY_NAME_MAX];
	size_t most = 256 + sizeof(object) + strlen(in->tmp) +
		      3 * (strlen(in->domain) + strlen(in->root) + strlen(in->path));
	int r = reserve(j, most);

	if (r)
		return r;
	vu_key_name(&in->key, object);
	char *to = j->buf + j->len;

	to += sprintf(to, "%s %s %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %d ", kinds[in->kind],
		      in->tmp, object, in->object_ino, in->ino, in->root_ino, in->with_mtime);
	to = put_text(to, in->domain);
	*to++ = ' ';
	to = put_text(to, in->root);
	*to++ = ' ';
	to = put_text(to, in->path);
	*to++ = '\n';
	j->len = (size_t)(to - j->buf);
	return 0;
}

int vu_journal_flush(struct vu_journal *j)
{
	if (j->len)
		j->written = true;
	int r = vu_write_all(j->fd, j->buf, j->len);

	if (!r)
		j->len = 0;
	return r;
}

int vu_journal_reset(struct vu_journal *j)
{
	j->len = 0;
	if (!j->written)
		return 0;
	if (ftruncate(j->fd, 0))
		return -errno;
	j->written = false;
	return 0;
}

/* ---- reading ---- */

/* Undoes put_text in place. */
static int take_text(char *s, const char **ret)
{
	char *from = s + 1, *to = s;

	if (*s != '=')
		return -EINVAL;
	for (; *from; from++) {
		if (*from == '%') {
			uint8_t c;

			if (!from[1] || !from[2] || vu_hex_decode(from + 1, 1, &c))
				return -EINVAL;
			*to++ = (char)c;
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = 0;
	*ret = s;
	return 0;
}

static int take_number(const char *s, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(s, &end, 10);
	return errno || end == s || *end ? -EINVAL : 0;
}

enum {
	F_KIND,
	F_TMP,
	F_OBJECT,
	F_OBJECT_INO,
	F_INO,
	F_ROOT_INO,
	F_MTIME,
	F_DOMAIN,
	F_ROOT,
	F_PATH,
	F_N
};

/* A temporary name is "N/NAME": digits, and no way out of the stage. */
static bool tmp_ok(const char *tmp)
{
	size_t digits = strspn(tmp, "0123456789");

	return digits && tmp[digits] == '/' && tmp[digits + 1] && tmp[digits + 1] != '.' &&
	       !strchr(tmp + digits + 1, '/');
}

static int take_kind(const char *s, enum vu_journal_kind *ret)
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(kinds); i++) {
		if (strcmp(s, kinds[i]))
			continue;
		*ret = (enum vu_journal_kind)i;
		return 0;
	}
	return -EINVAL;
}

static int parse(char *line, struct vu_intent *in)
{
	char *f[F_N];
	uint64_t with_mtime;

	for (int i = 0; i < F_N; i++) {
		f[i] = strsep(&line, " ");
		if (!f[i])
			return -EINVAL;
	}
	if (line || take_kind(f[F_KIND], &in->kind) || !tmp_ok(f[F_TMP]))
		return -EINVAL;
	in->tmp = f[F_TMP];
	if (vu_key_parse(f[F_OBJECT], &in->key) || take_number(f[F_OBJECT_INO], &in->object_ino) ||
	    take_number(f[F_INO], &in->ino) || take_number(f[F_ROOT_INO], &in->root_ino) ||
	    take_number(f[F_MTIME], &with_mtime) || take_text(f[F_DOMAIN], &in->domain) ||
	    take_text(f[F_ROOT], &in->root) || take_text(f[F_PATH], &in->path))
		return -EINVAL;
	in->with_mtime = with_mtime;
	return 0;
}

static int each_line(const struct vu_pool *p, const char *name,
		     int (*fn)(void *arg, const struct vu_intent *in), void *arg)
{
	int fd = openat(vu_pool_fd(p), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (!f)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while (!r && (n = getline(&line, &size, f)) > 0) {
		struct vu_intent in;

		if (line[n - 1] != '\n')
			break;
		line[n - 1] = 0;
		if (!parse(line, &in))
			r = fn(arg, &in);
	}
	return r ? r : ferror(f) ? -EIO : 0;
}

bool vu_journal_is(const char *name, unsigned *ret_slot)
{
	const char *dot = name + strlen("journal");

	if (strncmp(name, "journal", strlen("journal")))
		return false;
	*ret_slot = *dot == '.' ? (unsigned)strtoul(dot + 1, NULL, 10) : 0;
	return !*dot || (*dot == '.' && dot[1] && !dot[1 + strspn(dot + 1, "0123456789")]);
}

static int reset_one(const struct vu_pool *p, const char *name)
{
	if (strcmp(name, "journal"))
		return unlinkat(vu_pool_fd(p), name, 0) ? -errno : 0;
	_cleanup_fd_ int fd =
		openat(vu_pool_fd(p), name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : 0;
}

/* For each journal of the slots: its lines to fn, or emptied where fn is NULL. */
static int each_journal(const struct vu_pool *p, const struct vu_slots *slots,
			int (*fn)(void *arg, const struct vu_intent *in), void *arg)
{
	int fd = openat(vu_pool_fd(p), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	unsigned slot;

	if (!d)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while (!r && (errno = 0, e = readdir(d)))
		if (vu_journal_is(e->d_name, &slot) && vu_slots_have(slots, slot))
			r = fn ? each_line(p, e->d_name, fn, arg) : reset_one(p, e->d_name);
	return r ? r : -errno;
}

int vu_journal_each(const struct vu_pool *p, const struct vu_slots *slots,
		    int (*fn)(void *arg, const struct vu_intent *in), void *arg)
{
	return each_journal(p, slots, fn, arg);
}

int vu_journal_reset_all(const struct vu_pool *p, const struct vu_slots *slots)
{
	return each_journal(p, slots, NULL, NULL);
}

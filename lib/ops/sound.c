/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/sound.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "fs/pagecache.h"
#include "fs/stat.h"

#define READ_BYTES ((size_t)128 << 10)

int vu_sound_digest(struct vu_hash *hash, int fd, uint64_t size, struct vu_digest *ret)
{
	/* most are small: then no memory is mapped for it, and nothing is read beyond the end */
	size_t max = (size_t)VU_MIN(size, (uint64_t)READ_BYTES);
	_cleanup_free_ uint8_t *buf = malloc(max + 1);
	struct vu_quiet_reader q;
	uint64_t at = 0;
	ssize_t n = 0;

	if (!buf)
		return -ENOMEM;
	vu_hash_begin(hash);
	vu_quiet_begin(&q, fd, size, true);
	while (at < size && !vu_stop_requested() &&
	       (n = vu_quiet_read(&q, buf, (size_t)VU_MIN(size - at, (uint64_t)max), at)) > 0) {
		vu_hash_add(hash, buf, (size_t)n);
		at += (uint64_t)n;
	}
	vu_quiet_end(&q);
	if (vu_stop_requested())
		return -ECANCELED;
	return n < 0 ? (int)n : vu_hash_end(hash, ret->b);
}

int vu_sound_object(const struct vu_pool *pool, const struct vu_key *key, struct vu_hash *hash,
		    const struct vu_digest *digest)
{
	struct vu_digest found;
	struct vu_stat st;
	_cleanup_fd_ int fd = vu_pool_object_open_stat(pool, key, &st);
	int r = fd < 0 ? fd : 0;

	if (!r)
		r = vu_sound_digest(hash, fd, st.version.size, &found);
	return r ? r : !memcmp(&found, digest, sizeof(found));
}

void vu_sound_tell(const struct vu_sink *sink, const struct vu_key *key, int r)
{
	char name[VU_KEY_NAME_MAX];

	vu_key_name(key, name);
	vu_emit(sink, &(struct vu_event){
			      .kind = VU_EVENT_DAMAGE,
			      .err = r,
			      .object = name,
			      .text = r ? "an object cannot be read; nothing is linked to it"
					: "an object is damaged: it is not what its name says; "
					  "nothing is linked to it. Run `vunify verify --repair`",
		      });
}

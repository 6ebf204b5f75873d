/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that came back from the service manager: the input is written over the begin of one that is right (or
 * is a whole one, when it is long enough). What is taken for right has texts that end, and what is changed in
 * its head is refused.
 */
#include "fuzz.h"

#include "cow/kept.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vu_kept right;
	struct vu_handoff h = {.id = (char[]){"web1"}, .pid = 1, .init = 1, .listener = -EBADF};
	size_t n = size < sizeof(right) ? size : sizeof(right);
	struct vu_kept *k = malloc(sizeof(*k));

	if (!*right.key) {
		int fd = vu_kept_new(&h);

		CHECK(fd >= 0 && read(fd, &right, sizeof(right)) == (ssize_t)sizeof(right));
		CHECK(vu_kept_is_right(&right, sizeof(right)));
		close(fd);
	}
	CHECK(k);
	memcpy(k, &right, sizeof(*k));
	memcpy(k, data, n);
	if (vu_kept_is_right(k, sizeof(*k))) {
		CHECK(k->version == right.version && k->size == right.size);
		CHECK(strlen(k->key) == VU_KEPT_KEY_LEN && strlen(k->id) < sizeof(k->id));
		CHECK(strlen(k->metadata) < sizeof(k->metadata));
		CHECK(strlen(k->guest) < sizeof(k->guest));
	}
	CHECK(!vu_kept_is_right(k, sizeof(*k) - 1));
	free(k);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processes that read an archive: one takes it apart (archive/untar.h), as nobody, with no
 * capabilities, no new privileges and a filter that leaves it read(2), write(2), and memory up to a limit;
 * where a digest has to hold, another one, confined alike, reads the file, hashes it, and passes it on. What
 * comes from them is checked by who gets it. Owns them and the pipe. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "archive/untar.h"
#include "model/digest.h"

struct vu_reader {
	int fd; /* owned; the stream of members; -EBADF: there is none */
	pid_t untar;
	pid_t feeder; /* 0: none */
};

enum vu_reader_e {
	VU_READER_DIGEST = 1, /* the file is not what its digest says */
	VU_READER_DIED, /* a process was killed: for want of memory, or because it tried something else */
};

/*
 * Starts reading the open file fd (borrowed; at its beginning). digest: NULL, or what the file has to have,
 * and size its bytes. hashed: files come with their digests where that is quicker (archive/untar.h), which
 * nobody has proven. Returns 0 or a negative errno.
 */
int vu_reader_start(int fd, const struct vu_digest *digest, uint64_t size,
		    const struct vu_untar_limits *limits, bool hashed, struct vu_reader *ret);

/*
 * Waits for them, after the stream has come to its end. Returns 0, an enum vu_reader_e or a negative errno.
 * Accepts one that was ended.
 */
int vu_reader_end(struct vu_reader *r);

/* Ends them before that: nobody wants the rest. */
void vu_reader_stop(struct vu_reader *r);

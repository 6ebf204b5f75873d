/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that appears under its name at once, when it is complete and on the disk: until then it has
 * none (O_TMPFILE), or where the file system has no such files a random one. Killed at any time, what was
 * there before is there. Any thread.
 */
#pragma once

struct vu_atomic_file {
	int dir;    /* owned; the directory */
	int fd;	    /* owned; open for writing */
	char *base; /* owned; the name that it will have */
	char *tmp;  /* owned; the name that it has now, or NULL */
};

/*
 * Begins a file that is to be at path. Where something else than a regular file is there (a device, a FIFO),
 * that is opened, and written to as it is. Returns 0 or a negative errno; _done in any case.
 */
int vu_atomic_file_begin(struct vu_atomic_file *f, const char *path);

/* Complete: on the disk, and then under its name. Returns 0 or a negative errno. */
int vu_atomic_file_commit(struct vu_atomic_file *f);

/* Gives up what is not committed. Accepts what _begin has failed with. */
void vu_atomic_file_done(struct vu_atomic_file *f);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process has mapped, line by line as /proc/PID/maps shows it. A hostile process chooses how many
 * lines there are and what names the files have: memory is bounded, and a limit on the text can be given.
 * Reads; touches no process. Reading may wait for as long as the process holds its mmap lock (Linux before
 * 6.17), which ends for a fatal signal only: what must not wait is done by a child. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a line that are kept. */
#define VU_MAPS_LINE_MAX 4400

struct vu_map {
	uint64_t start;	 /* address of the first byte */
	uint64_t end;	 /* and that behind the last */
	uint64_t offset; /* of start in the file, in bytes */
	uint64_t dev;	 /* as makedev() makes it; on btrfs the superblock's, which is not st_dev */
	uint64_t ino;	 /* 0: no file */
	char perms[5];	 /* "rw-p" */
	bool deleted;	 /* the name has gone, or another file has it */
	bool cut; /* the line was longer than what is kept: then deleted is not known, and true */
	/*
	 * Borrowed until the next line; any bytes. A newline in it is "\012" (and so is "\012"). Without
	 * " (deleted)". Empty for memory without a name; "[heap]", "[vdso]", "[anon:NAME]": not of a file.
	 */
	const char *path;
};

/*
 * Parses one line without its newline, which is changed. Returns 0, or -EINVAL for what is no such line.
 */
int vu_map_parse(char *line, struct vu_map *ret);

/* Is it a special mapping of the kernel's own ([vdso], [vvar], [vsyscall])? */
bool vu_map_is_special(const struct vu_map *m);

/*
 * Calls fn for each mapping of the process (task_fd: its directory in /proc, or a thread's) until fn
 * returns non-zero, which is returned; else 0, or what opening or reading maps gave (-ESRCH and -ENOENT:
 * it has ended). max_bytes: of text; 0: no limit. What is behind the limit is not told.
 */
int vu_maps_each(int task_fd, uint64_t max_bytes, int (*fn)(void *arg, const struct vu_map *m),
		 void *arg);

/*
 * The same by smaps, which takes a walk of the page tables: with each mapping, whose path is empty here, the bytes
 * of it that are swapped out; of shared memory as far as it is in this mapping's range of the file (Linux 4.5).
 */
int vu_maps_each_swapped(int task_fd, int (*fn)(void *arg, const struct vu_map *m, uint64_t bytes),
			 void *arg);

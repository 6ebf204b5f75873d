/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lines of /proc/PID/mountinfo (proc(5)), one at a time. Opens nothing. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What is read of a line; the strings point into it. */
struct vu_mountinfo {
	uint64_t id;
	uint64_t dev;	   /* the superblock's, as makedev() makes it; on btrfs it is not st_dev */
	const char *root;  /* the directory that is mounted, from the top of its file system */
	const char *point; /* where it is, as the process sees it */
	const char *options; /* of the mount, with commas: "rw,noatime" */
	const char *type;    /* of the file system */
};

/* Splits a line in place. Returns whether it is one. */
bool vu_mountinfo_parse(char *line, struct vu_mountinfo *ret);

/* Is word one of the options? */
bool vu_mountinfo_has_option(const struct vu_mountinfo *m, const char *word);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guests g1 to g3 with equal files, a process in each that writes, and the record of what it was
 * acknowledged: what must be there, in content and metadata, and nowhere else. Part of
 * kill-processes.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

void make_guests(void);

/* The writers begin; they write until end_writers(). */
void start_writers(void);
void end_writers(void);
bool is_writer(pid_t pid);

/* Every file is what its writer was told. They rest meanwhile. */
void check_guests(void);

struct guests_told {
	uint64_t writes, refused, blocked_max_ns;
};

struct guests_told guests_told(void);

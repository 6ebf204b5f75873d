/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Somebody who opens a file for writing while a lease is on it. One at a time: he is now_child of link-farm.h. */
#pragma once

/* Starts him: he opens the path, writes WRITTEN, and ends. Returns when he waits for the lease, or after a while. */
void start_opener(const char *path);

/* Waits for his end. Returns 0, or the errno of his open; -1 if he waits still, after 10 s. */
int opener_got(void);

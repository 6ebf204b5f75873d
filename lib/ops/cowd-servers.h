/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The containers that cowd has been handed, and a process for each that answers its calls: started, and started
 * again when it was killed, until the container has ended. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "cow/kept.h"

#define VU_SERVERS_MAX 4096 /* containers at a time: two descriptors each */

struct vu_servers;

/*
 * command: borrowed, what is executed, with a NULL behind; it finds the descriptors of ops/ops-cowd.h. NULL
 * without memory.
 */
struct vu_servers *vu_servers_new(char *const *command);

/* Closes the descriptors; ends no process. Accepts NULL, returns NULL. */
struct vu_servers *vu_servers_free(struct vu_servers *s);
VU_DEFINE_CLEANUP(struct vu_servers *, vu_servers_free)

/*
 * Adds a container, and owns both descriptors in any case. Returns 0; VU_KEPT_WRONG; -ENOSPC: there are VU_SERVERS_MAX;
 * or another negative errno. Whoever it was handed to before (crun's "exec" says nothing but the container's name) is
 * told by the name.
 */
int vu_servers_add_consume(struct vu_servers *s, int kept, int listener);

/*
 * Starts those that are due, and forgets the containers that have ended: each is told to gone (its key, a text that is
 * ended). Returns in how many ms it is to be called again, -1: when a process has ended.
 */
int vu_servers_start(struct vu_servers *s, void (*gone)(const char *key));

/* A child of this process has ended: is to be called before vu_servers_start. */
void vu_servers_ended(struct vu_servers *s, pid_t pid);

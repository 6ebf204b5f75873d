/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process of a supervised guest does in tests of a supervisor's life: each a supervised_fn
 * (supervised.h). Nothing of cmocka in here: it runs in the guest. Where it is not said otherwise they return
 * what the system call gave, or a negative errno.
 */
#pragma once

#define GUEST_FILES 40	/* /usr/lib/f0 and so on, that act_write_at_once appends to, */
#define GUEST_WRITERS 8 /* by so many processes: each to every eighth */

#define ACT_NO_LANDLOCK 6 /* this kernel has none */

long act_write_to(const char *path, const void *text);
long act_append_to(const char *path, const void *text);
long act_remove_it(const char *path, const void *arg);
/* Gives it another name, behind which '+' stands. */
long act_link_it(const char *path, const void *arg);
/* Asks whether it may be written to. */
long act_ask(const char *path, const void *arg);
long act_cut(const char *path, const void *arg);
/* As act_write_to, but a signal (SIGUSR1) interrupts it. */
long act_write_interrupted(const char *path, const void *text);
/*
 * By one who is under Landlock, which refuses him to write and to remove: returns 0 where the kernel did so. arg: the
 * name that he removes; with_privs: without no_new_privs, as CAP_SYS_ADMIN may.
 */
long act_write_limited(const char *path, const void *arg);
long act_write_limited_with_privs(const char *path, const void *arg);
/* The file is to be cut, but there is no descriptor for it. */
long act_write_at_limit(const char *path, const void *text);
/*
 * While another process waits for copies, private files are changed. Returns the ms that took; -1 if it does
 * not wait.
 */
long act_change_beside(const char *path, const void *arg);
long act_set_up_ring(const char *path, const void *arg);
/* By a mount of the guest's own that is read-only. */
long act_change_read_only(const char *path, const void *arg);
/* The same directory by another mount, and under another name. */
long act_write_elsewhere(const char *path, const void *text);
long act_fork_root(const char *path, const void *arg);
long act_fork_user(const char *path, const void *arg);
/* Returns by which signal who wrote has ended. */
long act_kill_caller(const char *path, const void *arg);
long act_thread_apart(const char *path, const void *arg);
/* Returns how many failed. */
long act_write_at_once(const char *path, const void *arg);

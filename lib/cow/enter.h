/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts a command in a guest, or a launcher of guests, under the filter of cow/filter.h: makes the process, and
 * hands the listener and a pidfd to the caller, the supervisor. Answers no notification and finds no guest.
 *
 * Two processes are made. The first one is process 1 of a PID namespace of its own (but for a launcher, and with
 * VU_ENTER_CHROOT_ONLY, where it is a child like any other): it starts the command, reaps orphans, passes signals
 * on, tells how the command has ended, and ends like it; as a process 1 cannot be killed by a signal of its own,
 * it then exits with 128 + its number. It cannot be traced or dumped, has no capability but KILL, and nothing
 * open but 0, 1, 2, its end of a socket, and a signalfd. With it ends all in its PID namespace, and the mounts.
 *
 * What the command has:
 *   - in a guest: mount, PID, UTS and IPC namespaces of its own (cow/guest-mounts.h), the guest's name as host
 *     name, "/" as working directory, the environment of cow/guest-env.h, umask 022, only group 0, a new session
 *     keyring, nothing open but 0, 1, 2; and not what cow/confine.h takes. The network is the host's.
 *   - with VU_ENTER_CHROOT_ONLY: the same, but for the namespaces and mounts. No confinement of who is hostile:
 *     it sees the host's processes where /proc is mounted, and chroot(2) leads out.
 *   - a launcher: everything as the caller has it, but for CAP_LINUX_IMMUTABLE.
 * No signal is blocked. What was ignored stays so, but for SIGPIPE, SIGXFSZ, SIGIO and SIGCHLD, which vunify
 * itself ignores or wants.
 *
 * A supervisor may be replaced by another process (link/guardian.h): all that is to be known is in memory that
 * they share if vu_entered_new was called before they were split, and descriptors are numbers in their one
 * table. Any of them may call what takes a struct vu_entered, but one at a time. If all of them end, the
 * command stays, and what is notified fails with ENOSYS; before vu_enter_go, it ends.
 *
 * The terminal. If standard input and output are terminals, and the caller is in the foreground, the command
 * gets a process group of its own, in the foreground: ^C and ^Z reach it alone. Otherwise it stays in the
 * caller's group (others of a pipeline are in it, too, and must not lose the terminal), and has the terminal's
 * signals at the same time as the caller; who passes on signals then leaves out those with si_code SI_KERNEL.
 * The supervisor's part is:
 *   - vu_entered_next tells that the command has stopped: vu_entered_take_terminal, then stop as a job does
 *     (kill(0, SIGTSTP), in the process group that the shell knows). In the caller's group, stops by the terminal
 *     are not told: who is in it has stopped as well.
 *   - after each SIGCONT: vu_entered_resume.
 *   - at the end: vu_entered_take_terminal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "cow/filter.h"
#include "cow/guest-mounts.h"

enum vu_enter_flag {
	VU_ENTER_CHROOT_ONLY = 1 << 0, /* no namespaces, nothing mounted */
};

struct vu_enter {
	int root; /* borrowed: the guest's root, open (O_PATH is enough); below 0: a launcher */
	unsigned flags;
	const char *host_name;	  /* of a guest; cut to what the kernel takes, 64 bytes */
	char *const *argv;	  /* with a NULL behind; argv[0] is searched in the guest's PATH */
	char *const *environment; /* of the caller, with a NULL behind */
	struct vu_filter *filter; /* or NULL */
};

/* How the command ended. */
struct vu_enter_end {
	int exit_code; /* 128 + signal; 127: not found, 126: found, but cannot be executed */
	int signal;    /* that ended it, or 0 */
	int error;     /* negative errno: why it could not be executed; or 0 */
};

enum vu_entered_e {
	VU_ENTERED_STOPPED = 1, /* the command has stopped */
	VU_ENTERED_OVER = 2,	/* there will be no more to tell: the first process ends */
};

struct vu_entered;

/* Returns NULL without memory. */
struct vu_entered *vu_entered_new(void);

/* Closes the descriptors: with a table that is shared, only the last one calls it. Ends nothing. */
struct vu_entered *vu_entered_free(struct vu_entered *e);
VU_DEFINE_CLEANUP(struct vu_entered *, vu_entered_free)

/*
 * Makes the processes, up to the point where the command is to be executed. To be called once for an e, with one
 * thread. Returns 0; -ECANCELED when a stop was requested meanwhile (base/stop.h); or another negative errno, with
 * vu_entered_doing: then nothing is left. -EINVAL from the mounts: the caller is in a chroot, or the system's root
 * is the initial ramfs. -ENOSYS from them: Linux before 5.12.
 */
int vu_enter(struct vu_entered *e, const struct vu_enter *how);

/* What has failed, as in "cannot mount /proc"; static. */
const char *vu_entered_doing(const struct vu_entered *e);

/* Places that nothing is mounted at (cow/guest-mounts.h). Returns how many. */
size_t vu_entered_left_out(const struct vu_entered *e, const struct vu_left_out **ret);

/*
 * Descriptors, which e keeps. The listener: -EBADF without a filter. The pidfd of the first process: readable
 * when it has ended, and all of its PID namespace; killing it ends them. The events: readable when
 * vu_entered_next has something to tell.
 */
int vu_entered_listener(const struct vu_entered *e);
int vu_entered_pidfd(const struct vu_entered *e);
int vu_entered_events(const struct vu_entered *e);

/* Is the wait for its answers ended by signals that kill alone (vu_filter_install)? */
bool vu_entered_waits_killably(const struct vu_entered *e);

/* The first process's number. */
pid_t vu_entered_pid(const struct vu_entered *e);

/* Has the command a process group of its own? */
bool vu_entered_own_group(const struct vu_entered *e);

/* Was it made? Then who asks takes the place of a supervisor that was killed. */
bool vu_entered_is_started(const struct vu_entered *e);

/* Is it one of its descriptors? They outlive a supervisor that is killed. */
bool vu_entered_holds(const struct vu_entered *e, int fd);

/* Has the command executed: from now on there are notifications. The second time: 0. Or a negative errno. */
int vu_enter_go(struct vu_entered *e);

/* Sends a signal to the command; also SIGCONT, without the terminal. Returns 0 or a negative errno (-ESRCH). */
int vu_entered_signal(struct vu_entered *e, int signo);

/* Takes the next event. Returns 0 if there is none, VU_ENTERED_STOPPED with ret_signal, or VU_ENTERED_OVER. */
int vu_entered_next(struct vu_entered *e, int *ret_signal);

/* Continues the command: with the terminal, if the caller is in the foreground. */
void vu_entered_resume(struct vu_entered *e);

/* Puts the caller's process group into the foreground again, if it was given to the command. */
void vu_entered_take_terminal(struct vu_entered *e);

/*
 * Has the first process ended? Returns whether, with how the command did; SIGKILL if nobody could tell. Reaps it,
 * where it is a child of the caller.
 */
bool vu_entered_end(struct vu_entered *e, struct vu_enter_end *ret);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/guest-command.h"

#include <errno.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cow/confine.h"

/* Notes what is being done next, for the message if it fails. */
static bool step(const struct vu_init *init, int r, const char *next)
{
	if (r)
		return false;
	init->told->doing = next;
	return true;
}

/* What a login gives: no trace of who has called. */
static int log_in(void)
{
	const gid_t none = 0;

	/* without keyrings in the kernel there is nothing to leave */
	(void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
	umask(022);
	if (setgroups(1, &none) || setresgid(0, 0, 0) || setresuid(0, 0, 0))
		return -errno;
	return 0;
}

static int change_root(int root)
{
	return fchdir(root) || chroot(".") || chdir("/") ? -errno : 0;
}

/*
 * Without a PID namespace nothing else would end it with the first process: a launcher is asked to, since it has
 * guests to stop.
 */
static int end_with(pid_t first, bool launcher)
{
	if (prctl(PR_SET_PDEATHSIG, launcher ? SIGTERM : SIGKILL, 0, 0, 0))
		return -errno;
	return getppid() == first ? 0 : -ECHILD;
}

/* Does what is to be done before the filter. */
static int prepare(const struct vu_init *init, int control, int go)
{
	const struct vu_enter *how = init->how;
	bool guest = how->root >= 0;
	int r = 0;

	if (step(init, r, "cannot make a process group") && init->own_group)
		r = setpgid(0, 0) ? -errno : 0;
	if (step(init, r, "cannot change the root directory") && guest &&
	    !vu_init_has_namespaces(how))
		r = change_root(how->root);
	if (step(init, r, "cannot close the host's descriptors") && guest)
		r = vu_init_close_others(control, go);
	if (step(init, r, "cannot become the guest's root user") && guest)
		r = log_in();
	if (step(init, r, "cannot keep it from typing into the terminal") && guest)
		r = vu_confine_terminal();
	return r;
}

/* The filter, and what may come only after it. Returns the listener or a negative errno in ret_listener. */
static int submit(const struct vu_init *init, pid_t first, int *ret_listener, bool *ret_killable)
{
	const struct vu_enter *how = init->how;
	bool launcher = how->root < 0;
	int r = 0;

	if (step(init, r, "cannot install the seccomp filter") && how->filter) {
		*ret_listener = vu_filter_install(how->filter, ret_killable);
		r = *ret_listener < 0 ? *ret_listener : 0;
	}
	if (step(init, r, "cannot drop capabilities"))
		r = launcher ? vu_confine_immutable() : vu_confine_guest();
	if (step(init, r, "cannot tie it to its first process") && !vu_init_has_namespaces(how))
		r = end_with(first, launcher);
	return r;
}

/* Actions as they were before vunify set its own; a handler of it must not run any more. */
static void reset_signals(void)
{
	static const int own[] = {SIGPIPE, SIGXFSZ, SIGIO, SIGCHLD};
	struct sigaction a, plain = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int s = 1; s <= SIGRTMAX; s++)
		if (!sigaction(s, NULL, &a) && a.sa_handler != SIG_IGN)
			sigaction(s, &plain, NULL);
	for (size_t i = 0; i < VU_ARRAY_SIZE(own); i++)
		sigaction(own[i], &plain, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void execute(const struct vu_init *init)
{
	char *const *argv = init->how->argv;

	if (init->own_group)
		(void)tcsetpgrp(STDIN_FILENO, getpgrp());
	reset_signals();
	/* execvp takes PATH from here, execvpe does too */
	environ = (char **)(uintptr_t)init->environment;
	execvp(argv[0], argv);
	atomic_store(&init->told->exec_error, -errno);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Waits for a word of the first process. It has ended, or the caller has: so does this. */
static void await(int go)
{
	char c;

	if (read(go, &c, 1) != 1)
		_exit(1);
}

_Noreturn void vu_init_command(const struct vu_init *init, pid_t first, int control, int go)
{
	int listener = -EBADF, r;
	bool killable = false;

	await(go);
	r = prepare(init, control, go);
	if (!r)
		r = submit(init, first, &listener, &killable);
	if (r)
		vu_init_fail(control, r);
	if (vu_init_tell(control, VU_INIT_READY, killable, listener))
		_exit(1);
	close(control);
	vu_close_p(&listener);
	await(go);
	execute(init);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The child lets itself be traced, so that it stops when the new program is there, before its first
 * instruction. Whether its memory is to be merged is then told by ksm_stat (Linux 6.16), or by the "mg" among
 * the flags of a mapping in smaps.
 */
#include "mem/ksm-self.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mem/ksm.h"

#define SET_MEMORY_MERGE 67 /* Debian 12's headers have it not */

int vu_ksm_self_set(bool on)
{
	return prctl(SET_MEMORY_MERGE, (unsigned long)on, 0, 0, 0) ? -errno : 0;
}

static void be_tried(void)
{
	char *const argv[] = {(char[]){"vunify"}, NULL};
	char *const none[] = {NULL};

	if (vu_ksm_self_set(true) || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(1);
	execve("/proc/self/exe", argv, none);
	_exit(1);
}

static bool has_merged_mapping(int proc_fd)
{
	_cleanup_fd_ int fd = openat(proc_fd, "smaps", O_RDONLY | O_CLOEXEC);
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	bool found = false;

	if (!f)
		return false;
	fd = -EBADF;
	while (!found && getline(&line, &size, f) > 0)
		found = !strncmp(line, "VmFlags:", 8) && strstr(line, " mg");
	return found;
}

static int is_in(pid_t pid)
{
	char path[32];
	struct vu_ksm_process p = {0};

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	_cleanup_fd_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return (!vu_ksm_process_read(fd, &p) && p.merge_any) || has_merged_mapping(fd);
}

int vu_ksm_self_is_inherited(void)
{
	int status = 0, r;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		be_tried();
	while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	if (r < 0)
		return -errno;
	if (!WIFSTOPPED(status))
		return 0;
	r = is_in(pid);
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return r;
}

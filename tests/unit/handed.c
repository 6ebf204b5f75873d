/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fork.h"
#include "cow/filter.h"
#include "cow/handoff-lxc.h"
#include "handed.h"

int handed_listener(void)
{
	struct vu_filter *f = NULL;
	int status;

	assert_int_equal(vu_filter_new(0, 0, &f), 0);
	/* its table of descriptors is ours */
	pid_t pid = vu_fork(CLONE_FILES, NULL);

	assert_true(pid >= 0);
	if (!pid) {
		/* so that nobody has to be root */
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(vu_filter_install(f, NULL) & 0xff);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	vu_filter_free(f);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) > 2 && WEXITSTATUS(status) < 200);
	return WEXITSTATUS(status);
}

int handed_caller(pid_t *ret)
{
	struct vu_filter *f = NULL;
	int told[2], listener;

	assert_int_equal(vu_filter_new(0, 0, &f), 0);
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	/* the listener comes by the table of descriptors */
	*ret = vu_fork(CLONE_FILES, NULL);
	assert_true(*ret >= 0);
	if (!*ret) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		listener = vu_filter_install(f, NULL);
		if (write(told[1], &listener, sizeof(listener)) != sizeof(listener))
			_exit(1);
		_exit(unlink("/nowhere/a") ? errno : 0);
	}
	assert_int_equal(read(told[0], &listener, sizeof(listener)), sizeof(listener));
	close(told[0]);
	close(told[1]);
	vu_filter_free(f);
	assert_true(listener >= 0);
	return listener;
}

size_t handed_lxc_message(char *out, const struct seccomp_notif_sizes *kernel, pid_t monitor,
			  const struct seccomp_notif *req, const char *cookie)
{
	struct vu_lxc_header h = {0, monitor, 400, *kernel, strlen(cookie)};
	size_t n = sizeof(h);

	memset(out, 0, VU_LXC_BYTES_MAX);
	memcpy(out, &h, n);
	memcpy(out + n, req, sizeof(*req));
	n += kernel->seccomp_notif;
	/* what is in LXC's buffer for the answer is the last one */
	memset(out + n, 0xa5, kernel->seccomp_notif_resp);
	n += kernel->seccomp_notif_resp;
	memcpy(out + n, cookie, strlen(cookie));
	return n + strlen(cookie);
}

size_t handed_n_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

void handed_send(int sock, const void *bytes, size_t size, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(253 * sizeof(int))];
	} u = {.header = {CMSG_LEN(n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec iov = {(void *)(uintptr_t)bytes, size};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		h.msg_control = &u;
		h.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&u.header), fds, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &h, MSG_NOSIGNAL), size);
}

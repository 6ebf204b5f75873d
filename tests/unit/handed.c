/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
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
		_exit(vu_filter_install(f) & 0xff);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	vu_filter_free(f);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) > 2 && WEXITSTATUS(status) < 200);
	return WEXITSTATUS(status);
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

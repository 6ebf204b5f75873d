/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "opener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link-farm.h"

void start_opener(const char *path)
{
	now_child = fork();
	if (!now_child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, ~0U, 0); /* or it would keep the lease that it waits for */
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		_exit(fd < 0 ? errno : pwrite(fd, "WRITTEN", 7, 0) != 7);
	}
	for (int i = 0; i < 1000; i++) {
		if (!sh("grep -q 'BREAKER *WRITE %d ' /proc/locks", (int)now_child))
			break;
		usleep(1000);
	}
}

int opener_got(void)
{
	int status = 0;

	for (int i = 0; i < 1000; i++) {
		pid_t p = waitpid(now_child, &status, WNOHANG);

		assert_true(p >= 0);
		if (p) {
			now_child = 0;
			assert_true(WIFEXITED(status));
			return WEXITSTATUS(status);
		}
		usleep(10000);
	}
	print_message("he waits still\n");
	return -1;
}

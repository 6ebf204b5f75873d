/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm-write - appends a line to each file, as somebody does who knows nothing of sharing.
 *
 * usage: vm-write LINE FILE...
 *
 * Prints how many it has written, and how many failed with which error, if any. Each open is waited for as long
 * as it takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int n = 0, errors[200] = {0};

	if (argc < 3)
		return 2;
	for (int i = 2; i < argc; i++) {
		int fd = open(argv[i], O_WRONLY | O_APPEND | O_CLOEXEC);

		if (fd < 0)
			errors[errno < 200 ? errno : 0]++;
		else if (dprintf(fd, "%s\n", argv[1]) > 0)
			n++;
		if (fd >= 0)
			close(fd);
	}
	printf("%d written", n);
	for (int e = 0; e < 200; e++)
		if (errors[e])
			printf(", %d: %s", errors[e], strerror(e));
	putchar('\n');
	return n != argc - 2;
}

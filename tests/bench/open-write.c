/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * open-write FILE N: opens a file for writing and closes it, N times. Prints the microseconds of one time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec from, to;
	long n = argc == 3 ? strtol(argv[2], NULL, 10) : 0;

	if (n <= 0)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (long i = 0; i < n; i++) {
		int fd = open(argv[1], O_WRONLY | O_CLOEXEC);

		if (fd < 0)
			return 1;
		close(fd);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%.3f\n",
	       ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
		       1e3 / (double)n);
	return 0;
}

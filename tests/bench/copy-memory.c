/* SPDX-License-Identifier: GPL-2.0-or-later */
/* copy-memory BYTES: copies that many, by as many threads as there are processors; prints GB/s. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define STEP (256UL << 10)
#define SOURCE (128UL << 20) /* more than caches hold */

static size_t share;

static void *copy(void *arg)
{
	char *to = malloc(STEP);
	const char *from = arg;

	for (size_t done = 0; to && done < share; done += STEP) {
		memcpy(to, from + done % SOURCE, STEP);
		__asm__ volatile("" : : "r"(to) : "memory");
	}
	free(to);
	return NULL;
}

int main(int argc, char **argv)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	double bytes = argc > 1 ? strtod(argv[1], NULL) : 1e9;
	pthread_t thread[256];
	struct timespec a, b;
	char *from[256];

	n = n < 1 ? 1 : n > 256 ? 256 : n;
	share = (size_t)(bytes / (double)n);
	for (long i = 0; i < n; i++) {
		from[i] = mmap(NULL, SOURCE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (from[i] == MAP_FAILED)
			return 1;
		memset(from[i], (int)i + 1, SOURCE);
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < n; i++)
		if (pthread_create(&thread[i], NULL, copy, from[i]))
			return 1;
	for (long i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%.3f\n",
	       bytes / 1e9 /
		       ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9));
	return 0;
}

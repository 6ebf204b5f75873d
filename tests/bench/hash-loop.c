/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hash-loop THREADS LIST [BYTES]: opens, reads and hashes the files that LIST names, one a line; with BYTES hashes that
 * many, of one buffer, and reads nothing. For tests/bench/verify.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 131072

static char **files;
static size_t n_files;
static atomic_size_t next_file;
static atomic_llong bytes_left;

static void *work(void *arg)
{
	EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	char *buf = malloc(CHUNK);
	unsigned char digest[32];
	size_t i;

	memset(buf, 1, CHUNK);
	if (bytes_left > 0 && !EVP_DigestInit_ex2(ctx, md, NULL))
		abort();
	while (atomic_fetch_sub(&bytes_left, CHUNK) > 0)
		EVP_DigestUpdate(ctx, buf, CHUNK);
	while ((i = atomic_fetch_add(&next_file, 1)) < n_files) {
		int fd = open(files[i], O_RDONLY | O_NOATIME | O_CLOEXEC);
		ssize_t n;

		if (fd < 0 || !EVP_DigestInit_ex2(ctx, md, NULL))
			abort();
		do {
			n = read(fd, buf, CHUNK);
			if (n < 0 || !EVP_DigestUpdate(ctx, buf, (size_t)n))
				abort();
		} while (n == CHUNK);
		EVP_DigestFinal_ex(ctx, digest, NULL);
		close(fd);
	}
	free(buf);
	EVP_MD_CTX_free(ctx);
	EVP_MD_free(md);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t[64];
	char line[4096];
	int n = argc > 2 ? atoi(argv[1]) : 0;
	FILE *f = argc > 2 ? fopen(argv[2], "r") : NULL;

	if (!f || n < 1 || n > 64)
		return 2;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		files = realloc(files, (n_files + 1) * sizeof(*files));
		files[n_files++] = strdup(line);
	}
	fclose(f);
	if (argc > 3) {
		bytes_left = atoll(argv[3]);
		n_files = 0;
	}
	for (int i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, work, NULL))
			abort();
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	return 0;
}

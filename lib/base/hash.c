/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/hash.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>

struct vu_hash {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
	bool ok;
};

struct vu_hash *vu_hash_new(void)
{
	/* OpenSSL 3.0 crashes where it had no memory to set itself up */
	if (!OSSL_LIB_CTX_get0_global_default())
		return NULL;
	struct vu_hash *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	return h->md && h->ctx ? h : vu_hash_free(h);
}

struct vu_hash *vu_hash_free(struct vu_hash *h)
{
	if (!h)
		return NULL;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h);
	return NULL;
}

void vu_hash_begin(struct vu_hash *h)
{
	h->ok = EVP_DigestInit_ex2(h->ctx, h->md, NULL) == 1;
}

void vu_hash_add(struct vu_hash *h, const void *data, size_t len)
{
	h->ok = h->ok && EVP_DigestUpdate(h->ctx, data, len) == 1;
}

int vu_hash_end(struct vu_hash *h, uint8_t *ret)
{
	return h->ok && EVP_DigestFinal_ex(h->ctx, ret, NULL) == 1 ? 0 : -EIO;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An index and a manifest of an OCI image layout: the input is both. What is taken of either keeps the limits, and is
 * not taken without a digest; what is refused is refused with a reason; what is chosen is one that is there.
 */
#include "fuzz.h"

#include "archive/oci.h"

static void choose(const struct vu_oci_index *index, const char *tag)
{
	const struct vu_oci_entry *e = NULL;
	char *why = NULL;
	int r = vu_oci_choose(index, tag, "linux/amd64", &e, &why);

	CHECK(r == 0 || r == VU_OCI_BAD);
	CHECK(!r == !why && (!why || *why));
	CHECK(r || (e >= index->v && e < index->v + index->n));
	CHECK(r || !tag || !strcmp(e->tag, tag));
	CHECK(r || !e->platform || !strncmp(e->platform, "linux/amd64", 11));
	free(why);
}

static void index_of(const char *text, size_t n)
{
	struct vu_oci_index index;
	char *why = NULL;
	int r = vu_oci_parse_index(text, n, &index, &why);

	CHECK(r == 0 || r == VU_OCI_BAD);
	CHECK(!r == !why && (!why || *why));
	free(why);
	if (r)
		return;
	CHECK(index.n <= VU_OCI_IMAGES_MAX);
	choose(&index, NULL);
	for (size_t i = 0; i < index.n && i < 8; i++)
		choose(&index, index.v[i].tag);
	choose(&index, "none such");
	vu_oci_index_done(&index);
	CHECK(!index.v && !index.n);
}

static void manifest_of(const char *text, size_t n)
{
	struct vu_oci_layers layers;
	char *why = NULL;
	int r = vu_oci_parse_manifest(text, n, &layers, &why);

	CHECK(r == 0 || r == VU_OCI_BAD);
	CHECK(!r == !why && (!why || *why));
	free(why);
	if (r)
		return;
	CHECK(layers.n && layers.n <= VU_OCI_LAYERS_MAX);
	for (size_t i = 0; i < layers.n; i++)
		CHECK(layers.v[i].size <= INT64_MAX);
	vu_oci_layers_done(&layers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	CHECK(text);
	memcpy(text, data, size);
	index_of(text, size);
	manifest_of(text, size);
	free(text);
	return 0;
}

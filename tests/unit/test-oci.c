/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/oci.h"
#include "base/cleanup.h"

#define DIGEST(c) "sha256:" c c c c c c c c c c c c c c c c
#define IMAGE "\"mediaType\": \"application/vnd.oci.image.manifest.v1+json\""
#define TAG(t) "\"annotations\": {\"org.opencontainers.image.ref.name\": \"" t "\"}"
#define FOR(arch) "\"platform\": {\"os\": \"linux\", \"architecture\": \"" arch "\"}"

static struct vu_oci_index parse(const char *text)
{
	struct vu_oci_index i;
	char *why = NULL;

	if (vu_oci_parse_index(text, strlen(text), &i, &why))
		fail_msg("%s", why);
	return i;
}

static const char several[] =
	"{\"schemaVersion\": 2, \"manifests\": ["
	"{" IMAGE ", \"digest\": \"" DIGEST("aaaa") "\", \"size\": 1, " TAG("one") ", " FOR(
		"amd64") "},"
			 "{" IMAGE
			 ", \"digest\": \"" DIGEST("bbbb") "\", \"size\": 2, " TAG("one") ", " FOR(
				 "arm64") "},"
					  "{" IMAGE
					  ", \"digest\": \"" DIGEST("cccc") "\", \"size\": 3, " TAG(
						  "two") "},"
							 "{\"mediaType\": \"application/vnd.example.signature\", \"digest\": \"none\"}]}";

/* By tag and platform; what says no platform is for all; what is no image is none. */
static void choosing(void **state)
{
	struct vu_oci_index i = parse(several);
	const struct vu_oci_entry *e;
	char *why = NULL;

	(void)state;
	assert_int_equal(i.n, 3);
	assert_int_equal(vu_oci_choose(&i, "one", "linux/arm64", &e, &why), 0);
	assert_int_equal(e->blob.size, 2);
	assert_int_equal(e->blob.digest.b[31], 0xbb);
	assert_int_equal(vu_oci_choose(&i, "two", "linux/s390x", &e, &why), 0);
	assert_int_equal(e->blob.size, 3);
	assert_int_equal(vu_oci_choose(&i, NULL, "linux/s390x", &e, &why), 0);
	assert_int_equal(vu_oci_choose(&i, NULL, "linux/amd64", &e, &why), VU_OCI_BAD);
	assert_non_null(strstr(why, "more than one image"));
	free(why);
	assert_int_equal(vu_oci_choose(&i, "three", "linux/amd64", &e, &why), VU_OCI_BAD);
	assert_non_null(
		strstr(why, "one (linux/amd64), one (linux/arm64), two (no platform said)"));
	free(why);
	vu_oci_index_done(&i);
}

static void refused(void **state)
{
	static const char *const indices[] = {
		"",
		"[]",
		"{}",
		"{\"schemaVersion\": 2}",
		"{\"schemaVersion\": 2, \"manifests\": {}}",
		"{\"schemaVersion\": 2, \"manifests\": [{" IMAGE "}]}",
		"{\"schemaVersion\": 2, \"manifests\": [{" IMAGE
		", \"digest\": \"sha256:aa\", \"size\": 1}]}",
		"{\"schemaVersion\": 2, \"manifests\": [{" IMAGE
		", \"digest\": \"" DIGEST("aaaA") "\", \"size\": 1}]}",
		"{\"schemaVersion\": 2, \"manifests\": [{" IMAGE
		", \"digest\": \"" DIGEST("aaaa") "\"}]}",
		"{\"schemaVersion\": 2, \"manifests\": [{" IMAGE
		", \"digest\": \"" DIGEST("aaaa") "\", \"size\": 1.5}]}",
	};

	(void)state;
	for (size_t k = 0; k < VU_ARRAY_SIZE(indices); k++) {
		struct vu_oci_index i;
		char *why = NULL;

		assert_int_equal(vu_oci_parse_index(indices[k], strlen(indices[k]), &i, &why),
				 VU_OCI_BAD);
		assert_non_null(why);
		free(why);
	}
}

#define LAYER(type)                                                                                \
	"{\"mediaType\": \"application/vnd." type                                                  \
	"\", \"digest\": \"" DIGEST("dddd") "\", \"size\": 9}"

static void manifests(void **state)
{
	static const char *const texts[] = {
		"{\"schemaVersion\": 2, \"layers\": [" LAYER("oci.image.layer.v1.tar+gzip") "," LAYER(
			"docker.image.rootfs.diff.tar.gzip") "]}",
		"{\"schemaVersion\": 2, \"layers\": []}",
		"{\"schemaVersion\": 2, \"layers\": [" LAYER("example") "]}",
	};

	(void)state;
	for (size_t k = 0; k < VU_ARRAY_SIZE(texts); k++) {
		struct vu_oci_layers l;
		char *why = NULL;

		assert_int_equal(vu_oci_parse_manifest(texts[k], strlen(texts[k]), &l, &why),
				 k ? VU_OCI_BAD : 0);
		assert_int_equal(l.n, k ? 0 : 2);
		free(why);
		vu_oci_layers_done(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choosing),
		cmocka_unit_test(refused),
		cmocka_unit_test(manifests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

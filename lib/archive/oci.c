/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive/oci.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hex.h"

#define REF_NAME "org.opencontainers.image.ref.name"
#define SHA256 "sha256:"

static const char *const index_types[] = {
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	NULL,
};

static const char *const manifest_types[] = {
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	NULL,
};

/* How it is compressed libarchive finds out by itself. */
static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
	NULL,
};

__attribute__((format(printf, 2, 3))) static int bad(char **ret_why, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_why, format, ap) < 0)
		*ret_why = NULL;
	va_end(ap);
	return *ret_why ? VU_OCI_BAD : -ENOMEM;
}

static bool is_one_of(const char *s, const char *const *list)
{
	for (; s && *list; list++)
		if (!strcmp(s, *list))
			return true;
	return false;
}

static void decref_p(json_t **j)
{
	json_decref(*j);
}

static json_t *load(const char *text, size_t n, const char *what, char **ret_why, int *ret_r)
{
	json_error_t e;
	json_t *top = n > VU_OCI_TEXT_MAX ? NULL : json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);

	if (n > VU_OCI_TEXT_MAX)
		*ret_r = bad(ret_why, "its %s is larger than 4 MiB", what);
	else if (!top)
		*ret_r = bad(ret_why, "its %s is no JSON: %s (line %d)", what, e.text, e.line);
	else if (json_integer_value(json_object_get(top, "schemaVersion")) != 2)
		*ret_r = bad(ret_why, "its %s is none of schemaVersion 2", what);
	else
		return top;
	json_decref(top);
	return NULL;
}

/* The digest and the size of a descriptor. */
static int parse_blob(const json_t *d, struct vu_oci_blob *ret, char **ret_why)
{
	const char *digest = json_string_value(json_object_get(d, "digest"));
	const json_t *size = json_object_get(d, "size");

	if (!digest || strncmp(digest, SHA256, strlen(SHA256)) != 0 ||
	    strlen(digest) != strlen(SHA256) + VU_DIGEST_HEX ||
	    strspn(digest + strlen(SHA256), "0123456789abcdef") != VU_DIGEST_HEX ||
	    vu_hex_decode(digest + strlen(SHA256), VU_DIGEST_BYTES, ret->digest.b))
		return bad(ret_why, "it names a blob by what is no sha256 digest: %.200s",
			   digest ? digest : "(nothing)");
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return bad(ret_why, "it does not say how large the blob %s is", digest);
	ret->size = (uint64_t)json_integer_value(size);
	return 0;
}

/* ---- indices ---- */

static int parse_platform(const json_t *p, char **ret)
{
	const char *os = json_string_value(json_object_get(p, "os"));
	const char *arch = json_string_value(json_object_get(p, "architecture"));
	const char *variant = json_string_value(json_object_get(p, "variant"));

	*ret = NULL;
	if (!os || !arch)
		return 0;
	if (asprintf(ret, "%s/%s%s%s", os, arch, variant ? "/" : "", variant ? variant : "") < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int parse_entry(const json_t *d, struct vu_oci_entry *e, char **ret_why)
{
	const char *tag =
		json_string_value(json_object_get(json_object_get(d, "annotations"), REF_NAME));
	int r = parse_blob(d, &e->blob, ret_why);

	if (!r)
		r = parse_platform(json_object_get(d, "platform"), &e->platform);
	if (r || !tag)
		return r;
	e->tag = strdup(tag);
	return e->tag ? 0 : -ENOMEM;
}

int vu_oci_parse_index(const char *text, size_t n, struct vu_oci_index *ret, char **ret_why)
{
	int r = 0;
	vu_cleanup(decref_p) json_t *top = load(text, n, "index", ret_why, &r);
	const json_t *list = json_object_get(top, "manifests");
	size_t count = json_array_size(list);

	*ret = (struct vu_oci_index){0};
	if (!top)
		return r;
	if (!json_is_array(list) || count > VU_OCI_IMAGES_MAX)
		return bad(ret_why, "its index has no list of images, or one of more than %d",
			   VU_OCI_IMAGES_MAX);
	ret->v = calloc(count + 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	for (size_t i = 0; !r && i < count; i++) {
		const json_t *d = json_array_get(list, i);
		const char *type = json_string_value(json_object_get(d, "mediaType"));

		/* signatures and the like stand there too */
		if (!is_one_of(type, index_types) && !is_one_of(type, manifest_types))
			continue;
		ret->v[ret->n].is_index = is_one_of(type, index_types);
		r = parse_entry(d, &ret->v[ret->n++], ret_why);
	}
	if (r)
		vu_oci_index_done(ret);
	return r;
}

void vu_oci_index_done(struct vu_oci_index *i)
{
	for (size_t k = 0; k < i->n; k++) {
		free(i->v[k].tag);
		free(i->v[k].platform);
	}
	free(i->v);
	*i = (struct vu_oci_index){0};
}

/* ---- manifests ---- */

int vu_oci_parse_manifest(const char *text, size_t n, struct vu_oci_layers *ret, char **ret_why)
{
	int r = 0;
	vu_cleanup(decref_p) json_t *top = load(text, n, "manifest", ret_why, &r);
	const json_t *list = json_object_get(top, "layers");
	size_t count = json_array_size(list);

	*ret = (struct vu_oci_layers){0};
	if (!top)
		return r;
	if (!count || count > VU_OCI_LAYERS_MAX)
		return bad(ret_why, "its manifest has no layers, or more than %d",
			   VU_OCI_LAYERS_MAX);
	ret->v = calloc(count, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	for (size_t i = 0; !r && i < count; i++) {
		const json_t *d = json_array_get(list, i);
		const char *type = json_string_value(json_object_get(d, "mediaType"));

		r = is_one_of(type, layer_types)
			    ? parse_blob(d, &ret->v[ret->n++], ret_why)
			    : bad(ret_why, "it has a layer of a type that is not known: %.200s",
				  type ? type : "(none)");
	}
	if (r)
		vu_oci_layers_done(ret);
	return r;
}

void vu_oci_layers_done(struct vu_oci_layers *l)
{
	free(l->v);
	*l = (struct vu_oci_layers){0};
}

/* ---- choosing ---- */

const char *vu_oci_platform(void)
{
#if defined(__x86_64__)
	return "linux/amd64";
#elif defined(__aarch64__)
	return "linux/arm64";
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return "linux/ppc64le";
#elif defined(__s390x__)
	return "linux/s390x";
#elif defined(__riscv) && __riscv_xlen == 64
	return "linux/riscv64";
#else
	return "linux/unknown";
#endif
}

/* "linux/arm64/v8" is "linux/arm64". */
static bool is_for(const struct vu_oci_entry *e, const char *platform)
{
	size_t n = strlen(platform);

	return !e->platform ||
	       (!strncmp(e->platform, platform, n) && (!e->platform[n] || e->platform[n] == '/'));
}

static bool has_tag(const struct vu_oci_entry *e, const char *tag)
{
	return !tag || (e->tag && !strcmp(e->tag, tag));
}

/* What there is: "stable (linux/amd64), 1.2 (linux/arm64)". */
static char *list_of(const struct vu_oci_index *i)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	for (size_t k = 0; f && k < i->n && k < 20; k++)
		fprintf(f, "%s%.100s (%.100s)", k ? ", " : "",
			i->v[k].tag ? i->v[k].tag : "without a tag",
			i->v[k].platform
				? i->v[k].platform
				: (i->v[k].is_index ? "several platforms" : "no platform said"));
	if (f && i->n > 20)
		fputs(", ...", f);
	if (!f || fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

int vu_oci_choose(const struct vu_oci_index *i, const char *tag, const char *platform,
		  const struct vu_oci_entry **ret, char **ret_why)
{
	const struct vu_oci_entry *found = NULL;
	_cleanup_free_ char *there = NULL;
	size_t n = 0;

	for (size_t k = 0; k < i->n; k++) {
		if (!has_tag(&i->v[k], tag) || !is_for(&i->v[k], platform))
			continue;
		/* the same image may stand there twice */
		if (found && !memcmp(&found->blob, &i->v[k].blob, sizeof(found->blob)))
			continue;
		found = &i->v[k];
		n++;
	}
	if (n == 1) {
		*ret = found;
		return 0;
	}
	there = list_of(i);
	if (!there)
		return -ENOMEM;
	return bad(ret_why, "%s image%s%s for %s in it; there is: %s", n ? "more than one" : "no",
		   tag ? " called " : "", tag ? tag : "", platform, *there ? there : "none at all");
}

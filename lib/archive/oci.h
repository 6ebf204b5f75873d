/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OCI image layouts (image-spec 1.1: oci-layout, index.json, blobs/sha256/...), as skopeo and umoci write
 * them: which image is meant, and which layers it has. What is in a layout is hostile: texts are read up to a
 * limit, nothing but regular files beneath the layout is opened, and a blob that is read as text has the digest
 * that leads to it. Layers are only named here. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/digest.h"

#define VU_OCI_TEXT_MAX ((size_t)4 << 20) /* bytes of an index or a manifest */
#define VU_OCI_LAYERS_MAX 1000
#define VU_OCI_IMAGES_MAX 1000 /* in an index */

/* A blob, as others name it. */
struct vu_oci_blob {
	struct vu_digest digest;
	uint64_t size;
};

/* An image in an index. */
struct vu_oci_entry {
	struct vu_oci_blob blob;
	char *tag;	/* owned; or NULL */
	char *platform; /* owned; "linux/amd64", with a variant "linux/arm/v7"; NULL: not said */
	bool is_index;	/* another index, of one image for several platforms */
};

struct vu_oci_index {
	struct vu_oci_entry *v; /* owned */
	size_t n;
};

struct vu_oci_layers {
	struct vu_oci_blob *v; /* owned; the lowest first */
	size_t n;
};

enum vu_oci_e {
	VU_OCI_BAD =
		1 /* *ret_why says what is wrong: malloc'ed, with bytes of the layout's choice */
};

/* From texts. Return 0, VU_OCI_BAD, or -ENOMEM. */
int vu_oci_parse_index(const char *text, size_t n, struct vu_oci_index *ret, char **ret_why);
int vu_oci_parse_manifest(const char *text, size_t n, struct vu_oci_layers *ret, char **ret_why);

void vu_oci_index_done(struct vu_oci_index *i);
void vu_oci_layers_done(struct vu_oci_layers *l);

/*
 * The entry for a tag (NULL: there is only one) and a platform ("linux/amd64"). Returns 0, VU_OCI_BAD with
 * what there is to choose from, or -ENOMEM. One that says no platform is for all.
 */
int vu_oci_choose(const struct vu_oci_index *i, const char *tag, const char *platform,
		  const struct vu_oci_entry **ret, char **ret_why);

/* The platform of this machine. Static. */
const char *vu_oci_platform(void);

/*
 * The layers of the image with a tag (or NULL) in the layout whose directory is open. Returns 0, VU_OCI_BAD,
 * or a negative errno.
 */
int vu_oci_find(int layout, const char *tag, struct vu_oci_layers *ret, char **ret_why);

/* Is it "oci:DIR" or "oci:DIR:TAG", as admins name an image? */
bool vu_oci_is_named(const char *name);

/*
 * The same of an image that is named so: a directory that is there may have a colon in its name. ret_layout: the
 * open directory, the caller's, or -EBADF. Returns as vu_oci_find.
 */
int vu_oci_open(const char *name, int *ret_layout, struct vu_oci_layers *ret, char **ret_why);

/*
 * Opens a blob for reading: its digest has not been looked at. Returns the fd, or a negative errno: -ENOENT;
 * -ESTALE for what is no regular file.
 */
int vu_oci_blob_open(int layout, const struct vu_oci_blob *blob);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is imported: one archive, or the layers of an image, one on top of the other. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/oci.h"
#include "archive/reader.h"
#include "base/cleanup.h"
#include "base/stop.h"
#include "ops/import-int.h"

static int cannot_read(struct vu_import *im, int r, const char *why, const char *todo)
{
	return vu_fail(im->ops, r, "cannot import", im->o->from, why, todo);
}

/* Of a member, as the archive names it. */
static int unpack_failed(struct vu_import *im, int r)
{
	_cleanup_free_ char *on = NULL;
	const char *member, *why = vu_unpack_why(im->unpack, &member);

	if (asprintf(&on, "%s%s%s", im->o->from, member ? ": " : "", member ? member : "") < 0)
		return (on = NULL, -ENOMEM);
	if (r > 0)
		return vu_fail(im->ops, r == VU_UNPACK_REFUSED ? VU_OPS_REFUSED : VU_OPS_DAMAGED,
			       r == VU_UNPACK_REFUSED ? "refused" : "cannot import", on, why,
			       "nothing of the new guest is left");
	if (r == -ENOSPC || r == -EDQUOT || r == -ECANCELED)
		return r;
	return vu_fail(im->ops, r, "cannot import", on, NULL, "nothing of the new guest is left");
}

static int reader_failed(struct vu_import *im, int r)
{
	if (r == VU_READER_DIGEST)
		return cannot_read(im, VU_OPS_DAMAGED, "a layer of it is not what its digest says",
				   "get the image anew; nothing of the new guest is left");
	return cannot_read(im, r < 0 ? r : -EIO,
			   "the process that reads it was killed, or could not begin",
			   "look for what killed it (memory?); nothing of the new guest is left");
}

/* One archive, with a digest or without. */
static int unpack_one(struct vu_import *im, int fd, const struct vu_oci_blob *blob)
{
	const struct vu_config *c = im->ops->config;
	const struct vu_untar_limits limits = {
		.max_xattr_bytes = (size_t)c->max_xattr_bytes,
		.max_ratio = c->max_import_ratio,
	};
	struct vu_reader reader = {.fd = -EBADF};
	int r = vu_reader_start(fd, blob ? &blob->digest : NULL, blob ? blob->size : 0, &limits,
				vu_import_asks(im), &reader);

	if (r)
		return reader_failed(im, r);
	r = vu_unpack_layer(im->unpack, reader.fd);
	/* a layer that is not what its digest says may well be no archive */
	if (r == VU_UNPACK_BROKEN && blob && vu_reader_end(&reader) == VU_READER_DIGEST)
		return reader_failed(im, VU_READER_DIGEST);
	if (r) {
		vu_reader_stop(&reader);
		return unpack_failed(im, r);
	}
	im->report->layers++;
	r = vu_reader_end(&reader);
	return r ? reader_failed(im, r) : 0;
}

/* ---- a file ---- */

static int unpack_file(struct vu_import *im)
{
	bool is_stdin = !strcmp(im->o->from, "-");
	_cleanup_fd_ int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				       : open(im->o->from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return cannot_read(im, -errno, NULL, NULL);
	if (S_ISDIR(st.st_mode))
		return cannot_read(im, VU_OPS_USAGE, "it is a directory",
				   "say oci:DIR for an image layout, and `vunify scan` for a root");
	return unpack_one(im, fd, NULL);
}

/* ---- an image ---- */

static int unpack_layers(struct vu_import *im, int layout, const struct vu_oci_layers *layers)
{
	int r = 0;

	for (size_t i = 0; !r && i < layers->n; i++) {
		_cleanup_fd_ int fd = vu_oci_blob_open(layout, &layers->v[i]);

		if (fd < 0)
			return cannot_read(im, fd == -ENOENT ? VU_OPS_DAMAGED : fd,
					   fd == -ENOENT ? "a layer of it is not there" : NULL,
					   "get the image anew; nothing of the new guest is left");
		r = vu_stop_requested() ? -ECANCELED : unpack_one(im, fd, &layers->v[i]);
	}
	return r;
}

VU_DEFINE_CLEANUP_DONE(struct vu_oci_layers, vu_oci_layers_done)

static int unpack_image(struct vu_import *im)
{
	vu_cleanup(vu_oci_layers_done_p) struct vu_oci_layers layers = {0};
	_cleanup_free_ char *why = NULL;
	_cleanup_fd_ int layout = -EBADF;
	int r = vu_oci_open(im->o->from, &layout, &layers, &why);

	if (r == VU_OCI_BAD)
		return cannot_read(im, VU_OPS_REFUSED, why, NULL);
	if (r)
		return r == -ENOMEM ? r : cannot_read(im, r, NULL, "say oci:DIR or oci:DIR:TAG");
	return unpack_layers(im, layout, &layers);
}

int vu_import_unpack(struct vu_import *im)
{
	const struct vu_config *c = im->ops->config;
	bool oci = vu_oci_is_named(im->o->from);

	im->unpack_env = (struct vu_unpack_env){
		.root = im->root,
		.flags = (im->o->devices ? VU_UNPACK_DEVICES : 0U) |
			 (im->o->setid ? VU_UNPACK_SETID : 0U) | (oci ? VU_UNPACK_LAYERS : 0U),
		.max_depth = c->max_depth,
		.max_members = c->max_files,
		.max_bytes = c->max_import_bytes,
		.max_xattr_bytes = (size_t)c->max_xattr_bytes,
		.wants = vu_import_wants,
		.known = vu_import_known,
		.placed = vu_import_placed,
		.arg = im,
	};
	int r = vu_unpack_new(&im->unpack_env, &im->unpack);

	if (!r)
		r = oci ? unpack_image(im) : unpack_file(im);
	if (im->unpack)
		im->report->unpacked = *vu_unpack_stats(im->unpack);
	return r;
}

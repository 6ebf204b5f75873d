/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What templates had at their paths (model/template.h). Written and read whole for one template, since
 * only who follows it needs it, and needs all of it. Owns nothing. Errors: see catalog.h.
 */
#pragma once

#include <stdint.h>

#include "db/catalog.h"
#include "model/template.h"

/* What is counted of a template, without loading it. */
struct vu_template_note {
	uint64_t noted_ns; /* since the epoch; 0: never */
	uint64_t files;
	uint64_t changed; /* files that have a past */
};

int vu_catalog_template_note(struct vu_catalog *cat, uint32_t guest, struct vu_template_note *ret);

/* Loads all files of a template, in order. ret is the caller's to free, empty where there are none. */
int vu_catalog_template_load(struct vu_catalog *cat, uint32_t guest, struct vu_template_files *ret);

/* Replaces all that is known of a template by fs, noted at this time, in one transaction. */
int vu_catalog_template_save(struct vu_catalog *cat, uint32_t guest,
			     const struct vu_template_files *fs, uint64_t ns);

/* Only notes that it was looked at then, and found as it was. */
int vu_catalog_template_seen(struct vu_catalog *cat, uint32_t guest, uint64_t ns);

/* Forgets all of a template, in one transaction. */
int vu_catalog_template_forget(struct vu_catalog *cat, uint32_t guest);

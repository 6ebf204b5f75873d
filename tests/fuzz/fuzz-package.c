/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The package databases of hostile guests. The first byte chooses the format. Whatever is listed must
 * be found, and lie below the root.
 */
#include "fuzz.h"

#include "guest/package.h"

static void check(const struct vu_package_db *db)
{
	char dir[VU_PACKAGE_PATH_BYTES + 8];

	for (size_t i = 0; i < vu_package_count(db); i++) {
		const char *path = vu_package_at(db, i), *slash = strrchr(path, '/');

		CHECK(*path && *path != '/' && !strstr(path, "//") && !strstr(path, "/../") &&
		      strncmp(path, "../", 3) && strcmp(path, ".."));
		CHECK(strlen(path) <= VU_PACKAGE_PATH_BYTES);
		CHECK(vu_package_is_conffile(db, path));
		memcpy(dir, path, slash ? (size_t)(slash - path) : 0);
		dir[slash ? slash - path : 0] = 0;
		CHECK(vu_package_dir_has_any(db, dir));
		CHECK(vu_package_is_conffile_at(db, dir, slash ? slash + 1 : path));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vu_package_db *db = NULL;
	const char *why = NULL;

	if (!size)
		return 0;
	int r = vu_package_parse(data[0] & 1 ? VU_PACKAGE_STATUS : VU_PACKAGE_CONFFILES,
				 (const char *)data + 1, size - 1, &db, &why);

	CHECK(r == 0 || r == VU_PACKAGE_BROKEN);
	CHECK(r == 0 || (why && *why));
	check(db);
	vu_package_free(db);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target for the package databases of hostile guests; not built by default:
 *   clang -std=gnu17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -Ilib \
 *     tests/fuzz/fuzz-package.c lib/guest/package.c lib/fs/{beneath,reopen,stat}.c
 * The first byte chooses the format. Whatever is listed must be found, and lie below the root.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct vu_package_db *db)
{
	char dir[VU_PACKAGE_PATH_BYTES + 8];

	for (size_t i = 0; i < vu_package_count(db); i++) {
		const char *path = vu_package_at(db, i), *slash = strrchr(path, '/');

		if (!*path || *path == '/' || strstr(path, "//") || strstr(path, "/../") ||
		    !strncmp(path, "../", 3) || !strcmp(path, ".."))
			abort();
		if (!vu_package_is_conffile(db, path))
			abort();
		memcpy(dir, path, slash ? (size_t)(slash - path) : 0);
		dir[slash ? slash - path : 0] = 0;
		if (!vu_package_dir_has_any(db, dir) ||
		    !vu_package_is_conffile_at(db, dir, slash ? slash + 1 : path))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vu_package_db *db = NULL;
	const char *why;

	if (!size)
		return 0;
	if (vu_package_parse(data[0] & 1 ? VU_PACKAGE_STATUS : VU_PACKAGE_CONFFILES,
			     (const char *)data + 1, size - 1, &db, &why) >= 0)
		check(db);
	vu_package_free(db);
	return 0;
}

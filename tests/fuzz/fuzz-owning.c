/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What hostile guests say of their packages: status, diversions and a list, with a line "%%" between.
 * Whatever is listed can be asked for.
 */
#include "fuzz.h"

#include "guest/owning.h"
#include "guest/package.h"

static bool parse(struct vu_owning *o, const char *s, size_t n)
{
	static const char mark[] = "\n%%\n";
	const char *part[3] = {s, NULL, NULL}, *end = s + n;
	size_t len[3] = {n, 0, 0};

	for (int i = 0; i < 2 && part[i]; i++) {
		const char *at = memmem(part[i], len[i], mark, 4);

		if (!at)
			break;
		len[i] = (size_t)(at + 1 - part[i]);
		part[i + 1] = at + 4;
		len[i + 1] = (size_t)(end - part[i + 1]);
	}
	int r = vu_owning_add_status(o, part[0], len[0]);

	CHECK(r == 0 || r == VU_PACKAGE_BROKEN);
	if (!r && part[1])
		r = vu_owning_add_diversions(o, part[1], len[1]);
	if (!r && part[2])
		r = vu_owning_add_list(o, "bash", part[2], len[2]);
	CHECK(r == 0 || r == VU_PACKAGE_BROKEN);
	vu_owning_sort(o);
	return !r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"",	     "bin/bash",    "usr/bin/bash", "usr/share/x",
					    "opt/x", "usr/local/x", "a/b/c/d"};
	struct vu_owning *o = vu_owning_new();
	struct vu_hash *hash = vu_hash_new();
	struct vu_digest a, b;

	CHECK(o && hash);
	parse(o, (const char *)data, size);
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		int r = vu_owning_ask(o, hash, paths[i], &a);

		CHECK(r >= VU_OWNED_NOT && r <= VU_OWNED_BELOW);
		CHECK(vu_owning_ask(o, hash, paths[i], &b) == r);
		CHECK(r == VU_OWNED_NOT || !memcmp(&a, &b, sizeof(a)));
	}
	CHECK(!vu_owning_all(o, hash, &a));
	vu_hash_free(hash);
	vu_owning_free(o);
	return 0;
}

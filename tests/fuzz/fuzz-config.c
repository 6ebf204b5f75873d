/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration: the file, a NUL, and a drop-in. What was taken lies within its limits, and, written
 * out again as plainly as can be, is taken once more and gives the same.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "model/config.h"
#include "ops/rules.h"
#include "scan/exclude.h"

static void check_limits(const struct vu_config *c)
{
	struct vu_exclude_error e;

	CHECK(c->min_size >= 1 && c->min_size <= INT64_MAX && c->max_size >= c->min_size &&
	      c->max_size <= INT64_MAX);
	CHECK(c->jobs <= 1024 && c->max_depth >= 1 && c->max_depth <= 1000000);
	CHECK(c->max_files >= 1 && c->max_files <= 1000000000);
	CHECK(c->max_xattr_bytes <= 1 << 30 && c->max_package_db_bytes <= 1 << 30);
	CHECK(c->mode == VU_MODE_LINK || c->mode == VU_MODE_REFLINK);
	CHECK(c->catalog[0] == '/' && c->lock_dir[0] == '/');
	for (char **p = c->exclude; *p; p++)
		CHECK(!vu_exclude_check(*p, &e));
	for (char **p = c->trust_domains; *p; p++)
		CHECK(!strchr(*p, '/'));
}

static void write_out(const struct vu_config *c)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	CHECK(f);
	fprintf(f, "[policy]\nmin_size=%ju\nmax_size=%ju\nmtime=%s\nunify_setid=%s\nmode=%s\n",
		(uintmax_t)c->min_size, (uintmax_t)c->max_size, c->mtime_exact ? "exact" : "ignore",
		c->unify_setid ? "yes" : "no", c->mode == VU_MODE_LINK ? "link" : "reflink");
	fprintf(f, "exclude=\n");
	for (char **p = c->exclude; *p; p++)
		fprintf(f, "%.7s=%s\n", *p, *p + 8);
	fprintf(f, "trust_domain=\n");
	for (char **p = c->trust_domains; *p; p++)
		fprintf(f, "trust_domain=%s\n", **p ? *p : "\"\"");
	fprintf(f, "[scan]\njobs=%u\n[limits]\nmax_depth=%u\nmax_files=%ju\n", c->jobs,
		c->max_depth, (uintmax_t)c->max_files);
	fprintf(f, "max_xattr_bytes=%ju\nmax_package_db_bytes=%ju\n[paths]\ncatalog=%s\n",
		(uintmax_t)c->max_xattr_bytes, (uintmax_t)c->max_package_db_bytes, c->catalog);
	fprintf(f, "lock_dir=%s\n", c->lock_dir);
	CHECK(!fclose(f));
	put_file_at(scratch_fd(), "vunify.conf", text, size);
}

static bool same_list(char **a, char **b)
{
	for (; *a && *b && !strcmp(*a, *b); a++, b++)
		;
	return !*a && !*b;
}

static void check_same(const struct vu_config *a, const struct vu_config *b)
{
	CHECK(a->min_size == b->min_size && a->max_size == b->max_size && a->mode == b->mode);
	CHECK(a->mtime_exact == b->mtime_exact && a->unify_setid == b->unify_setid);
	CHECK(a->jobs == b->jobs && a->max_depth == b->max_depth && a->max_files == b->max_files);
	CHECK(a->max_xattr_bytes == b->max_xattr_bytes &&
	      a->max_package_db_bytes == b->max_package_db_bytes);
	CHECK(!strcmp(a->catalog, b->catalog) && !strcmp(a->lock_dir, b->lock_dir));
	CHECK(same_list(a->exclude, b->exclude) && same_list(a->trust_domains, b->trust_domains));
}

static int load(struct vu_config *c, struct vu_config_error *e)
{
	char file[64];

	/* so that paths have the same length every time */
	snprintf(file, sizeof(file), "/proc/self/fd/%d/vunify.conf", scratch_fd());
	return vu_config_load(file, vu_rules_wrong, c, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, 0, size);
	size_t n = nul ? (size_t)(nul - data) : size;
	struct vu_config c, again;
	struct vu_config_error e = {0};

	mkdirat(scratch_fd(), "vunify.conf.d", 0700);
	put_file_at(scratch_fd(), "vunify.conf", data, n);
	put_file_at(scratch_fd(), "vunify.conf.d/a.conf", nul ? nul + 1 : data,
		    nul ? size - n - 1 : 0);
	int r = load(&c, &e);

	CHECK(r == 0 || r == VU_CONFIG_BAD);
	if (r) {
		CHECK(e.file && e.why && *e.why);
		vu_config_error_done(&e);
		return 0;
	}
	check_limits(&c);
	CHECK(!unlinkat(scratch_fd(), "vunify.conf.d/a.conf", 0));
	write_out(&c);
	r = load(&again, &e);
	if (r)
		fprintf(stderr, "%u: %s: %s\n", e.line, e.key, e.why);
	CHECK(!r);
	check_same(&c, &again);
	vu_config_done(&c);
	vu_config_done(&again);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dpkg's formats, as dpkg itself writes them:
 *
 *   status: paragraphs of "Field: value" lines, longer ones going on with a blank; "Status: WANT FLAG STATE".
 *   info/NAME.list, info/NAME:ARCH.list: a path a line, "/." the root, directories too.
 *   diversions: three lines each: the path, the path that it has instead, the package that has it itself
 *     (":" for none).
 *
 * A package is "NAME:ARCH" and its version. They are sorted, so that those of a path stand in an order
 * that does not depend on how a guest's directory is read.
 */
#include "guest/owning.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "fs/beneath.h"
#include "guest/dpkg-text.h"
#include "guest/package.h"

struct package {
	uint32_t name;	  /* offset in text: "NAME:ARCH" */
	uint32_t version; /* offset in text */
	bool settled;	  /* installed, with nothing left to be done but triggers */
};

struct entry {
	uint32_t path; /* offset in text; "" for the root */
	uint32_t package;
};

struct diversion {
	uint32_t from, to; /* offsets in text */
	uint32_t package;  /* offset in text: its name, without the architecture */
};

struct vu_owning {
	char *text; /* owned; NUL-terminated strings */
	size_t text_len, text_cap;
	struct package *packages; /* owned; sorted by name once the status is read */
	size_t n_packages, cap_packages;
	struct entry *entries; /* owned; sorted by path, then package, at the end */
	size_t n_entries, cap_entries;
	struct diversion *diversions; /* owned; sorted; dpkg has one of a path */
	size_t n_diversions, cap_diversions;
};

struct vu_owning *vu_owning_new(void)
{
	return calloc(1, sizeof(struct vu_owning));
}

struct vu_owning *vu_owning_free(struct vu_owning *o)
{
	if (!o)
		return NULL;
	free(o->text);
	free(o->packages);
	free(o->entries);
	free(o->diversions);
	free(o);
	return NULL;
}

VU_DEFINE_CLEANUP(struct vu_owning *, vu_owning_free)

size_t vu_owning_count(const struct vu_owning *o)
{
	return o->n_packages;
}

/* ---- text ---- */

/* A piece of somebody else's text. */
struct piece {
	const char *s;
	size_t n;
};

/* Room for one more of n in *v. Returns 0, VU_PACKAGE_BROKEN above the limit, or -ENOMEM. */
static int reserve(void **v, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return 0;
	if (n >= VU_PACKAGE_PATHS_MAX)
		return VU_PACKAGE_BROKEN;
	size_t more = VU_MAX(*cap * 2, (size_t)256);
	void *p = reallocarray(*v, more, size);

	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = more;
	return 0;
}

/* Appends the pieces as one string. */
static int keep(struct vu_owning *o, const struct piece *pieces, size_t n_pieces, uint32_t *ret)
{
	size_t len = 1;

	for (size_t i = 0; i < n_pieces; i++)
		len += pieces[i].n;
	if (o->text_len + len > VU_PACKAGE_TEXT_MAX)
		return VU_PACKAGE_BROKEN;
	if (o->text_len + len > o->text_cap) {
		size_t cap = VU_MAX(o->text_cap * 2, VU_MAX(len, (size_t)65536));
		char *text = realloc(o->text, cap);

		if (!text)
			return -ENOMEM;
		o->text = text;
		o->text_cap = cap;
	}
	*ret = (uint32_t)o->text_len;
	for (size_t i = 0; i < n_pieces; i++) {
		if (!pieces[i].n) /* it may be nowhere */
			continue;
		memcpy(o->text + o->text_len, pieces[i].s, pieces[i].n);
		o->text_len += pieces[i].n;
	}
	o->text[o->text_len++] = 0;
	return 0;
}

/* The line at *s; *s moves behind it. False at the end. */
static bool next_line(const char **s, const char *end, struct piece *ret)
{
	if (*s >= end)
		return false;
	const char *nl = memchr(*s, '\n', (size_t)(end - *s));

	*ret = (struct piece){*s, (size_t)((nl ? nl : end) - *s)};
	*s = nl ? nl + 1 : end;
	return true;
}

static bool is(struct piece p, const char *word)
{
	return p.n == strlen(word) && !memcmp(p.s, word, p.n);
}

/* ---- status ---- */

/* What is of interest in a paragraph. */
struct paragraph {
	struct piece package, architecture, version, status;
};

/* The value of a line "FIELD: value". */
static bool field(struct piece line, const char *name, struct piece *ret)
{
	size_t n = strlen(name);

	if (line.n < n + 1 || memcmp(line.s, name, n) || line.s[n] != ':')
		return false;
	*ret = (struct piece){line.s + n + 1, line.n - n - 1};
	while (ret->n && (*ret->s == ' ' || *ret->s == '\t'))
		*ret = (struct piece){ret->s + 1, ret->n - 1};
	while (ret->n && (ret->s[ret->n - 1] == ' ' || ret->s[ret->n - 1] == '\r'))
		ret->n--;
	return true;
}

static struct piece last_word(struct piece p)
{
	const char *blank = memrchr(p.s, ' ', p.n);

	return blank ? (struct piece){blank + 1, (size_t)(p.s + p.n - blank) - 1} : p;
}

static bool has_nul(struct piece p)
{
	return p.n && memchr(p.s, 0, p.n);
}

static int end_paragraph(struct vu_owning *o, const struct paragraph *p)
{
	struct piece state = p->status.n ? last_word(p->status) : p->status;

	if (!p->package.n || is(state, "not-installed") || is(state, "config-files"))
		return 0;
	if (!p->version.n || !p->status.n || has_nul(p->package) || has_nul(p->version) ||
	    has_nul(p->architecture))
		return VU_PACKAGE_BROKEN;
	int r = reserve((void **)&o->packages, o->n_packages, &o->cap_packages,
			sizeof(*o->packages));
	struct package *to = o->packages + o->n_packages;

	if (!r)
		*to = (struct package){.settled = is(state, "installed") ||
						  is(state, "triggers-pending") ||
						  is(state, "triggers-awaited")};
	if (!r)
		r = keep(o, (struct piece[]){p->package, {":", 1}, p->architecture}, 3, &to->name);
	if (!r)
		r = keep(o, &p->version, 1, &to->version);
	o->n_packages += !r;
	return r;
}

static int by_name(const void *a, const void *b, void *arg)
{
	const struct package *x = a, *y = b;
	const char *text = arg;
	int r = strcmp(text + x->name, text + y->name);

	return r ? r : strcmp(text + x->version, text + y->version);
}

int vu_owning_add_status(struct vu_owning *o, const char *text, size_t n)
{
	const char *end = text + n;
	struct paragraph p = {0};
	struct piece line;
	int r = 0;

	while (!r && next_line(&text, end, &line)) {
		if (!line.n) {
			r = end_paragraph(o, &p);
			p = (struct paragraph){0};
			continue;
		}
		if (!field(line, "Package", &p.package) && !field(line, "Status", &p.status) &&
		    !field(line, "Architecture", &p.architecture))
			field(line, "Version", &p.version);
	}
	if (!r)
		r = end_paragraph(o, &p);
	if (!r && o->n_packages)
		qsort_r(o->packages, o->n_packages, sizeof(*o->packages), by_name, o->text);
	return r;
}

/* ---- paths ---- */

/* A path as it is kept: below /usr, where merged systems have it. */
static int keep_path(struct vu_owning *o, const char *s, size_t n, uint32_t *ret)
{
	bool merged = vu_dpkg_maybe_merged(s, n);

	if (!vu_dpkg_path_ok(s, n))
		return VU_PACKAGE_BROKEN;
	return keep(o, (struct piece[]){{"usr/", merged ? 4 : 0}, {s, n}}, 2, ret);
}

static int keep_line(struct vu_owning *o, struct piece line, uint32_t *ret)
{
	if (is(line, "/."))
		return keep(o, NULL, 0, ret);
	if (line.n < 2 || *line.s != '/')
		return VU_PACKAGE_BROKEN;
	return keep_path(o, line.s + 1, line.n - 1, ret);
}

static int by_from(const void *a, const void *b, void *arg)
{
	const struct diversion *x = a, *y = b;
	const char *text = arg;

	return strcmp(text + x->from, text + y->from);
}

int vu_owning_add_diversions(struct vu_owning *o, const char *text, size_t n)
{
	const char *end = text + n;
	struct piece from, to, package;
	int r = 0;

	while (!r && next_line(&text, end, &from)) {
		if (!next_line(&text, end, &to) || !next_line(&text, end, &package) ||
		    has_nul(package))
			return VU_PACKAGE_BROKEN;
		r = reserve((void **)&o->diversions, o->n_diversions, &o->cap_diversions,
			    sizeof(*o->diversions));
		struct diversion *d = o->diversions + o->n_diversions;

		if (!r)
			r = keep_line(o, from, &d->from);
		if (!r)
			r = keep_line(o, to, &d->to);
		if (!r)
			r = keep(o, &package, 1, &d->package);
		o->n_diversions += !r;
	}
	if (!r && o->n_diversions)
		qsort_r(o->diversions, o->n_diversions, sizeof(*o->diversions), by_from, o->text);
	return r;
}

/* Is this the package's name, without its architecture? */
static bool is_name(const char *package, const char *name)
{
	size_t n = strcspn(package, ":");

	return n == strlen(name) && !memcmp(package, name, n);
}

/* Where the file of a package is, if another one has taken its place. */
static uint32_t divert(const struct vu_owning *o, uint32_t path, uint32_t package)
{
	size_t lo = 0, hi = o->n_diversions;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(o->text + o->diversions[mid].from, o->text + path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct diversion *d = lo < o->n_diversions ? &o->diversions[lo] : NULL;

	if (!d || strcmp(o->text + d->from, o->text + path) != 0 ||
	    is_name(o->text + o->packages[package].name, o->text + d->package))
		return path;
	return d->to;
}

/* The package of a list, SIZE_MAX: it is none that is installed. */
static size_t package_of(const struct vu_owning *o, const char *stem)
{
	bool with_arch = strchr(stem, ':');
	size_t lo = 0, hi = o->n_packages, n = strlen(stem);

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(o->text + o->packages[mid].name, stem) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* "NAME" is followed by "NAME:ARCH", with names between that go on with what is below ':' */
	for (; lo < o->n_packages; lo++) {
		const char *name = o->text + o->packages[lo].name;

		if (strncmp(name, stem, n))
			break;
		if (with_arch ? !name[n] : name[n] == ':')
			return lo;
	}
	return SIZE_MAX;
}

int vu_owning_add_list(struct vu_owning *o, const char *stem, const char *text, size_t n)
{
	size_t package = package_of(o, stem);
	const char *end = text + n;
	struct piece line;
	int r = 0;

	if (package == SIZE_MAX)
		return 0;
	while (!r && next_line(&text, end, &line)) {
		uint32_t path;

		r = reserve((void **)&o->entries, o->n_entries, &o->cap_entries,
			    sizeof(*o->entries));
		if (!r)
			r = keep_line(o, line, &path);
		if (r)
			break;
		o->entries[o->n_entries++] = (struct entry){
			.path = divert(o, path, (uint32_t)package), .package = (uint32_t)package};
	}
	return r;
}

static int by_path(const void *a, const void *b, void *arg)
{
	const struct entry *x = a, *y = b;
	const char *text = arg;
	int r = strcmp(text + x->path, text + y->path);

	return r ? r : (x->package > y->package) - (x->package < y->package);
}

void vu_owning_sort(struct vu_owning *o)
{
	if (o->n_entries)
		qsort_r(o->entries, o->n_entries, sizeof(*o->entries), by_path, o->text);
}

/* ---- reading ---- */

struct load {
	struct vu_owning *o;
	uint64_t max;
	char *why; /* owned */
};

static int broken(struct load *l, const char *file, const char *why)
{
	if (asprintf(&l->why, VU_DPKG_DIR "/%s: %s", file, why) < 0) {
		l->why = NULL;
		return -ENOMEM;
	}
	return VU_PACKAGE_BROKEN;
}

/* Parses name in dirfd, shown as file; stem: it is a list. */
static int load_file(struct load *l, int dirfd, const char *name, const char *file,
		     int (*add)(struct vu_owning *, const char *, size_t), const char *stem)
{
	_cleanup_free_ char *text = NULL;
	const char *why = NULL;
	size_t n = 0;
	int r = vu_dpkg_read(dirfd, name, &l->max, &text, &n, &why);

	if (r > 0)
		return broken(l, file, why);
	if (r || !text)
		return r;
	r = stem ? vu_owning_add_list(l->o, stem, text, n) : add(l->o, text, n);
	return r > 0 ? broken(l, file, "it is not as dpkg writes it, or more than is looked at")
		     : r;
}

static int load_list(struct load *l, int dirfd, const char *name)
{
	_cleanup_free_ char *file = NULL, *stem = strndup(name, strlen(name) - strlen(".list"));

	if (!stem || asprintf(&file, "info/%s", name) < 0) {
		file = NULL;
		return -ENOMEM;
	}
	return load_file(l, dirfd, name, file, NULL, stem);
}

static int load_lists(struct load *l, int dpkg_fd)
{
	_cleanup_fd_ int fd = vu_beneath_open(dpkg_fd, "info", O_RDONLY | O_DIRECTORY);
	struct dirent *d;
	int r = 0;

	if (fd < 0)
		return vu_is_want(fd) ? fd : broken(l, "info", vu_dpkg_why(fd));
	_cleanup_closedir_ DIR *dir = fdopendir(fd);

	if (!dir)
		return -errno;
	int dir_fd = vu_take_fd(fd); /* dir's own now */

	for (unsigned seen = 0; !r && (errno = 0, d = readdir(dir)); seen++) {
		if (seen == VU_PACKAGE_FILES_MAX)
			return broken(l, "info", "more entries than are looked at");
		if (vu_dpkg_has_suffix(d->d_name, ".list"))
			r = load_list(l, dir_fd, d->d_name);
	}
	return !r && errno ? broken(l, "info", strerrordesc_np(errno)) : r;
}

static int load_all(struct load *l, int rootfd, uint64_t max_bytes)
{
	_cleanup_fd_ int fd = vu_beneath_open(rootfd, VU_DPKG_DIR, O_RDONLY | O_DIRECTORY);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return vu_is_want(fd) ? fd : broken(l, "", vu_dpkg_why(fd));
	l->max = max_bytes;
	int r = load_file(l, fd, "status", "status", vu_owning_add_status, NULL);

	l->max = max_bytes;
	if (!r)
		r = load_file(l, fd, "diversions", "diversions", vu_owning_add_diversions, NULL);
	if (!r && l->o->n_packages)
		r = load_lists(l, fd);
	return r;
}

int vu_owning_read(int rootfd, uint64_t max_bytes, struct vu_owning **ret, char **ret_why)
{
	vu_cleanup(vu_owning_free_p) struct vu_owning *o = vu_owning_new();
	struct load l = {.o = o};
	int r = o ? load_all(&l, rootfd, max_bytes) : -ENOMEM;

	if (r) {
		*ret_why = l.why;
		return r;
	}
	vu_owning_sort(o);
	*ret = vu_take_ptr(o);
	return 0;
}

/* ---- questions ---- */

/* The first entry of a path of n bytes, n_entries without one. */
static size_t find(const struct vu_owning *o, const char *path, size_t n)
{
	size_t lo = 0, hi = o->n_entries;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const char *at = o->text + o->entries[mid].path;
		int c = strncmp(at, path, n);

		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* "a/b" stands before "a/b/c" and "a/bc" */
	const char *at = lo < o->n_entries ? o->text + o->entries[lo].path : NULL;

	return at && !strncmp(at, path, n) && !at[n] ? lo : o->n_entries;
}

static void add_text(struct vu_hash *hash, const char *text)
{
	vu_hash_add(hash, text, strlen(text) + 1);
}

static void add_package(const struct vu_owning *o, struct vu_hash *hash, const struct package *p)
{
	add_text(hash, o->text + p->name);
	add_text(hash, o->text + p->version);
}

/* The packages of the path whose first entry is at i. False: one of them is not settled. */
static bool add_owners(const struct vu_owning *o, struct vu_hash *hash, size_t i)
{
	const char *path = o->text + o->entries[i].path;
	uint32_t last = UINT32_MAX;

	for (; i < o->n_entries && !strcmp(o->text + o->entries[i].path, path); i++) {
		const struct package *p = &o->packages[o->entries[i].package];

		if (!p->settled)
			return false;
		if (o->entries[i].package != last)
			add_package(o, hash, p);
		last = o->entries[i].package;
	}
	return true;
}

/* The admin's own place, where packages have nothing but directories. */
static bool is_local(const char *path)
{
	return !strncmp(path, "usr/local/", 10) || !strncmp(path, "opt/", 4);
}

static int ask(const struct vu_owning *o, struct vu_hash *hash, const char *path,
	       struct vu_digest *ret)
{
	size_t n = strlen(path), i = find(o, path, n);
	enum vu_owned how = i < o->n_entries ? VU_OWNED_FILE : VU_OWNED_BELOW;

	if (how == VU_OWNED_BELOW && is_local(path))
		return VU_OWNED_NOT;
	while (i == o->n_entries && n) {
		const char *slash = memrchr(path, '/', n);

		n = slash ? (size_t)(slash - path) : 0;
		i = find(o, path, n);
	}
	if (i == o->n_entries)
		return VU_OWNED_NOT;
	vu_hash_begin(hash);
	add_text(hash, how == VU_OWNED_FILE ? "file" : "below");
	if (how == VU_OWNED_BELOW) /* one cannot stand for another */
		add_text(hash, o->text + o->entries[i].path);
	bool settled = add_owners(o, hash, i);
	int r = vu_hash_end(hash, ret->b);

	return r ? r : settled ? (int)how : VU_OWNED_NOT;
}

int vu_owning_ask(const struct vu_owning *o, struct vu_hash *hash, const char *relpath,
		  struct vu_digest *ret)
{
	_cleanup_free_ char *merged = NULL;

	if (!vu_dpkg_maybe_merged(relpath, strlen(relpath)))
		return ask(o, hash, relpath, ret);
	if (asprintf(&merged, "usr/%s", relpath) < 0) {
		merged = NULL;
		return -ENOMEM;
	}
	return ask(o, hash, merged, ret);
}

int vu_owning_all(const struct vu_owning *o, struct vu_hash *hash, struct vu_digest *ret)
{
	vu_hash_begin(hash);
	for (size_t i = 0; i < o->n_packages; i++)
		add_package(o, hash, &o->packages[i]);
	return vu_hash_end(hash, ret->b);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests have names, domains, rules and trust from the admin, and what stands here decides who may
 * share: no other table does. A flipped bit in a domain's name would still be a name, so each row has a
 * seal, the first 64 bits of the SHA-256 of all its columns, kept in meta under "seal-of-guest-ID".
 * Catalogs made before there were seals have none, and are believed; every write of a guest seals it.
 */
#include "db/catalog-guest.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "db/catalog-int.h"

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

/* Rules as one text, each ended by a newline. None of them can hold one: they come from lines. */
static char *join(char *const *rules)
{
	size_t len = 1;

	for (char *const *r = rules; r && *r; r++)
		len += strlen(*r) + 1;
	char *s = malloc(len), *p = s;

	if (!s)
		return NULL;
	for (char *const *r = rules; r && *r; r++) {
		p = stpcpy(p, *r);
		*p++ = '\n';
	}
	*p = 0;
	return s;
}

static int split(const char *text, struct vu_guest *g)
{
	size_t n = 0;

	if (!*text)
		return 0;
	for (const char *p = text; *p; p++)
		n += *p == '\n';
	g->rules = calloc(n + 1, sizeof(*g->rules));
	if (!g->rules)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *end = strchrnul(text, '\n');

		g->rules[i] = strndup(text, (size_t)(end - text));
		if (!g->rules[i])
			return -ENOMEM;
		text = end + 1;
	}
	return 0;
}

static void add_text(struct vu_hash *h, const char *text)
{
	vu_hash_add(h, text, strlen(text) + 1);
}

/* Never 0, which stands for none. */
static int seal_of(const struct vu_guest *g, int64_t *ret_seal)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *h = vu_hash_new();
	/* as it was before there were templates for guests that are none */
	uint64_t numbers[] = {g->id, g->ino, g->trust | (uint64_t)g->template << 1};
	uint8_t digest[VU_HASH_BYTES];

	if (!h)
		return -ENOMEM;
	vu_hash_begin(h);
	vu_hash_add(h, numbers, sizeof(numbers));
	add_text(h, g->name);
	add_text(h, g->path);
	add_text(h, g->fs_id);
	add_text(h, g->domain);
	for (char *const *r = g->rules; r && *r; r++)
		add_text(h, *r);
	int r = vu_hash_end(h, digest);

	memcpy(ret_seal, digest, sizeof(*ret_seal));
	*ret_seal |= !*ret_seal;
	return r;
}

static void seal_name(uint32_t id, char *name, size_t size)
{
	snprintf(name, size, "seal-of-guest-%u", id);
}

static int put_seal(struct vu_catalog *cat, const struct vu_guest *g)
{
	char name[64];
	int64_t seal;
	int r = seal_of(g, &seal);

	seal_name(g->id, name, sizeof(name));
	return r ? r : vu_catalog_meta_set(cat, name, seal);
}

int vu_catalog_guest_seal_check(struct vu_catalog *cat, const struct vu_guest *g)
{
	char name[64];
	int64_t seal, stored;
	int r = seal_of(g, &seal);

	seal_name(g->id, name, sizeof(name));
	if (!r)
		r = vu_catalog_meta_get(cat, name, &stored);
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	if (!stored || stored == seal)
		return 0;
	return vu_catalog_fail(cat, VU_CATALOG_DAMAGED, "a guest's row does not fit its seal");
}

int vu_catalog_guest_read(struct vu_catalog *cat, sqlite3_stmt *s, struct vu_guest *g)
{
	bool ok = true;
	_cleanup_free_ char *rules = vu_sql_string(s, 6, &ok);

	g->id = (uint32_t)vu_sql_column(s, 0, UINT32_MAX - 1, &ok);
	g->name = vu_sql_string(s, 1, &ok);
	g->path = vu_sql_string(s, 2, &ok);
	g->fs_id = vu_sql_string(s, 3, &ok);
	g->ino = vu_sql_bits(s, 4, &ok);
	g->domain = vu_sql_string(s, 5, &ok);
	g->trust = vu_sql_column(s, 7, 1, &ok);
	g->template = vu_sql_column(s, 8, 1, &ok);
	if (ok && (!rules || !g->name || !g->path || !g->fs_id || !g->domain))
		return -ENOMEM;
	if (!ok || !g->id || !g->ino || !vu_guest_name_ok(g->name) || g->path[0] != '/')
		return vu_catalog_bad_row(cat, "guest");
	return split(rules, g);
}

int vu_catalog_guests(struct vu_catalog *cat, struct vu_guests *ret_guests)
{
	vu_cleanup(vu_guests_done) struct vu_guests guests = {0};
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(cat->db, VU_CATALOG_GUEST_ROWS " ORDER BY name", &s),
	    rc = SQLITE_DONE;

	if (r)
		return vu_catalog_fail(cat, r, NULL);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		vu_cleanup(vu_guest_done) struct vu_guest g = {0};

		r = vu_catalog_guest_read(cat, s, &g);
		if (!r)
			r = vu_catalog_guest_seal_check(cat, &g);
		if (!r)
			r = vu_guests_add_consume(&guests, &g);
		if (r)
			return r;
	}
	r = vu_sql_result(cat->db, rc);
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	r = vu_catalog_check_still(cat);
	if (r)
		return r;
	*ret_guests = guests;
	guests = (struct vu_guests){0};
	return 0;
}

/* Is the name, or the root, another guest's? */
static int check_free(struct vu_catalog *cat, const struct vu_guest *g)
{
	int64_t n;
	int r = vu_sql_number(cat->db, 0, &n,
			      "SELECT count(*) FROM guest WHERE id <> ? AND"
			      " (name = ? OR (fs_id = ? AND ino = ?))",
			      "itti", (int64_t)g->id, g->name, g->fs_id, (int64_t)g->ino);

	return r ? r : n ? -EEXIST : 0;
}

int vu_catalog_guest_add(struct vu_catalog *cat, struct vu_guest *g)
{
	_cleanup_txn_ sqlite3 *txn = NULL;
	_cleanup_free_ char *rules = join(g->rules);
	struct timespec now;
	int64_t id = 0;
	int r = rules ? vu_sql_begin(cat->db, &txn) : -ENOMEM;

	clock_gettime(CLOCK_REALTIME, &now);
	if (!r)
		r = check_free(cat, g);
	/* never reuse a number: rows of a guest that was removed halfway would be its */
	if (!r)
		r = vu_sql_number(cat->db, 0, &id,
				  "SELECT max(ifnull((SELECT max(id) FROM guest), 0),"
				  " ifnull((SELECT value FROM meta WHERE key = 'guest'), 0))",
				  "");
	if (!r && (id < 0 || ++id >= UINT32_MAX - 1))
		r = -EOVERFLOW;
	if (!r)
		r = vu_catalog_meta_set(cat, "guest", id);
	if (!r)
		r = vu_sql_run(
			cat->db,
			"INSERT INTO guest (id, name, path, fs_id, ino, domain, rules, trust,"
			" registered_ns, template) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			"itttittiii", id, g->name, g->path, g->fs_id, (int64_t)g->ino, g->domain,
			rules, (int64_t)g->trust, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
			(int64_t)g->template);
	uint32_t id_before = g->id;

	g->id = (uint32_t)id;
	if (!r)
		r = put_seal(cat, g);
	if (r)
		g->id = id_before;
	if (r)
		return vu_catalog_fail(cat, r,
				       r == -EEXIST ? "another guest has this name or root" : NULL);
	r = vu_catalog_commit(cat, &txn);
	if (r)
		g->id = id_before;
	return r;
}

int vu_catalog_guest_update(struct vu_catalog *cat, const struct vu_guest *g)
{
	_cleanup_txn_ sqlite3 *txn = NULL;
	_cleanup_free_ char *rules = join(g->rules);
	int r = rules ? vu_sql_begin(cat->db, &txn) : -ENOMEM;

	if (!r)
		r = check_free(cat, g);
	if (!r)
		r = vu_sql_run(
			cat->db,
			"UPDATE guest SET name = ?, path = ?, fs_id = ?, ino = ?, domain = ?,"
			" rules = ?, trust = ?, template = ? WHERE id = ?",
			"tttittiii", g->name, g->path, g->fs_id, (int64_t)g->ino, g->domain, rules,
			(int64_t)g->trust, (int64_t)g->template, (int64_t)g->id);
	if (!r && !sqlite3_changes(cat->db))
		r = -ENOENT;
	if (!r)
		r = put_seal(cat, g);
	if (r)
		return vu_catalog_fail(cat, r,
				       r == -EEXIST   ? "another guest has this name or root"
				       : r == -ENOENT ? "there is no such guest"
						      : NULL);
	return vu_catalog_commit(cat, &txn);
}

int vu_catalog_guest_remove(struct vu_catalog *cat, uint32_t id)
{
	static const char *const sql[] = {
		"DELETE FROM name WHERE guest = ?",
		"DELETE FROM uname WHERE guest = ?",
		"DELETE FROM inode WHERE guest = ?",
		"DELETE FROM dir WHERE guest = ?",
		"DELETE FROM guest_stat WHERE guest = ?",
		"DELETE FROM guest_skip WHERE guest = ?",
		"DELETE FROM broken WHERE guest = ?",
		"DELETE FROM template_file WHERE guest = ?",
		"DELETE FROM template_note WHERE guest = ?",
		"DELETE FROM guest WHERE id = ?",
	};
	_cleanup_txn_ sqlite3 *txn = NULL;
	int64_t n = 0, dropped = 0;
	char seal[64];
	int r = vu_sql_begin(cat->db, &txn);

	if (!r)
		r = vu_sql_number(cat->db, 0, &n, "SELECT count(*) FROM inode WHERE guest = ?", "i",
				  (int64_t)id);
	if (!r)
		r = vu_catalog_meta_get(cat, "dropped", &dropped);
	for (size_t i = 0; !r && i < VU_ARRAY_SIZE(sql); i++)
		r = vu_sql_run(cat->db, sql[i], "i", (int64_t)id);
	seal_name(id, seal, sizeof(seal));
	if (!r)
		r = vu_sql_run(cat->db, "DELETE FROM meta WHERE key = ?", "t", seal);
	if (!r)
		r = vu_catalog_meta_set(cat, "dropped", dropped + n);
	return r ? vu_catalog_fail(cat, r, NULL) : vu_catalog_commit(cat, &txn);
}

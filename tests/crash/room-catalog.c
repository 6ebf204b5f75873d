/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The catalog of a room. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "room.h"

#define PATH 600

static bool copy(const struct room *r, const char *from, const char *to)
{
	char a[PATH], b[PATH], buf[65536];
	ssize_t n = -1;
	int in, out;

	snprintf(a, sizeof(a), "%s/%s", r->state, from);
	snprintf(b, sizeof(b), "%s/%s", r->state, to);
	unlink(b);
	in = open(a, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return false;
	out = open(b, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	while (out >= 0 && (n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			fail("%s: %m", b);
	if (n < 0)
		fail("%s: %m", b);
	close(in);
	close(out);
	return true;
}

static int one_row(void *arg, int n, char **v, char **names)
{
	(void)names;
	for (int i = 0; i < n; i++)
		fprintf(arg, "%s%c", v[i] ? v[i] : "", i + 1 < n ? '|' : '\n');
	return 0;
}

/* A copy is looked at: to open it is to recover it, and that is for the next run. */
char *room_catalog(struct room *r)
{
	char path[PATH], *sound = NULL, *guests = NULL;
	size_t a, b;
	FILE *f = open_memstream(&sound, &a), *g = open_memstream(&guests, &b);
	sqlite3 *db = NULL;

	if (!f || !g)
		fail("open_memstream: %m");
	if (copy(r, "catalog", "look")) {
		copy(r, "catalog-wal", "look-wal");
		copy(r, "catalog-journal", "look-journal");
		snprintf(path, sizeof(path), "%s/look", r->state);
		if (sqlite3_open(path, &db) ||
		    sqlite3_exec(db, "PRAGMA integrity_check", one_row, f, NULL))
			room_wrong(r, "the catalog: %s", sqlite3_errmsg(db));
		else /* no such table: it was about to be made */
			sqlite3_exec(db,
				     "SELECT name, path, domain, rules, trust FROM guest ORDER BY "
				     "name",
				     one_row, g, NULL);
		sqlite3_close(db);
		snprintf(path, sizeof(path), "%s/look-shm", r->state);
		unlink(path);
	}
	fclose(f);
	fclose(g);
	if (*sound && strcmp(sound, "ok\n") != 0)
		room_wrong(r, "the catalog is damaged: %s", sound);
	free(sound);
	return guests;
}

void room_catalog_remove(struct room *r)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
	char path[PATH];

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		snprintf(path, sizeof(path), "%s/catalog%s", r->state, ends[i]);
		unlink(path);
	}
}

void room_catalog_save(struct room *r)
{
	if (!copy(r, "catalog", "saved"))
		fail("there is no catalog to save");
}

void room_catalog_restore(struct room *r)
{
	room_catalog_remove(r);
	copy(r, "saved", "catalog");
}

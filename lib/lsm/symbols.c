/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lsm/symbols.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static const char *const names[VU_ASK_FUNCTIONS] = {
	[VU_ASK_DO_DENTRY_OPEN] = "do_dentry_open",
	[VU_ASK_VFS_OPEN] = "vfs_open",
	[VU_ASK_DO_OPEN] = "do_open",
	[VU_ASK_PATH_OPENAT] = "path_openat",
};

static bool is_code(char type)
{
	return tolower((unsigned char)type) == 't' || tolower((unsigned char)type) == 'w';
}

/* Parts that are seldom run lie elsewhere ("path_openat.cold"): whoever calls from there is not recognised. */
static bool is_name(const char *symbol, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(symbol, name, n) &&
	       (!symbol[n] || (symbol[n] == '.' && !strstr(symbol + n, ".cold")));
}

static bool parse(const char *line, uint64_t *ret_at, char *ret_type, char symbol[128])
{
	return sscanf(line, "%" SCNx64 " %c %127s", ret_at, ret_type, symbol) == 3 && *ret_at;
}

static bool is_module(const char *line)
{
	return strchr(line, '[');
}

/*
 * Twice the same name: which of them it is cannot be told. There are several do_open(); the wrong one is not
 * found between the others.
 */
static int find_begins(FILE *list, struct vu_ask_range *ret)
{
	char line[512], symbol[128], type;
	uint64_t at;

	while (fgets(line, sizeof(line), list)) {
		if (is_module(line) || !parse(line, &at, &type, symbol) || !is_code(type))
			continue;
		for (unsigned f = 0; f < VU_ASK_FUNCTIONS; f++) {
			if (!is_name(symbol, names[f]))
				continue;
			if (ret[f].begin && f != VU_ASK_DO_OPEN)
				return -ENOENT;
			ret[f].begin = at;
		}
	}
	return ferror(list) ? -EIO : 0;
}

/* A function ends where the next one begins. */
static int find_ends(FILE *list, struct vu_ask_range *ret)
{
	char line[512], symbol[128], type;
	uint64_t at;

	while (fgets(line, sizeof(line), list)) {
		if (is_module(line) || !parse(line, &at, &type, symbol))
			continue;
		for (unsigned f = 0; f < VU_ASK_FUNCTIONS; f++)
			if (at > ret[f].begin && (!ret[f].end || at < ret[f].end))
				ret[f].end = at;
	}
	return ferror(list) ? -EIO : 0;
}

int vu_symbols_read(FILE *list, struct vu_ask_range ret[VU_ASK_FUNCTIONS])
{
	memset(ret, 0, VU_ASK_FUNCTIONS * sizeof(*ret));
	int r = find_begins(list, ret);

	rewind(list);
	if (!r)
		r = find_ends(list, ret);
	for (unsigned f = 0; !r && f < VU_ASK_FUNCTIONS; f++) {
		if (f == VU_ASK_DO_OPEN && !ret[f].begin)
			ret[f].end = 0; /* a part of its caller */
		else if (!ret[f].begin || !ret[f].end)
			r = -ENOENT;
	}
	return r;
}

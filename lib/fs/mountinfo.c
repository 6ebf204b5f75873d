/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/mountinfo.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Space, tab, newline and backslash are written as \ooo; anything else is no escape. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && is_octal(s[1]) && is_octal(s[2]) && is_octal(s[3])) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}

/* 36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/root rw */
bool vu_mountinfo_parse(char *line, struct vu_mountinfo *ret)
{
	char *f[7] = {0}, *save = NULL, *tail = strstr(line, " - ");
	unsigned major, minor;

	if (!tail)
		return false;
	*tail = 0;
	for (int i = 0; i < 6; i++) {
		f[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!f[i])
			return false;
	}
	f[6] = strtok_r(tail + 3, " \n", &save);
	if (!f[6] || sscanf(f[0], "%" SCNu64, &ret->id) != 1 ||
	    sscanf(f[2], "%u:%u", &major, &minor) != 2)
		return false;
	unescape(f[3]);
	unescape(f[4]);
	ret->dev = makedev(major, minor);
	ret->root = f[3];
	ret->point = f[4];
	ret->options = f[5];
	ret->type = f[6];
	return true;
}

bool vu_mountinfo_has_option(const struct vu_mountinfo *m, const char *word)
{
	size_t n = strlen(word);

	for (const char *s = m->options; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
		if (!strncmp(s, word, n) && (s[n] == ',' || !s[n]))
			return true;
	return false;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/escape.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Bytes of the valid UTF-8 character at s, 0 if there is none; ret_c is its number. */
static size_t utf8_char(const unsigned char *s, uint32_t *ret_c)
{
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? s[0] : s[0] & (0x7f >> n);

	if (!n || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret_c = c;
	return n;
}

bool vu_utf8_valid(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	uint32_t c;

	while (*u) {
		size_t n = utf8_char(u, &c);

		if (!n)
			return false;
		u += n;
	}
	return true;
}

/* May a character beyond ASCII be shown as it is? */
static bool showable(uint32_t c)
{
	return c >= 0xa1 && c != 0xad && c != 0x61c && !(c >= 0x200b && c <= 0x200f) &&
	       !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2060 && c <= 0x206f) &&
	       !(c >= 0xe000 && c <= 0xf8ff) && !(c >= 0xfff0 && c <= 0xfffb) && c != 0xfeff &&
	       c < 0xe0000;
}

static char *escape_byte(char *out, unsigned char c)
{
	static const char from[] = "\a\b\t\n\v\f\r\\", to[] = "abtnvfr\\";
	static const char digits[] = "0123456789abcdef";
	const char *f = strchr(from, c);

	*out++ = '\\';
	if (f) {
		*out++ = to[f - from];
		return out;
	}
	*out++ = 'x';
	*out++ = digits[c >> 4];
	*out++ = digits[c & 15];
	return out;
}

char *vu_escape(const char *s, bool utf8)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t len = strlen(s);
	char *text = malloc(4 * len + 1), *out = text;

	if (!text)
		return NULL;
	while (*u) {
		uint32_t c = 0;
		size_t n = utf8_char(u, &c);
		bool plain =
			n == 1 ? c >= 0x20 && c != 0x7f && c != '\\' : n && utf8 && showable(c);

		if (!n)
			n = 1;
		for (size_t i = 0; i < n; i++, u++) {
			if (plain)
				*out++ = (char)*u;
			else
				out = escape_byte(out, *u);
		}
	}
	*out = '\0';
	return text;
}

bool vu_escape_locale_utf8(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

char *vu_base64(const char *s, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *u = (const unsigned char *)s;
	char *text = malloc((len + 2) / 3 * 4 + 1), *out = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t w = (uint32_t)u[i] << 16;

		w |= i + 1 < len ? (uint32_t)u[i + 1] << 8 : 0;
		w |= i + 2 < len ? (uint32_t)u[i + 2] : 0;
		*out++ = digits[w >> 18];
		*out++ = digits[w >> 12 & 63];
		*out++ = i + 1 < len ? digits[w >> 6 & 63] : '=';
		*out++ = i + 2 < len ? digits[w & 63] : '=';
	}
	*out = '\0';
	return text;
}

const char *vu_size_text(uint64_t bytes, char *buf)
{
	static const char units[] = "KMGTPE";
	double v = (double)bytes / 1024;
	size_t u = 0;

	if (bytes < 1024) {
		snprintf(buf, VU_SIZE_TEXT, "%" PRIu64 " B", bytes);
		return buf;
	}
	/* 1023.96 KiB would be shown as 1024.0. */
	for (; v >= 1023.95 && units[u + 1]; u++)
		v /= 1024;
	snprintf(buf, VU_SIZE_TEXT, "%.1f %ciB", v, units[u]);
	return buf;
}

const char *vu_time_text(uint64_t ns, bool utc, char *buf)
{
	time_t t = (time_t)(ns / UINT64_C(1000000000));
	struct tm tm;

	if (!(utc ? gmtime_r(&t, &tm) : localtime_r(&t, &tm)) ||
	    !strftime(buf, VU_TIME_TEXT, utc ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M:%S", &tm))
		buf[0] = '\0';
	return buf;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names that a guest chose, made fit to be shown: control characters, bytes that are no UTF-8, and
 * characters that turn the reading direction or show nothing become C escapes ("\n", "\x1b",
 * "\xff"), a backslash is doubled. So different names look different and no terminal is moved. And
 * sizes and times for people.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is s valid UTF-8 (no overlong form, no surrogate, nothing above U+10FFFF)? */
bool vu_utf8_valid(const char *s);

/*
 * The escaped text of s; where utf8 is false everything beyond ASCII is escaped too. malloc'ed; NULL
 * without memory.
 */
char *vu_escape(const char *s, bool utf8);

/* Does the locale's terminal show UTF-8? */
bool vu_escape_locale_utf8(void);

/* Base64 (RFC 4648) of the bytes. malloc'ed; NULL without memory. */
char *vu_base64(const char *s, size_t len);

#define VU_SIZE_TEXT 16
#define VU_TIME_TEXT 32

/* "17 B", "1.6 GiB": IEC, one decimal, buf has VU_SIZE_TEXT bytes. Returns buf. */
const char *vu_size_text(uint64_t bytes, char *buf);

/* "2026-01-31 17:05:09", local time; or with utc "2026-01-31T16:05:09Z". Returns buf. */
const char *vu_time_text(uint64_t ns, bool utc, char *buf);

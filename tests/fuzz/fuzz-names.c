/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of guests on their way to a terminal and to JSON, sizes, and names of objects. The first byte
 * chooses; jansson and libcrypto are asked whether what was said can be read back.
 */
#include "fuzz.h"

#include <jansson.h>
#include <openssl/evp.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/json.h"
#include "model/key.h"
#include "model/size.h"

/* What vu_escape has written, read back. */
static char *unescape(const char *s)
{
	static const char letters[] = "abtnvfr\\", bytes[] = "\a\b\t\n\v\f\r\\";
	char *text = malloc(strlen(s) + 1), *out = text;

	CHECK(text);
	while (*s) {
		const char *l;
		unsigned c;

		if (*s != '\\') {
			*out++ = *s++;
		} else if (s[1] == 'x') {
			CHECK(sscanf(s + 2, "%2x", &c) == 1);
			*out++ = (char)c;
			s += 4;
		} else {
			l = s[1] ? strchr(letters, s[1]) : NULL;
			CHECK(l);
			*out++ = bytes[l - letters];
			s += 2;
		}
	}
	*out = 0;
	return text;
}

static void check_escape(const char *s, bool utf8)
{
	_cleanup_free_ char *text = vu_escape(s, utf8);

	CHECK(text && vu_utf8_valid(text));
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;

		CHECK(c >= ' ' && c != 0x7f && (utf8 || c < 0x7f));
	}
	_cleanup_free_ char *back = unescape(text);

	CHECK(!strcmp(back, s));
}

static void check_base64(const char *text, const char *s, size_t len)
{
	_cleanup_free_ unsigned char *bytes = malloc(strlen(text) + 1);
	int n = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)strlen(text));

	/* padding is decoded to zeros */
	CHECK(bytes && n >= 0 && (size_t)n >= len && (size_t)n < len + 3);
	CHECK(!memcmp(bytes, s, len));
}

static void check_json(const char *s)
{
	struct vu_json *j = vu_json_new();
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&line, &size);
	json_t *own = json_string(s);

	CHECK(j && f);
	vu_json_name(j, "k", s);
	CHECK(!vu_json_print(j, f) && !fclose(f));
	CHECK(size > 1 && line[size - 1] == '\n' && !memchr(line, '\n', size - 1));
	json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	const char *k = json_string_value(json_object_get(o, "k"));
	const char *b64 = json_string_value(json_object_get(o, "k_b64"));

	CHECK(o && k);
	/* jansson takes UTF-8 only */
	CHECK(vu_utf8_valid(s) == (own != NULL));
	CHECK(own ? !b64 && !strcmp(k, s) : b64 != NULL);
	if (b64)
		check_base64(b64, s, strlen(s));
	json_decref(own);
	json_decref(o);
	vu_json_free(j);
}

static void check_name(struct input *in)
{
	_cleanup_free_ char *s = take_until(in, 0);

	check_escape(s, true);
	check_escape(s, false);
	check_json(s);
}

/* Digits and a unit, said again as plainly as can be. */
static int naive_size(const char *s, uint64_t *ret)
{
	size_t digits = strspn(s, "0123456789");
	static const char unit[] = "KMGT";
	__extension__ unsigned __int128 v = 0;
	const char *u = s[digits] ? strchr(unit, s[digits]) : NULL;

	if (!digits || (s[digits] && (!u || s[digits + 1])))
		return -EINVAL;
	for (size_t i = 0; i < digits; i++) {
		v = v * 10 + (unsigned)(s[i] - '0');
		if (v > UINT64_MAX)
			return -ERANGE;
	}
	if (u)
		v <<= 10 * (u - unit + 1);
	*ret = (uint64_t)v;
	return v > UINT64_MAX ? -ERANGE : 0;
}

static void check_size(struct input *in)
{
	uint64_t v = take_number(in), got = 0, want = 0;
	_cleanup_free_ char *s = take_until(in, 0);
	char text[VU_SIZE_TEXT], when[VU_TIME_TEXT];
	int r = vu_size_parse(s, &got);

	CHECK(r == naive_size(s, &want));
	CHECK(r || got == want);
	CHECK(vu_size_text(v, text) == text && strlen(text) < sizeof(text));
	CHECK(strstr(text, "B") && strlen(vu_time_text(v, true, when)) < sizeof(when));
}

static void check_key(struct input *in)
{
	char name[VU_KEY_NAME_MAX];
	struct vu_key k, again;

	for (size_t i = 0; i < sizeof(k.hash.b); i++)
		k.hash.b[i] = take_byte(in);
	k.generation = (uint32_t)take_number(in);
	vu_key_name(&k, name);
	CHECK(strlen(name) < sizeof(name));
	/* the name has room for more than are ever made */
	if (k.generation < 1000000000)
		CHECK(!vu_key_parse(name, &again) && again.generation == k.generation &&
		      !memcmp(&again.hash, &k.hash, sizeof(k.hash)));
	_cleanup_free_ char *s = take_until(in, 0);

	if (vu_key_parse(s, &again))
		return;
	vu_key_name(&again, name);
	CHECK(!strcmp(name, s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	switch (take_byte(&in) % 3) {
	case 0:
		check_name(&in);
		break;
	case 1:
		check_size(&in);
		break;
	default:
		check_key(&in);
	}
	return 0;
}

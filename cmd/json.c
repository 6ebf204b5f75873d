/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/escape.h"

struct vu_json {
	json_t *o; /* owned */
	bool failed;
};

struct vu_json *vu_json_new(void)
{
	struct vu_json *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->o = json_object();
	if (!j->o) {
		free(j);
		return NULL;
	}
	return j;
}

struct vu_json *vu_json_free(struct vu_json *j)
{
	if (!j)
		return NULL;
	json_decref(j->o);
	free(j);
	return NULL;
}

/* Takes value over. */
static void set(struct vu_json *j, const char *key, json_t *value)
{
	if (!j)
		json_decref(value);
	else if (json_object_set_new(j->o, key, value))
		j->failed = true;
}

void vu_json_text(struct vu_json *j, const char *key, const char *s)
{
	set(j, key, s ? json_string(s) : json_null());
}

void vu_json_name(struct vu_json *j, const char *key, const char *s)
{
	_cleanup_free_ char *text = NULL, *b64 = NULL, *key_b64 = NULL;

	if (!s || vu_utf8_valid(s)) {
		vu_json_text(j, key, s);
		return;
	}
	text = vu_escape(s, true);
	b64 = vu_base64(s, strlen(s));
	if (asprintf(&key_b64, "%s_b64", key) < 0)
		key_b64 = NULL;
	set(j, key, text ? json_string(text) : NULL);
	set(j, key_b64, b64 ? json_string(b64) : NULL);
}

void vu_json_count(struct vu_json *j, const char *key, uint64_t u)
{
	set(j, key, json_integer((json_int_t)u));
}

void vu_json_signed(struct vu_json *j, const char *key, int64_t i)
{
	set(j, key, json_integer(i));
}

void vu_json_seconds(struct vu_json *j, const char *key, double d)
{
	set(j, key, json_real(d));
}

void vu_json_bool(struct vu_json *j, const char *key, bool b)
{
	set(j, key, json_boolean(b));
}

void vu_json_array(struct vu_json *j, const char *key)
{
	set(j, key, json_array());
}

static json_t *take(struct vu_json *j, struct vu_json *item)
{
	json_t *o = item ? json_incref(item->o) : NULL;

	if (j && (!item || item->failed))
		j->failed = true;
	vu_json_free(item);
	return o;
}

void vu_json_put(struct vu_json *j, const char *key, struct vu_json *item)
{
	set(j, key, take(j, item));
}

void vu_json_append(struct vu_json *j, const char *key, struct vu_json *item)
{
	json_t *o = take(j, item);

	if (!j) {
		json_decref(o);
		return;
	}
	if (!json_object_get(j->o, key))
		vu_json_array(j, key);
	if (json_array_append_new(json_object_get(j->o, key), o))
		j->failed = true;
}

int vu_json_print(const struct vu_json *j, FILE *out)
{
	if (!j || j->failed)
		return -ENOMEM;
	errno = 0;
	if (json_dumpf(j->o, out, JSON_COMPACT | JSON_REAL_PRECISION(6)) || fputc('\n', out) == EOF)
		return errno ? -errno : -EIO;
	return 0;
}

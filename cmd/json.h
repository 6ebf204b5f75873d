/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON objects under construction, on top of jansson. Names that a guest chose are lossless: KEY is
 * the name, and when it is not UTF-8 it is the escaped text, and KEY_b64 holds the bytes. Every
 * function accepts NULL; a lack of memory is remembered and reported by vu_json_print().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define VU_SCHEMA 1 /* grows when a key changes its meaning or goes away */

struct vu_json;

struct vu_json *vu_json_new(void);
struct vu_json *vu_json_free(struct vu_json *j);

void vu_json_text(struct vu_json *j, const char *key, const char *s); /* NULL: null */
void vu_json_name(struct vu_json *j, const char *key, const char *s); /* NULL: null */
void vu_json_count(struct vu_json *j, const char *key, uint64_t u);
void vu_json_signed(struct vu_json *j, const char *key, int64_t i);
void vu_json_seconds(struct vu_json *j, const char *key, double d);
void vu_json_bool(struct vu_json *j, const char *key, bool b);
void vu_json_array(struct vu_json *j, const char *key); /* an empty array */

/* Moves item into j: as j[key], or to the end of the array j[key]. item is freed. */
void vu_json_put(struct vu_json *j, const char *key, struct vu_json *item);
void vu_json_append(struct vu_json *j, const char *key, struct vu_json *item);

/* Prints it on one line. Returns 0 or a negative errno. */
int vu_json_print(const struct vu_json *j, FILE *out);

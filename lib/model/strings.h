/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A list of strings: NULL-terminated, owned with the strings in it. Threads: any, one list at a time. */
#pragma once

/* Frees all. Accepts NULL, returns NULL. */
char **vu_strings_free(char **list);

/* Appends prefix and s as one string; *list may be NULL. Returns 0 or -ENOMEM. */
int vu_strings_add(char ***list, const char *prefix, const char *s);

/* Makes it empty (not NULL). Returns 0 or -ENOMEM. */
int vu_strings_clear(char ***list);

/* Removes the strings that begin with prefix. */
void vu_strings_drop(char **list, const char *prefix);

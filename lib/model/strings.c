/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/strings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char **vu_strings_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
	return NULL;
}

int vu_strings_add(char ***list, const char *prefix, const char *s)
{
	size_t n = 0;
	char *item = NULL;

	while (*list && (*list)[n])
		n++;
	char **bigger = reallocarray(*list, n + 2, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	*list = bigger;
	bigger[n] = NULL;
	if (asprintf(&item, "%s%s", prefix, s) < 0)
		return -ENOMEM;
	bigger[n] = item;
	bigger[n + 1] = NULL;
	return 0;
}

int vu_strings_clear(char ***list)
{
	*list = vu_strings_free(*list);
	*list = calloc(1, sizeof(**list));
	return *list ? 0 : -ENOMEM;
}

void vu_strings_drop(char **list, const char *prefix)
{
	char **to = list;

	for (char **from = list; *from; from++) {
		if (strncmp(*from, prefix, strlen(prefix)) != 0)
			*to++ = *from;
		else
			free(*from);
	}
	*to = NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/recorded.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int vu_recorded_grow(void *v, size_t elem, size_t n_used, size_t n, size_t *max)
{
	size_t room = *max ? *max : 1024;
	void *p, *grown;

	/* what points to it has 32 bits */
	if (n_used + n >= UINT32_MAX)
		return -EOVERFLOW;
	if (n_used + n <= *max)
		return 0;
	while (room < n_used + n)
		room *= 2;
	memcpy(&p, v, sizeof(p));
	grown = reallocarray(p, room, elem);
	if (!grown)
		return -ENOMEM;
	memcpy(v, &grown, sizeof(grown));
	*max = room;
	return 0;
}

void vu_recorded_clear(struct vu_recorded *r)
{
	r->n_dirs = r->n_files = r->n_inodes = r->n_text = 0;
}

void vu_recorded_done(struct vu_recorded *r)
{
	free(r->dirs);
	free(r->files);
	free(r->inodes);
	free(r->text);
	*r = (struct vu_recorded){0};
}

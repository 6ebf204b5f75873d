/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/plan.h"

#include <stdlib.h>

void vu_plan_done(struct vu_plan *p)
{
	free(p->objects);
	free(p->targets);
	*p = (struct vu_plan){0};
}

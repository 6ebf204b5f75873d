/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/descriptors.h"

#include <sys/resource.h>

void vu_descriptors_raise(uint64_t most)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return;
	uint64_t wanted = l.rlim_max < most ? l.rlim_max : most;

	if (l.rlim_cur >= wanted)
		return;
	l.rlim_cur = wanted;
	(void)setrlimit(RLIMIT_NOFILE, &l);
}

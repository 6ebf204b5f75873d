/* SPDX-License-Identifier: GPL-2.0-or-later */
#define VU_LIBARCHIVE_ITSELF
#include "archive/libarchive.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

struct vu_libarchive vu_libarchive;

int vu_libarchive_load(void)
{
	static bool loaded;
	void *lib = loaded ? NULL : dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
	bool all = true;

	if (loaded)
		return 0;
	if (!lib)
		return -ELIBACC;
#define LOAD(name)                                                                                 \
	vu_libarchive.name = (__typeof__(vu_libarchive.name))dlsym(lib, #name);                    \
	all = all && vu_libarchive.name;
	VU_LIBARCHIVE(LOAD)
#undef LOAD
	loaded = all;
	return all ? 0 : -ELIBACC;
}

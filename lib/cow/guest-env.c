/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/guest-env.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

/* Static, but execve(2) wants them so; nobody writes to them. */
static char login[][72] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"SHELL=/bin/sh",
	"USER=root",
	"LOGNAME=root",
};

static bool is_kept(const char *entry)
{
	static const char *const names[] = {"TERM", "LANG", "LANGUAGE"};
	static const char *const proxies[] = {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy",
					      "no_proxy"};
	size_t len = strcspn(entry, "=");

	if (!strncmp(entry, "LC_", 3))
		return true;
	for (size_t i = 0; i < VU_ARRAY_SIZE(names); i++)
		if (len == strlen(names[i]) && !strncmp(entry, names[i], len))
			return true;
	for (size_t i = 0; i < VU_ARRAY_SIZE(proxies); i++)
		if (len == strlen(proxies[i]) && !strncasecmp(entry, proxies[i], len))
			return true;
	return false;
}

int vu_guest_env_new(char *const *host, char ***ret)
{
	size_t n = 0, count = 0;

	while (host[count])
		count++;
	char **env = calloc(VU_ARRAY_SIZE(login) + count + 1, sizeof(*env));

	if (!env)
		return -ENOMEM;
	for (size_t i = 0; i < VU_ARRAY_SIZE(login); i++)
		env[n++] = login[i];
	for (size_t i = 0; i < count; i++)
		if (is_kept(host[i]))
			env[n++] = host[i];
	*ret = env;
	return 0;
}

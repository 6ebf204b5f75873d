/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The environment of a command in a guest: as a login of root there has it. Of the host's own comes what the
 * terminal and the user speak (TERM, LANG, LANGUAGE, LC_*), and proxies (http_proxy, https_proxy, ftp_proxy,
 * all_proxy, no_proxy, in either case): paths, keys and sessions of the host mean nothing in a guest, or too
 * much. Any thread.
 */
#pragma once

/*
 * host: an environment as environ(7) has it. The strings in ret are static, or those of host; the array is
 * malloc'ed, and ends with NULL. PATH, HOME, SHELL, USER and LOGNAME come first. Returns 0 or -ENOMEM.
 */
int vu_guest_env_new(char *const *host, char ***ret);

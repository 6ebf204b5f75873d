/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Help, and the dump of commands and options that the man page and the completion are made from:
 * all of it comes from the commands' data. Prints to stdout.
 */
#pragma once

#include "cmd/cmd.h"

/* The help of vunify as a whole; cmds is NULL-terminated, opts are the global ones. */
void vu_help(const struct vu_cmd *const *cmds, const struct vu_opt *opts);

/* The help of one command (with subs: of all of them). */
void vu_help_cmd(const struct vu_cmd *cmd, const struct vu_opt *opts);

/*
 * One line for each thing, fields separated by tabs:
 *   command NAME SYNOPSIS SUMMARY
 *   option  NAME SHORT LONG ARG CHOICES HELP     (NAME "-": global; "-" for what is not there)
 *   exit    CODE TEXT
 */
void vu_help_dump(const struct vu_cmd *const *cmds, const struct vu_opt *opts);

/* The -n of commands that have VU_CMD_DRY_RUN; offset 0 of a bool. */
extern const struct vu_opt vu_help_dry_run[];

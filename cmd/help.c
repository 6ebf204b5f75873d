/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/help.h"

#include <stdio.h>

#include "base/cleanup.h"

const struct vu_opt vu_help_dry_run[] = {
	{"dry-run", 'n', VU_OPT_FLAG, NULL, NULL,
	 "do everything but change a guest, and print the same", 0},
	{0},
};

static const struct {
	int code;
	const char *text;
} exits[] = {
	{VU_EXIT_DONE, "done"},
	{VU_EXIT_FAILED, "failed"},
	{VU_EXIT_USAGE, "wrong usage or configuration"},
	{VU_EXIT_WARNED, "done, but something was skipped with a warning"},
	{VU_EXIT_DAMAGE, "damage found"},
	{VU_EXIT_NOT_SET_UP, "not set up yet: no catalog or no guests"},
	{VU_EXIT_LOCKED, "another vunify is at work"},
	{VU_EXIT_REFUSED, "refused as unsafe, or not possible on this file system"},
	{VU_EXIT_NO_SPACE, "not enough free space"},
	{129, "stopped by SIGHUP at a safe point"},
	{130, "stopped by SIGINT at a safe point"},
	{143, "stopped by SIGTERM at a safe point"},
};

static void put_options(const struct vu_opt *opts)
{
	for (const struct vu_opt *o = opts; o && o->name; o++) {
		const char *arg = o->choices ? o->choices : o->arg;
		int n;

		if (!o->help)
			continue;
		n = o->short_name ? printf("  -%c, ", o->short_name) : printf("      ");
		n += printf("--%s", o->name);
		n += arg ? printf("=%s", arg) : 0;
		if (n < 27)
			printf("%*s", 28 - n, "");
		else
			printf("\n%28s", "");
		puts(o->help);
	}
}

static void put_usage(const struct vu_cmd *cmd)
{
	bool opts = cmd->opts || cmd->flags & VU_CMD_DRY_RUN;

	printf("vunify %s%s%s%s\n", cmd->name, opts ? " [OPTION...]" : "",
	       *cmd->synopsis ? " " : "", cmd->synopsis);
}

void vu_help(const struct vu_cmd *const *cmds, const struct vu_opt *opts)
{
	puts("Usage: vunify [OPTION...] COMMAND [OPTION...] [OPERAND...]\n"
	     "\n"
	     "Unifies identical files across guest root trees: one inode on the disk, one page in memory.\n"
	     "\n"
	     "Commands:");
	for (; *cmds; cmds++)
		printf("  %-10s %s\n", (*cmds)->name, (*cmds)->summary);
	puts("\nOptions of all commands:");
	put_options(opts);
	puts("\nExit status:");
	for (size_t i = 0; i < VU_ARRAY_SIZE(exits); i++)
		printf("  %3d  %s\n", exits[i].code, exits[i].text);
	puts("\n'vunify COMMAND --help' shows a command's own options, vunify(8) all of it.");
}

static void put_cmd(const struct vu_cmd *cmd)
{
	printf("%s.\n", cmd->summary);
	if (cmd->opts || cmd->flags & VU_CMD_DRY_RUN)
		puts("\nOptions:");
	put_options(cmd->opts);
	if (cmd->flags & VU_CMD_DRY_RUN)
		put_options(vu_help_dry_run);
}

void vu_help_cmd(const struct vu_cmd *cmd, const struct vu_opt *opts)
{
	if (!cmd->subs) {
		printf("Usage: ");
		put_usage(cmd);
		puts("");
		put_cmd(cmd);
	}
	for (size_t i = 0; cmd->subs && cmd->subs[i]; i++) {
		printf(i ? "\n       " : "Usage: ");
		put_usage(cmd->subs[i]);
		puts("");
		put_cmd(cmd->subs[i]);
	}
	puts("\nOptions of all commands:");
	put_options(opts);
}

static void dump_options(const char *name, const struct vu_opt *opts)
{
	for (const struct vu_opt *o = opts; o && o->name; o++)
		if (o->help)
			printf("option\t%s\t%c\t%s\t%s\t%s\t%s\n", name,
			       o->short_name ? o->short_name : '-', o->name, o->arg ? o->arg : "-",
			       o->choices ? o->choices : "-", o->help);
}

static void dump_cmd(const struct vu_cmd *cmd)
{
	printf("command\t%s\t%s\t%s\n", cmd->name, *cmd->synopsis ? cmd->synopsis : "-",
	       cmd->summary);
	dump_options(cmd->name, cmd->opts);
	if (cmd->flags & VU_CMD_DRY_RUN)
		dump_options(cmd->name, vu_help_dry_run);
	for (size_t i = 0; cmd->subs && cmd->subs[i]; i++)
		dump_cmd(cmd->subs[i]);
}

void vu_help_dump(const struct vu_cmd *const *cmds, const struct vu_opt *opts)
{
	dump_options("-", opts);
	for (; *cmds; cmds++)
		dump_cmd(*cmds);
	for (size_t i = 0; i < VU_ARRAY_SIZE(exits); i++)
		printf("exit\t%d\t%s\n", exits[i].code, exits[i].text);
}

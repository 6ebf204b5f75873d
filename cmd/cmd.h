/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a command is: data, and one function. main.c holds the array of them, acts on the flags, and
 * makes help, completions and the man page's lists from the same data. A command holds no policy:
 * it calls one lib/ops/ function and prints the result.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cmd/options.h"
#include "cmd/printer.h"
#include "cmd/progress-line.h"
#include "model/config.h"
#include "model/progress.h"
#include "ops/context.h"

/* Exit codes; 128 + N besides for a run that signal N stopped. */
enum vu_exit {
	VU_EXIT_DONE = 0,
	VU_EXIT_FAILED = 1,
	VU_EXIT_USAGE = 2,  /* or configuration */
	VU_EXIT_WARNED = 3, /* done, but something was skipped with a warning */
	VU_EXIT_DAMAGE = 4, /* damage found, or a threshold crossed */
	VU_EXIT_NOT_SET_UP = 10,
	VU_EXIT_LOCKED = 11,
	VU_EXIT_REFUSED = 12, /* as unsafe, or not possible there */
	VU_EXIT_NO_SPACE = 13,
};

enum vu_cmd_flag {
	VU_CMD_ROOT = 1 << 0,	       /* needs root */
	VU_CMD_CATALOG_READ = 1 << 1,  /* ends with VU_EXIT_NOT_SET_UP where there is no catalog */
	VU_CMD_CATALOG_WRITE = 1 << 2, /* makes the catalog where there is none */
	VU_CMD_DRY_RUN = 1 << 3,       /* has -n, --dry-run */
	VU_CMD_JSON = 1 << 4,	       /* has --json */
	VU_CMD_TABLE = 1 << 5,	       /* has --columns and --no-legend */
	VU_CMD_GUARDED = 1 << 6,       /* changes guests: has a guardian, but for a dry run */
	VU_CMD_DASHES = 1 << 7,	       /* "--" divides its operands, and has to be there */
};

/* Options of every command. */
struct vu_globals {
	const char *config;
	const char *catalog;
	const char *lock_dir;
	const char *columns;
	bool json;
	bool no_legend;
	bool no_progress;
	bool quiet;
	bool verbose;
	bool help;
	bool version;
	bool dump_options;
};

struct vu_cmd;

/* All that a command's run() gets. */
struct vu_ctx {
	const struct vu_cmd *cmd;
	struct vu_globals globals;
	bool dry_run;
	struct vu_config config; /* owned; run() may put options of its own over it */
	struct vu_problem problem;
	struct vu_progress progress;
	struct vu_progress_line *line; /* owned, or NULL */
	struct vu_sink sink;
	struct vu_ops ops;
	void *shared;	 /* of vu_cmd.share */
	char **operands; /* n_operands of argv, and NULL */
	size_t n_operands;
	size_t n_before; /* of these, before "--" (VU_CMD_DASHES) */
};

struct vu_cmd {
	const char *name;		  /* "guests add" of a command with subs */
	const char *summary;		  /* one line, no full stop */
	const char *synopsis;		  /* what follows the name */
	const struct vu_opt *opts;	  /* ends with a zeroed one; or NULL */
	const struct vu_cmd *const *subs; /* NULL-terminated, the first is the default; or NULL */
	unsigned flags;			  /* enum vu_cmd_flag */
	size_t options_size;		  /* of the struct that opts writes to */
	size_t min_operands;
	size_t max_operands;			       /* SIZE_MAX: any number */
	int (*run)(struct vu_ctx *ctx, void *options); /* returns the exit code */
	/*
	 * Of a guarded command that goes on when its worker is killed, or NULL: makes memory that workers share, and
	 * tells which descriptors the next one needs. ctx->shared is NULL where it could not be made.
	 */
	void *(*share)(void);
	bool (*keeps)(void *shared, int fd);
};

extern const struct vu_cmd vu_cmd_clone;
extern const struct vu_cmd vu_cmd_cowd;
extern const struct vu_cmd vu_cmd_df;
extern const struct vu_cmd vu_cmd_diff;
extern const struct vu_cmd vu_cmd_doctor;
extern const struct vu_cmd vu_cmd_gc;
extern const struct vu_cmd vu_cmd_export;
extern const struct vu_cmd vu_cmd_guests;
extern const struct vu_cmd vu_cmd_history;
extern const struct vu_cmd vu_cmd_ksm;
extern const struct vu_cmd vu_cmd_import;
extern const struct vu_cmd vu_cmd_mem;
extern const struct vu_cmd vu_cmd_owners;
extern const struct vu_cmd vu_cmd_propagate;
extern const struct vu_cmd vu_cmd_pages;
extern const struct vu_cmd vu_cmd_recover;
extern const struct vu_cmd vu_cmd_remerge;
extern const struct vu_cmd vu_cmd_remove;
extern const struct vu_cmd vu_cmd_run;
extern const struct vu_cmd vu_cmd_scan;
extern const struct vu_cmd vu_cmd_stale;
extern const struct vu_cmd vu_cmd_status;
extern const struct vu_cmd vu_cmd_template;
extern const struct vu_cmd vu_cmd_unmerge;
extern const struct vu_cmd vu_cmd_verify;
extern const struct vu_cmd vu_cmd_why;

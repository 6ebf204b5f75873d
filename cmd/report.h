/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a run is told: its events as lines on stdout (with -v as text, with --json as JSON lines;
 * warnings and damage always), and its summary. The texts are the same for a run and for -n, but for
 * "would".
 */
#pragma once

#include "cmd/cmd.h"
#include "cmd/json.h"
#include "model/event.h"
#include "ops/ops-clone.h"
#include "ops/ops-export.h"
#include "ops/ops-import.h"
#include "ops/ops-recover.h"
#include "ops/ops-remove.h"
#include "ops/ops-scan.h"
#include "ops/ops-unmerge.h"

/* The event sink of a run; arg is the struct vu_ctx. Fits vu_sink.fn. */
void vu_report_event(void *arg, const struct vu_event *e);

/* Sets ctx->sink, ctx->ops and the progress line for a run. */
void vu_report_begin(struct vu_ctx *ctx);

/* Erases the progress line: what follows is the result. */
void vu_report_end(struct vu_ctx *ctx);

/* Are the columns of --columns those of scan's summary? 0, or the exit code after a message. */
int vu_report_scan_columns(struct vu_ctx *ctx);

/* The same for those of remerge's. */
int vu_report_remerge_columns(struct vu_ctx *ctx);

/* The exit code of a run that was done, by what it counted. */
int vu_report_exit(uint64_t warnings, uint64_t damages);

/*
 * The exit code of a command: what r of its lib/ops function says, then whether its result could be printed (0 or a
 * negative errno), then what it counted. what: "cannot scan".
 */
int vu_report_result(struct vu_ctx *ctx, int r, int printed, const char *what, uint64_t warnings,
		     uint64_t damages);

/* What each summary begins with; the caller's. */
struct vu_json *vu_report_summary(const struct vu_ctx *ctx);

/* What the summary of a command that may freeze guests ends with; prints it. Returns 0 or a negative errno. */
int vu_report_summary_print(struct vu_json *j, const struct vu_freezer_stats *frozen,
			    uint64_t warnings, uint64_t damages, double seconds);

/* Tells of evicted objects where there were any, which hardly ever happens. */
void vu_report_evicted(uint64_t n);

/* The summaries. Return 0 or a negative errno. */
int vu_report_export(struct vu_ctx *ctx, const struct vu_export_report *r);
int vu_report_import(struct vu_ctx *ctx, const struct vu_import_report *r);
int vu_report_scan(struct vu_ctx *ctx, const struct vu_scan_report *r);
int vu_report_remerge(struct vu_ctx *ctx, const struct vu_scan_report *r);
int vu_report_unmerge(struct vu_ctx *ctx, const struct vu_unmerge_report *r);
int vu_report_clone(struct vu_ctx *ctx, const struct vu_clone_report *r);
int vu_report_remove(struct vu_ctx *ctx, const struct vu_remove_report *r);
int vu_report_recover(struct vu_ctx *ctx, const struct vu_recover_report *r);

/*
 * A printer as the global options want it. Returns 0, or the exit code after a message.
 */
int vu_report_printer(struct vu_ctx *ctx, const char *list, const struct vu_column *columns,
		      struct vu_printer **ret);

/* Prints and frees p. Returns the exit code. */
int vu_report_print_consume(struct vu_ctx *ctx, struct vu_printer *p);

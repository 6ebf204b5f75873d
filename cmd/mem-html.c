/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/mem-html.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/mem-page.h"
#include "cmd/message.h"
#include "fs/atomic-file.h"

/* Into the file, through a stream of its own. Returns 0 or a negative errno. */
static int write_page(const struct vu_atomic_file *a, const struct vu_mem_page *page)
{
	int fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 0);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	errno = 0;
	vu_mem_page_write(f, page);
	/* errno is of the first write that failed: nothing is written after one. */
	int r = fflush(f) || ferror(f) ? (errno ? -errno : -EIO) : 0;

	return fclose(f) && !r ? -errno : r;
}

static int say_failed(struct vu_ctx *ctx, const char *file, int r)
{
	vu_message(ctx, "cannot write the page", file, strerror(-r),
		   r == -ENOSPC || r == -EDQUOT ? "make room, or name a file elsewhere" : NULL);
	return r == -ENOSPC || r == -EDQUOT ? VU_EXIT_NO_SPACE : VU_EXIT_FAILED;
}

static int write_file(struct vu_ctx *ctx, const struct vu_mem_page *page, const char *file)
{
	struct vu_atomic_file a;
	int r = vu_atomic_file_begin(&a, file);

	if (!r)
		r = write_page(&a, page);
	if (!r)
		r = vu_atomic_file_commit(&a);
	vu_atomic_file_done(&a);
	return r ? say_failed(ctx, file, r) : VU_EXIT_DONE;
}

/* Says what of the library could not be shown. Returns the exit code. */
static int check_library(struct vu_ctx *ctx, const struct vu_library *l, const char *path)
{
	bool any = l->hidden;
	int e = VU_EXIT_DONE;

	for (size_t i = 0; i < l->n_guests; i++) {
		any = any || (l->guests[i].path && !l->guests[i].err);
		if (!l->guests[i].err)
			continue;
		e = VU_EXIT_WARNED;
		vu_message(ctx, "warning: cannot look at the library", l->guests[i].name,
			   strerror(-l->guests[i].err),
			   l->guests[i].err == -ELOOP
				   ? "name the file itself: symbolic links are not followed"
				   : NULL);
	}
	if (any || !path)
		return e;
	vu_message(ctx, "cannot look at the library", path, "no guest has such a file",
		   "name it as it is called in the guests");
	return VU_EXIT_FAILED;
}

int vu_mem_html_write(struct vu_ctx *ctx, const struct vu_mem *m, const char *file,
		      const char *library)
{
	/* warnings about guests were told when m was made */
	static const struct vu_sink silent = {0};
	struct vu_ops ops = ctx->ops;
	struct vu_library l = {0};
	struct vu_stale stale = {0};
	char host[256] = "", now[VU_TIME_TEXT];
	int r, e;

	ops.sink = &silent;
	r = vu_ops_library(&ops, ctx->operands, ctx->n_operands, library, &l);
	if (!r)
		r = vu_ops_stale(&ops, ctx->operands, ctx->n_operands, &stale);
	e = r ? vu_message_result(ctx, r, "cannot look at the memory")
	      : check_library(ctx, &l, library);
	if (!r && (e == VU_EXIT_DONE || e == VU_EXIT_WARNED)) {
		(void)gethostname(host, sizeof(host) - 1);
		const struct vu_mem_page page = {
			.mem = m,
			.library = &l,
			.stale = &stale,
			.path = library,
			.host = host,
			.time = vu_time_text((uint64_t)time(NULL) * UINT64_C(1000000000), true,
					     now),
		};
		int w = write_file(ctx, &page, file);

		e = w ? w : e;
	}
	vu_stale_done(&stale);
	vu_library_done(&l);
	return e;
}

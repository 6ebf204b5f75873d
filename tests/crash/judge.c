/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* By vunify(8). */
static const int codes[] = {0, 1, 2, 3, 4, 10, 11, 12, 13};

static bool documented(int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (codes[i] == code)
			return true;
	return false;
}

/* "vunify: what: on what: why; what to do" */
static void check_messages(struct room *r, const struct inject *run)
{
	const char *line = run->err_text;

	while (*line) {
		const char *end = strchr(line, '\n');

		if (strncmp(line, "vunify: ", 8) != 0)
			room_wrong(r, "a message of another form: %.200s", line);
		line = end ? end + 1 : "";
	}
}

/* Calls by which SQLite and stdio work on a file: what is told is "Input/output error". */
static bool is_of_library(struct call c)
{
	return c.nr == SYS_read || c.nr == SYS_pwrite64 || c.nr == SYS_pread64 ||
	       c.nr == SYS_fdatasync || c.nr == SYS_ftruncate || c.nr == SYS_fcntl;
}

/* Is the reason in the text? SQLite has words of its own for what befalls the catalog. */
static bool tells(const char *text, struct call c, int err)
{
	static const char *const sqlite[] = {
		"disk I/O error",
		"database or disk is full",
		"attempt to write a readonly",
		"unable to open",
		"out of memory",
		"database is locked",
		"locking protocol",
		"image is malformed",
		"cannot be opened",
		"it is damaged",
		"cannot work with the catalog",
		"the history could not be written",
		"replaced the catalog meanwhile",
	};

	static const int instead[] = {EROFS, ENOENT, EIO};

	if (strstr(text, strerror(err)) || (is_of_library(c) && strstr(text, strerror(EIO))))
		return true;
	/* ESTALE is an answer of vunify's own there */
	if (c.nr == SYS_statx && err == ESTALE && strstr(text, strerror(EIO)))
		return true;
	/* of a lease; of a lock of the catalog */
	if ((err == EAGAIN || err == ENOLCK) &&
	    (strstr(text, "open for writing") || strstr(text, strerror(EBUSY))))
		return true;
	for (size_t i = 0; i < sizeof(sqlite) / sizeof(*sqlite); i++)
		if ((strstr(text, "catalog") || strstr(text, "history")) && strstr(text, sqlite[i]))
			return true;
	/* or the last error of what it tried instead */
	for (size_t i = 0; i < sizeof(instead) / sizeof(*instead); i++)
		if (strstr(text, "catalog") && strstr(text, strerror(instead[i])))
			return true;
	return false;
}

bool judge_fine(const struct scenario *s, int status)
{
	return !status ||
	       (s->prepare == PREPARE_DAMAGE && WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

/* What failed is told, unless nothing came of it. */
static void check_said(struct room *r, const struct job *j, const struct scenario *s,
		       const struct inject *run, bool reached)
{
	int code = judge_fine(s, run->status) ? 0 : WEXITSTATUS(run->status);
	const char *why = strerror(j->err);

	if (!WIFEXITED(run->status)) {
		room_wrong(r, "ended by signal %d", WTERMSIG(run->status));
		return;
	}
	if (!documented(code))
		room_wrong(r, "exit status %d", code);
	if (strstr(run->err_text, "Sanitizer") || strstr(run->err_text, "runtime error"))
		room_wrong(r, "a sanitizer's report");
	else
		check_messages(r, run);
	if (j->at.call.nr == SYS_write && j->at.call.kind)
		return; /* what cannot be told */
	if (code == 3 && strstr(run->out, "does it"))
		return; /* that recovery is needed, and of which file; not what stood in the way */
	if (code && !tells(run->err_text, j->at.call, j->err) &&
	    !tells(run->out, j->at.call, j->err))
		room_wrong(r, "exit status %d, and '%s' is not told", code, why);
	if (!code && !reached && !strstr(run->out, "\"skip\"") && !strstr(run->out, why))
		room_wrong(r, "exit status 0, but not all was done, and nothing is told");
}

/* The catalog's guests are those before it, or those after it. */
static void check_guests(struct room *r, const struct inject *run, const char *before,
			 const char *now)
{
	bool same = !strcmp(before, now);

	if (!same && !strstr(now, "blue") && strstr(now, "g3"))
		room_wrong(r, "the catalog's guests are neither the old nor the new ones:\n%s",
			   now);
	if (same && run->hit && WIFEXITED(run->status) && !run->status)
		room_wrong(r, "exit status 0, but the catalog's guests are the old ones");
}

static bool reached(const struct cases *p, const struct job *j, struct room *r,
		    const struct snapshot *s)
{
	char *structure = room_structure(r, s);
	bool same = !strcmp(structure, p->structure[p->scenarios[j->scenario].to]);

	free(structure);
	return same;
}

/*
 * A run that was killed, or that could not go on, leaves names apart until the next, and the times of
 * the directories that it was working on as they are.
 */
static bool ended_itself(const struct cases *p, const struct job *j, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;

	return p->errors && !p->scenarios[j->scenario].cuts[0].command && code != 1 && code != 13;
}

void judge_disturbed(const struct cases *p, struct room *r, const struct job *j,
		     const struct inject *run, const char *before)
{
	const struct scenario *sc = &p->scenarios[j->scenario];
	struct snapshot s;
	bool ended, told;
	char *now;

	if (run->hung)
		room_wrong(r, "it hung");
	if (sc->prepare == PREPARE_DAMAGE)
		room_forget_rescued(r);
	snapshot_take(r, &s);
	ended = ended_itself(p, j, run->status);
	told = strstr(run->out, "could not be put back") != NULL;
	/* a directory that cannot be read again has no time any more that is known */
	told = told || j->at.call.nr == SYS_getdents64;
	ended = ended && !strstr(run->out, "vunify recover"); /* it says that more is to be done */
	/* of a directory that cannot be read neither names nor time are known */
	r->blind = strstr(run->out, "\"skip\":\"unreadable\",\"size\":0");
	room_kept(r, &s,
		  (ended && !r->blind ? ROOM_LINKS : 0) |
			  (ended && !told && !r->blind ? ROOM_DIR_TIMES : 0));
	/* one worker has one moment; of a killed worker the guardian ends it */
	room_wall(r, &s, j->mode == INJECT_KILL_ALL || p->errors);
	now = room_catalog(r);
	if (p->errors)
		check_said(r, j, sc, run, sc->cuts[0].command || reached(p, j, r, &s));
	else if (run->hit && !run->status && !reached(p, j, r, &s) && !sc->cuts[0].command)
		/* a helper of it may be killed without harm */
		room_wrong(r, "it was killed, but ended with exit status 0");
	if (sc->guests)
		check_guests(r, run, before, now);
	free(now);
	snapshot_done(&s);
}

void judge_ended(const struct cases *p, struct room *r, const struct job *j,
		 const struct inject *run)
{
	const char *want = p->structure[p->scenarios[j->scenario].to];
	struct snapshot s;
	char *structure, *now;

	if (p->scenarios[j->scenario].prepare == PREPARE_DAMAGE)
		room_forget_rescued(r);
	r->damaged = false;
	if (!judge_fine(&p->scenarios[j->scenario], run->status))
		room_wrong(r, "the run behind it: status %#x: %s", run->status, run->err_text);
	snapshot_take(r, &s);
	room_kept(r, &s, r->blind ? 0 : ROOM_LINKS);
	room_wall(r, &s, 0);
	room_pool(r);
	structure = room_structure(r, &s);
	if (!r->blind && strcmp(structure, want) != 0)
		room_wrong(r, "it ends with\n%sinstead of\n%s", structure, want);
	now = room_catalog(r);
	if (!*now && p->scenarios[j->scenario].to == STATE_UNIFIED)
		room_wrong(r, "there is no catalog afterwards");
	free(now);
	free(structure);
	snapshot_done(&s);
}

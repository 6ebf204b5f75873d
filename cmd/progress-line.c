/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/progress-line.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/escape.h"

#define TICK_NS 200000000L

struct vu_progress_line {
	struct vu_progress *p;
	pthread_t thread;
	pthread_mutex_t lock; /* all below, and the right to write to the terminal */
	pthread_cond_t end;
	bool ending;
	bool drawn;
	char **guests; /* escaped names; owned */
	size_t n_guests;
	int phase; /* the one that begin belongs to */
	struct timespec begin;
};

static double seconds_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

static void erase(struct vu_progress_line *l)
{
	if (l->drawn) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
	}
	l->drawn = false;
}

/* " of N", "12 %" and the time left hang on which total is known; bytes say more than files. */
static void put_left(FILE *f, uint64_t done, uint64_t total, double seconds)
{
	double left;

	if (!total || !done || done > total || seconds < 1)
		return;
	left = seconds * (double)(total - done) / (double)done;
	if (left < 3600)
		fprintf(f, ", %d:%02d left", (int)left / 60, (int)left % 60);
	else if (left < 3600.0 * 1000)
		fprintf(f, ", %d h %02d min left", (int)left / 3600, (int)left / 60 % 60);
}

static void put_counts(const struct vu_progress_line *l, FILE *f)
{
	uint64_t files = atomic_load(&l->p->files), files_total = atomic_load(&l->p->files_total);
	uint64_t bytes = atomic_load(&l->p->bytes), bytes_total = atomic_load(&l->p->bytes_total);
	double seconds = seconds_since(&l->begin);
	char a[VU_SIZE_TEXT], b[VU_SIZE_TEXT];
	unsigned guest = atomic_load(&l->p->guest);

	fprintf(f, ": %" PRIu64, files);
	if (files_total)
		fprintf(f, " of %" PRIu64, files_total);
	fputs(" files", f);
	if (bytes)
		fprintf(f, ", %s", vu_size_text(bytes, a));
	if (bytes && bytes_total)
		fprintf(f, " of %s", vu_size_text(bytes_total, a));
	if (bytes && seconds >= 1)
		fprintf(f, ", %s/s", vu_size_text((uint64_t)((double)bytes / seconds), b));
	else if (seconds >= 1)
		fprintf(f, ", %.0f/s", (double)files / seconds);
	if (bytes_total)
		put_left(f, bytes, bytes_total, seconds);
	else
		put_left(f, files, files_total, seconds);
	if (guest < l->n_guests)
		fprintf(f, ", %s", l->guests[guest]);
}

/* Cuts the text to the terminal's width, never inside a character. */
static void cut(char *text)
{
	struct winsize w = {0};
	size_t width = 80, n = 0;
	char *c = text;

	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col > 1)
		width = w.ws_col;
	for (; *c; c++)
		if (((unsigned char)*c & 0xc0) != 0x80 && ++n >= width)
			break;
	*c = '\0';
}

static void draw(struct vu_progress_line *l)
{
	static const char *const phases[VU_PHASE_N] = {
		[VU_PHASE_WALK] = "walking",	 [VU_PHASE_READ] = "reading",
		[VU_PHASE_LINK] = "linking",	 [VU_PHASE_SAVE] = "saving",
		[VU_PHASE_BREAK] = "copying",	 [VU_PHASE_REMOVE] = "removing",
		[VU_PHASE_VERIFY] = "verifying",
	};
	int phase = atomic_load(&l->p->phase);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *f;

	if (phase != l->phase) {
		l->phase = phase;
		clock_gettime(CLOCK_MONOTONIC, &l->begin);
	}
	f = open_memstream(&text, &len);
	if (!f)
		return;
	fputs(phase >= 0 && phase < VU_PHASE_N ? phases[phase] : "working", f);
	put_counts(l, f);
	if (fclose(f))
		return;
	cut(text);
	fprintf(stderr, "\r%s\033[K", text);
	fflush(stderr);
	l->drawn = true;
}

static void *line_main(void *arg)
{
	struct vu_progress_line *l = arg;
	struct timespec t;

	pthread_mutex_lock(&l->lock);
	while (!l->ending) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_nsec += TICK_NS;
		t.tv_sec += t.tv_nsec / 1000000000L;
		t.tv_nsec %= 1000000000L;
		if (pthread_cond_timedwait(&l->end, &l->lock, &t) && !l->ending)
			draw(l);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static int start(struct vu_progress_line *l)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&l->thread, NULL, line_main, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

struct vu_progress_line *vu_progress_line_new(struct vu_progress *p)
{
	pthread_condattr_t attr;
	struct vu_progress_line *l;

	if (!isatty(STDERR_FILENO))
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->p = p;
	clock_gettime(CLOCK_MONOTONIC, &l->begin);
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->end, &attr);
	pthread_condattr_destroy(&attr);
	if (start(l) < 0) {
		pthread_cond_destroy(&l->end);
		pthread_mutex_destroy(&l->lock);
		free(l);
		return NULL;
	}
	return l;
}

struct vu_progress_line *vu_progress_line_free(struct vu_progress_line *l)
{
	if (!l)
		return NULL;
	pthread_mutex_lock(&l->lock);
	l->ending = true;
	pthread_cond_signal(&l->end);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	erase(l);
	for (size_t i = 0; i < l->n_guests; i++)
		free(l->guests[i]);
	free(l->guests);
	pthread_cond_destroy(&l->end);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

void vu_progress_line_guests(void *arg, const struct vu_guests *guests)
{
	struct vu_progress_line *l = arg;
	size_t n = 0;

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	if (!l->guests) {
		l->guests = calloc(guests->n + 1, sizeof(*l->guests));
		n = l->guests ? guests->n : 0;
	}
	for (size_t i = 0; i < n; i++) {
		l->guests[i] = vu_escape(guests->v[i].name, vu_escape_locale_utf8());
		if (!l->guests[i])
			break;
		l->n_guests = i + 1;
	}
	pthread_mutex_unlock(&l->lock);
}

void vu_progress_line_hide(struct vu_progress_line *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	erase(l);
}

void vu_progress_line_show(struct vu_progress_line *l)
{
	if (l)
		pthread_mutex_unlock(&l->lock);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is in a message, as runc 1.1.5 and crun 1.8.1 send it (crun in lines, indented):
 *
 *   {"ociVersion": "1.0.2", "fds": ["seccompFd"], "pid": 4422, "metadata": "web1",
 *    "state": {"ociVersion": "1.0.2", "id": "web1", "status": "creating", "pid": 4422, "bundle": "/ct/web1"}}
 *
 * "fds" names the descriptors in the order in which they come. Of others than seccompFd nothing is known: they are
 * closed. What is not in the list above is not looked at. A stream gives the descriptors of a piece with its first
 * byte, and never two pieces with descriptors at once (unix(7)), so they are counted at the end.
 */
#include "cow/handoff.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cow/passed.h"

#define PID_LIMIT (1 << 22) /* PID_MAX_LIMIT of Linux: no number is above it */
#define LISTENER "seccompFd"

struct vu_handoff *vu_handoff_free(struct vu_handoff *h)
{
	if (!h)
		return NULL;
	free(h->id);
	free(h->metadata);
	vu_close_p(&h->listener);
	free(h);
	return NULL;
}

/* ---- decoding ---- */

static int malformed(const char **ret_why, const char *why)
{
	*ret_why = why;
	return VU_HANDOFF_MALFORMED;
}

/*
 * The string of this key, at most max bytes; *ret stays as it is where there is none. jansson has seen to it
 * that it is UTF-8, without NUL. Returns 0, -ENOMEM, or VU_HANDOFF_MALFORMED.
 */
static int get_text(const json_t *object, const char *key, size_t max, char **ret)
{
	const json_t *v = json_object_get(object, key);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v) || json_string_length(v) > max)
		return VU_HANDOFF_MALFORMED;
	*ret = strdup(json_string_value(v));
	return *ret ? 0 : -ENOMEM;
}

/* The number of a process; *ret stays as it is where there is none, or 0. */
static int get_pid(const json_t *object, pid_t *ret)
{
	const json_t *v = json_object_get(object, "pid");
	json_int_t n = json_integer_value(v);

	if (!v || (json_is_integer(v) && !n))
		return 0;
	if (!json_is_integer(v) || n < 0 || n > PID_LIMIT)
		return VU_HANDOFF_MALFORMED;
	*ret = (pid_t)n;
	return 0;
}

static int get_listener(const json_t *top, size_t n_fds, size_t *ret, const char **ret_why)
{
	const json_t *fds = json_object_get(top, "fds");
	size_t found = SIZE_MAX;

	if (!json_is_array(fds))
		return malformed(ret_why, "names no descriptors");
	if (json_array_size(fds) != n_fds)
		return malformed(ret_why, "came with more or fewer descriptors than it names");
	for (size_t i = 0; i < n_fds; i++) {
		const char *name = json_string_value(json_array_get(fds, i));

		if (!name)
			return malformed(ret_why, "has a name of a descriptor that is none");
		if (strcmp(name, LISTENER))
			continue;
		if (found != SIZE_MAX)
			return malformed(ret_why, "names two listeners");
		found = i;
	}
	if (found == SIZE_MAX)
		return malformed(ret_why, "names no listener");
	*ret = found;
	return 0;
}

/* Of the container. */
static int get_state(const json_t *state, struct vu_handoff *h, const char **ret_why)
{
	const char *status = json_string_value(json_object_get(state, "status"));
	int r;

	if (!json_is_object(state))
		return malformed(ret_why, "has no state");
	h->creating = status && !strcmp(status, "creating");
	r = get_text(state, "id", VU_HANDOFF_ID_MAX, &h->id);
	if (r < 0)
		return r;
	if (r || !h->id || !*h->id)
		return malformed(ret_why, "has no id of a container");
	h->init = h->pid;
	return get_pid(state, &h->init)
		       ? malformed(ret_why, "has a pid of the container that is none")
		       : 0;
}

static int get_all(const json_t *top, size_t n_fds, struct vu_handoff *h, size_t *ret_listener,
		   const char **ret_why)
{
	int r;

	if (!json_is_object(top))
		return malformed(ret_why, "is no object");
	r = get_listener(top, n_fds, ret_listener, ret_why);
	if (r)
		return r;
	if (get_pid(top, &h->pid))
		return malformed(ret_why, "has a pid that is none");
	r = get_text(top, "metadata", VU_HANDOFF_BYTES_MAX, &h->metadata);
	if (r)
		return r < 0 ? r : malformed(ret_why, "has metadata that is no text");
	return get_state(json_object_get(top, "state"), h, ret_why);
}

int vu_handoff_parse(const char *text, size_t size, size_t n_fds, struct vu_handoff **ret,
		     size_t *ret_listener, const char **ret_why)
{
	vu_cleanup(vu_handoff_free_p) struct vu_handoff *h = calloc(1, sizeof(*h));
	json_error_t error;
	size_t listener;

	if (!h)
		return -ENOMEM;
	h->listener = -EBADF;
	/* it has a limit of its own for depth (2048) */
	json_t *top = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);

	if (!top)
		return json_error_code(&error) == json_error_out_of_memory
			       ? -ENOMEM
			       : malformed(ret_why, "is no JSON");
	int r = get_all(top, n_fds, h, &listener, ret_why);

	json_decref(top);
	if (r)
		return r;
	*ret_listener = listener;
	*ret = vu_take_ptr(h);
	return 0;
}

/* ---- reading ---- */

struct vu_handoff_reader {
	int sock; /* borrowed */
	struct vu_passed passed;
	const char *why;
	size_t n;
	size_t n_seen;	/* of them, by what follows */
	unsigned depth; /* of braces */
	bool in_string, escaped, ended;
	char text[VU_HANDOFF_BYTES_MAX + 1]; /* one more, to see that it is too long */
};

struct vu_handoff_reader *vu_handoff_reader_new(int sock)
{
	struct vu_handoff_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->sock = sock;
	r->why = "";
	return r;
}

struct vu_handoff_reader *vu_handoff_reader_free(struct vu_handoff_reader *r)
{
	if (!r)
		return NULL;
	vu_passed_done(&r->passed);
	free(r);
	return NULL;
}

const char *vu_handoff_why(const struct vu_handoff_reader *r)
{
	return r->why;
}

/*
 * Looks for the brace that closes the first one. That nothing but white space is before and behind it, and
 * what is between them, the decoder sees.
 */
static void look_for_end(struct vu_handoff_reader *r)
{
	for (; r->n_seen < r->n && !r->ended; r->n_seen++) {
		char c = r->text[r->n_seen];

		if (r->escaped)
			r->escaped = false;
		else if (r->in_string && c == '\\')
			r->escaped = true;
		else if (c == '"')
			r->in_string = !r->in_string;
		else if (!r->in_string && c == '{')
			r->depth++;
		else if (!r->in_string && c == '}')
			r->ended = r->depth-- <= 1;
	}
}

/* Up to the end. Returns 0, VU_HANDOFF_MORE, _MALFORMED, or a negative errno. */
static int read_all(struct vu_handoff_reader *r)
{
	while (!r->ended) {
		ssize_t n = vu_passed_receive(r->sock, r->text + r->n, sizeof(r->text) - r->n,
					      &r->passed);

		if (n == -EAGAIN)
			return VU_HANDOFF_MORE;
		if (n == -E2BIG)
			return malformed(&r->why, "came with too many descriptors");
		if (n <= 0)
			return (int)n;
		r->n += (size_t)n;
		if (r->n > VU_HANDOFF_BYTES_MAX)
			return malformed(&r->why, "is longer than 64 KiB");
		look_for_end(r);
	}
	return 0;
}

static int complete(struct vu_handoff_reader *r, struct vu_handoff **ret)
{
	vu_cleanup(vu_handoff_free_p) struct vu_handoff *h = NULL;
	size_t listener;
	int err;

	if (!r->n && !r->passed.n)
		return VU_HANDOFF_EMPTY;
	err = vu_handoff_parse(r->text, r->n, r->passed.n, &h, &listener, &r->why);
	if (err)
		return err;
	h->listener = vu_passed_take(&r->passed, listener);
	if (!vu_passed_is_listener(h->listener))
		return malformed(&r->why, "came with a descriptor that is no seccomp listener");
	*ret = vu_take_ptr(h);
	return 0;
}

int vu_handoff_read(struct vu_handoff_reader *r, struct vu_handoff **ret)
{
	int err = read_all(r);

	if (err == VU_HANDOFF_MORE)
		return err;
	if (!err)
		err = complete(r, ret);
	/* a process that waits for its listener to be closed need not wait for the reader's end */
	vu_passed_done(&r->passed);
	return err;
}

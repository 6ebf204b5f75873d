/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages that hand over a listener. The first byte says whose; for a runtime's, its lower half is how many
 * descriptors came, and what is decoded keeps all limits and is no other if it is written again. For LXC's,
 * the kernel's sizes come before the message; what is taken apart adds up to it, and an answer changes nothing but
 * its own place.
 */
#include "fuzz.h"

#include <jansson.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "cow/handoff-lxc.h"
#include "cow/handoff.h"

static int parse(const char *text, size_t size, size_t n_fds, struct vu_handoff **ret,
		 size_t *ret_listener)
{
	const char *why = NULL;
	int r = vu_handoff_parse(text, size, n_fds, ret, ret_listener, &why);

	CHECK(r == 0 || r == VU_HANDOFF_MALFORMED);
	CHECK(!r == !why && (!why || *why));
	return r;
}

static bool same_text(const char *a, const char *b)
{
	return !a || !b ? a == b : !strcmp(a, b);
}

/* The same, written by jansson. */
static void check_again(const struct vu_handoff *h, size_t n_fds, size_t listener)
{
	vu_cleanup(vu_handoff_free_p) struct vu_handoff *again = NULL;
	json_t *fds = json_array();
	size_t which;

	for (size_t i = 0; i < n_fds; i++)
		CHECK(!json_array_append_new(fds, json_string(i == listener ? "seccompFd" : "a")));
	json_t *top = json_pack("{s:o, s:i, s:s*, s:{s:s, s:i, s:s}}", "fds", fds, "pid", h->pid,
				"metadata", h->metadata, "state", "id", h->id, "pid", h->init,
				"status", h->creating ? "creating" : "running");
	char *text = json_dumps(top, JSON_INDENT(4));

	CHECK(text && strlen(text));
	CHECK(!parse(text, strlen(text), n_fds, &again, &which));
	CHECK(which == listener && again->pid == h->pid && again->init == h->init);
	CHECK(again->creating == h->creating && same_text(again->id, h->id));
	CHECK(same_text(again->metadata, h->metadata));
	free(text);
	json_decref(top);
}

/* What comes of it by a socket that stays open, without descriptors. */
static int read_it(const uint8_t *text, size_t size)
{
	vu_cleanup(vu_handoff_reader_free_p) struct vu_handoff_reader *r = NULL;
	struct vu_handoff *h = NULL;
	int s[2], result;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	CHECK(!size || write(s[1], text, size) == (ssize_t)size);
	r = vu_handoff_reader_new(s[0]);
	CHECK(r);
	result = vu_handoff_read(r, &h);
	CHECK((result == VU_HANDOFF_MORE || result == VU_HANDOFF_MALFORMED) && !h);
	close(s[0]);
	close(s[1]);
	return result;
}

/* A message that is one has an end, and none before. */
static void check_end(const struct input *in)
{
	size_t n = in->n;

	CHECK(read_it(in->p, n) == VU_HANDOFF_MALFORMED);
	while (in->p[n - 1] != '}')
		n--;
	CHECK(read_it(in->p, n) == VU_HANDOFF_MALFORMED);
	CHECK(read_it(in->p, n - 1) == VU_HANDOFF_MORE);
}

static void check_oci(struct input in, size_t n_fds)
{
	vu_cleanup(vu_handoff_free_p) struct vu_handoff *h = NULL;
	size_t listener = SIZE_MAX;

	if (parse((const char *)in.p, in.n, n_fds, &h, &listener)) {
		CHECK(!h && listener == SIZE_MAX);
		(void)read_it(in.p, in.n);
		return;
	}
	CHECK(listener < n_fds && h->listener == -EBADF);
	CHECK(h->pid >= 0 && h->pid <= 1 << 22 && h->init >= 0 && h->init <= 1 << 22);
	CHECK(*h->id && strlen(h->id) <= VU_HANDOFF_ID_MAX);
	CHECK(!h->metadata || strlen(h->metadata) <= in.n);
	/* one descriptor more or less is another message */
	CHECK(parse((const char *)in.p, in.n, n_fds + 1, &h, &listener));
	CHECK(parse((const char *)in.p, in.n, n_fds - 1, &h, &listener));
	check_again(h, n_fds, listener);
	check_end(&in);
}

static uint16_t take_size(struct input *in)
{
	uint16_t v = take_byte(in);

	return (uint16_t)(v | take_byte(in) << 8);
}

/* The same in a buffer whose end says nothing. */
static void check_lxc_buffer(struct input in, const struct seccomp_notif_sizes *kernel)
{
	char *buffer = calloc(1, VU_LXC_BYTES_MAX);
	size_t n = in.n < VU_LXC_BYTES_MAX ? in.n : VU_LXC_BYTES_MAX;
	struct vu_lxc_call c, whole;

	CHECK(buffer);
	memcpy(buffer, in.p, n);
	if (!vu_lxc_parse_buffer(buffer, kernel, &c)) {
		CHECK(c.answer_size + c.cookie_size <= VU_LXC_BYTES_MAX);
		CHECK(c.cookie == buffer + c.answer_size);
		CHECK(!vu_lxc_parse(buffer, c.answer_size + c.cookie_size, kernel, &whole));
	} else if (in.n <= VU_LXC_BYTES_MAX) {
		CHECK(vu_lxc_parse(buffer, n, kernel, &whole));
	}
	free(buffer);
}

static void check_lxc(struct input in)
{
	struct seccomp_notif_sizes kernel = {take_size(&in), take_size(&in), take_size(&in)};
	struct vu_lxc_call c, again;
	struct seccomp_notif_resp answer;

	check_lxc_buffer(in, &kernel);
	if (vu_lxc_parse((const char *)in.p, in.n, &kernel, &c))
		return;
	CHECK(in.n <= VU_LXC_BYTES_MAX && c.cookie_size <= in.n);
	CHECK(c.answer_size == 32U + kernel.seccomp_notif + kernel.seccomp_notif_resp);
	CHECK(c.answer_size + c.cookie_size == in.n);
	CHECK(c.cookie == (const char *)in.p + c.answer_size);
	CHECK(c.monitor > 0 && c.init > 0 && c.request.pid);
	/* whatever is not needed may be cut off or added: then it is none */
	CHECK(vu_lxc_parse((const char *)in.p, in.n - 1, &kernel, &again));

	char *copy = malloc(in.n);

	CHECK(copy);
	memcpy(copy, in.p, in.n);
	CHECK(vu_lxc_answer(copy, &c, -1, 0) == c.answer_size);
	CHECK(!memcmp(copy, in.p, c.answer_at));
	CHECK(!memcmp(copy + c.answer_size, c.cookie, c.cookie_size));
	memcpy(&answer, copy + c.answer_at, sizeof(answer));
	CHECK(answer.id == c.request.id && answer.error == -1 && !answer.val && !answer.flags);
	CHECK(!vu_lxc_parse(copy, in.n, &kernel, &again));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t whose = take_byte(&in);

	if (whose & 0x80)
		check_lxc(in);
	else
		check_oci(in, whose & 0xf);
	return 0;
}

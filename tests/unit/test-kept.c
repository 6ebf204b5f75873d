/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes with a listener from process to process: what is in it, what is refused, and one process at a time. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cow/kept.h"

static char id[] = "web1-container", metadata[] = "web1";

static struct vu_handoff message(void)
{
	return (struct vu_handoff){
		.id = id,
		.metadata = metadata,
		.pid = 42,
		.init = 41,
		.creating = true,
		.listener = -EBADF,
	};
}

static void test_what_is_in_it(void **state)
{
	struct vu_handoff h = message();
	_cleanup_fd_ int fd = vu_kept_new(&h), other = vu_kept_new(&h);
	vu_cleanup(vu_kept_unmap_p) struct vu_kept *k = NULL, *again = NULL, *o = NULL;

	(void)state;
	assert_true(fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(vu_kept_map(fd, &k), 0);
	assert_string_equal(k->id, id);
	assert_string_equal(k->metadata, metadata);
	assert_string_equal(k->guest, "");
	assert_int_equal(k->pid, 42);
	assert_int_equal(k->init, 41);
	assert_true(k->creating);
	/* each has a name of its own */
	assert_int_equal(vu_kept_map(other, &o), 0);
	assert_string_not_equal(k->key, o->key);
	/* what one writes all see */
	strcpy(k->guest, "/srv/web1");
	assert_int_equal(vu_kept_map(fd, &again), 0);
	assert_string_equal(again->guest, "/srv/web1");
}

/* What does not fit is not known, never cut. */
static void test_long_texts(void **state)
{
	struct vu_handoff h = message();
	char text[VU_GUEST_NAME_MAX + 2];
	vu_cleanup(vu_kept_unmap_p) struct vu_kept *k = NULL;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	h.metadata = text;
	_cleanup_fd_ int fd = vu_kept_new(&h);

	assert_int_equal(vu_kept_map(fd, &k), 0);
	assert_string_equal(k->metadata, "");
}

static void test_what_is_refused(void **state)
{
	struct vu_handoff h = message();
	_cleanup_fd_ int fd = vu_kept_new(&h), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	vu_cleanup(vu_kept_unmap_p) struct vu_kept *k = NULL;
	struct vu_kept *none = NULL;

	(void)state;
	assert_int_equal(vu_kept_map(null, &none), VU_KEPT_WRONG);
	assert_int_equal(vu_kept_map(fd, &k), 0);

	struct vu_kept right = *k;

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		change;                                                                            \
		assert_int_equal(vu_kept_map(fd, &none), VU_KEPT_WRONG);                           \
		*k = right;                                                                        \
		assert_int_equal(vu_kept_map(fd, &none), 0);                                       \
		none = vu_kept_unmap(none);                                                        \
	} while (0)
	REFUSED(k->magic[0] = 'x');
	REFUSED(k->version++);
	REFUSED(k->size--);
	REFUSED(k->key[3] = 0);
	REFUSED(k->key[VU_KEPT_KEY_LEN] = 'x');
	REFUSED(memset(k->id, 'x', sizeof(k->id)));
	REFUSED(memset(k->metadata, 'x', sizeof(k->metadata)));
	REFUSED(memset(k->guest, 'x', sizeof(k->guest)));
	assert_int_equal(ftruncate(fd, sizeof(*k) + 1), 0);
	assert_int_equal(vu_kept_map(fd, &none), VU_KEPT_WRONG);
	assert_int_equal(ftruncate(fd, sizeof(*k)), 0);
	assert_null(none);
}

static int ready[2];

/* Has the lock until it is told to end, twice: once it does not listen. */
static void serve(int fd)
{
	struct vu_kept *k = NULL;
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (vu_kept_map(fd, &k) || vu_kept_take_over(fd, k) < 0 || write(ready[1], "r", 1) != 1)
		_exit(1);
	_exit(sigwait(&set, &signo) || signo != SIGTERM ? 2 : 0);
}

static void test_one_at_a_time(void **state)
{
	struct vu_handoff h = message();
	_cleanup_fd_ int fd = vu_kept_new(&h);
	vu_cleanup(vu_kept_unmap_p) struct vu_kept *k = NULL;
	int status = -1;
	char c;

	(void)state;
	assert_int_equal(vu_kept_map(fd, &k), 0);
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child)
		serve(fd);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(atomic_load(&k->server), child);
	_cleanup_fd_ int lock = vu_kept_take_over(fd, k);

	assert_true(lock >= 0);
	assert_int_equal(atomic_load(&k->server), getpid());
	/* it was asked, and has ended for it */
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_in_it),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_one_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

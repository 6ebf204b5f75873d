/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is closed when a worker is killed. Each state that the ledger can speak of is made, and closed as
 * the guardian does it; who is the worker, and that it is dead, makes no difference to that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "fs/iattr.h"
#include "fs/lease.h"
#include "link-farm.h"
#include "link/ledger.h"
#include "link/moment.h"

#define F1 "usr/lib/f1"

static struct vu_ledger *ledger;
static struct vu_object *object; /* of f1 */
static struct vu_ledger_closed closed;

static int open_f1(void *arg, uint64_t ino, const struct vu_key *key)
{
	const struct farm *f = arg;

	if (ino != stat_of(f, 0, F1).st_ino)
		return 0;
	return vu_object_open(f->pool, key, true, 65536, &object, NULL) ? -1 : 1;
}

static void begin(struct farm *f)
{
	populate(f, 3);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(vu_pool_list(f->pool, open_f1, f), 1);
	ledger = vu_ledger_new();
	assert_non_null(ledger);
}

static void close_all(void)
{
	assert_true(vu_ledger_is_open(ledger));
	vu_ledger_close(ledger, getpid(), &closed);
	assert_false(vu_ledger_is_open(ledger));
}

/* Closes what a failed test has left, too. */
static int end(void **state)
{
	struct vu_moment_env env;

	vu_moment_env_init(&env, NULL, 65536);
	object = vu_object_unref(&env, object);
	vu_moment_env_done(&env);
	ledger = vu_ledger_free(ledger);
	return clean_up(state);
}

static void flag_off(void)
{
	assert_int_equal(vu_iattr_set_immutable(object->fd, false), 0);
}

/* Nobody but the pool has a name of the object. */
static void remove_from_guests(const struct farm *f)
{
	char p[256];

	flag_off();
	for (unsigned g = 0; g < f->n; g++) {
		guest_path(f, g, F1, p);
		assert_int_equal(unlink(p), 0);
	}
}

static void moment(struct farm *f)
{
	begin(f);
	vu_ledger_enter(ledger, VU_LEDGER_MOMENT, object, 65536);
	flag_off();
	close_all();
	assert_int_equal(closed.moments, 1);
	assert_int_equal(closed.failed + closed.slips + closed.put_right, 0);
	assert_true(immutable(f, 0, F1));
}

static void moment_that_was_left(struct farm *f)
{
	begin(f);
	vu_ledger_leave(ledger, vu_ledger_enter(ledger, VU_LEDGER_MOMENT, object, 65536));
	assert_false(vu_ledger_is_open(ledger));
	vu_ledger_close(ledger, getpid(), &closed);
	assert_int_equal(closed.moments, 0);
}

static void moment_with_a_change(struct farm *f)
{
	begin(f);
	vu_ledger_enter(ledger, VU_LEDGER_MOMENT, object, 65536);
	flag_off();
	assert_int_equal(sh("chmod 600 %s/g2/" F1, f->fs->mnt), 0);
	close_all();
	assert_int_equal(closed.put_right, 1);
	assert_int_equal(closed.failed, 0);
	assert_int_equal(stat_of(f, 0, F1).st_mode & 07777, 0644);
	assert_true(immutable(f, 0, F1));
}

/* The xattrs are nowhere else: that is for recovery to tell. */
static void moment_with_a_change_for_good(struct farm *f)
{
	begin(f);
	vu_ledger_enter(ledger, VU_LEDGER_MOMENT, object, 65536);
	flag_off();
	assert_int_equal(sh("setfattr -x user.x %s/g2/" F1, f->fs->mnt), 0);
	close_all();
	assert_int_equal(closed.failed, 1);
	assert_true(immutable(f, 0, F1));
}

/* The pool has no name of it any more: it is somebody's file, and is not to be left immutable. */
static void moment_of_no_object(struct farm *f)
{
	begin(f);
	vu_ledger_enter(ledger, VU_LEDGER_MOMENT, object, 65536);
	flag_off();
	assert_int_equal(vu_pool_object_unlink(f->pool, &object->key), 0);
	assert_int_equal(vu_iattr_set_immutable(object->fd, true), 0);
	close_all();
	assert_int_equal(closed.failed, 0);
	assert_false(immutable(f, 0, F1));
	assert_int_equal(n_objects(f), 2);
}

/* The file is the guest's again, with all that it had. */
static void adoption(struct farm *f)
{
	struct vu_object as = {.pool = f->pool};
	char p[256];

	begin(f);
	as.key = object->key;
	as.key.generation += 7;
	guest_path(f, 1, "usr/own", p);
	as.fd = open(p, O_RDONLY | O_CLOEXEC);
	as.ino = stat_of(f, 1, "usr/own").st_ino;
	vu_ledger_enter(ledger, VU_LEDGER_ADOPT, &as, 0);
	assert_int_equal(vu_pool_object_link(f->pool, &as.key, as.fd), 0);
	assert_int_equal(vu_iattr_set_immutable(as.fd, true), 0);
	assert_int_equal(n_objects(f), 4);
	close_all();
	close(as.fd);
	assert_int_equal(closed.failed, 0);
	assert_false(immutable(f, 1, "usr/own"));
	assert_int_equal(stat_of(f, 1, "usr/own").st_nlink, 1);
	assert_int_equal(n_objects(f), 3);
}

static void unused(struct farm *f)
{
	begin(f);
	vu_ledger_enter(ledger, VU_LEDGER_UNUSED, object, 0);
	remove_from_guests(f);
	vu_lease_drop(object->fd);
	close_all();
	assert_int_equal(closed.failed, 0);
	assert_int_equal(n_objects(f), 2);
}

/* Another one has become its guest before it could be removed, or it is gone already: all is done. */
static void unused_no_more(struct farm *f)
{
	begin(f);
	vu_ledger_enter(ledger, VU_LEDGER_UNUSED, object, 0);
	close_all();
	assert_int_equal(closed.failed, 0);
	assert_int_equal(n_objects(f), 3);
	assert_true(immutable(f, 0, F1));
	vu_ledger_enter(ledger, VU_LEDGER_UNUSED, object, 0);
	remove_from_guests(f);
	assert_int_equal(vu_pool_object_unlink(f->pool, &object->key), 0);
	close_all();
	assert_int_equal(closed.failed, 0);
	assert_int_equal(n_objects(f), 2);
}

/* It cannot be told whether it is an object still: left to recovery. */
static void pool_is_gone(struct farm *f)
{
	begin(f);
	vu_ledger_enter(ledger, VU_LEDGER_MOMENT, object, 65536);
	flag_off();
	assert_int_equal(sh("mv %s/.vunify %s/away", f->fs->mnt, f->fs->mnt), 0);
	close_all();
	assert_int_equal(closed.failed, 1);
	assert_int_equal(sh("mv %s/away %s/.vunify", f->fs->mnt, f->fs->mnt), 0);
	vu_lease_drop(object->fd);
	assert_int_equal(farm_recover(f, false).reflagged, 1);
}

static unsigned n_entered;

static void *enter_one_more(void *arg)
{
	(void)arg;
	vu_ledger_enter(ledger, VU_LEDGER_MOMENT, object, 65536);
	__atomic_store_n(&n_entered, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* There is room for so many moments at a time: the next one waits. */
static void crowded(struct farm *f)
{
	unsigned n = 0, first;
	pthread_t t;

	begin(f);
	first = vu_ledger_enter(ledger, VU_LEDGER_MOMENT, object, 65536);
	for (n = 1; !vu_ledger_is_crowded(ledger); n++)
		vu_ledger_enter(ledger, VU_LEDGER_MOMENT, object, 65536);
	for (unsigned i = n; i < 2 * n; i++)
		vu_ledger_enter(ledger, VU_LEDGER_MOMENT, object, 65536);
	n_entered = 0;
	assert_int_equal(pthread_create(&t, NULL, enter_one_more, NULL), 0);
	usleep(50000);
	assert_int_equal(__atomic_load_n(&n_entered, __ATOMIC_SEQ_CST), 0);
	vu_ledger_leave(ledger, first);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(n_entered, 1);
	close_all();
	assert_int_equal(closed.moments, 2 * n);
	assert_true(immutable(f, 0, F1));
}

#define TEST_LEDGER(fn) ((struct CMUnitTest){#fn, run_on_xfs, NULL, end, (void *)(fn)})

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_LEDGER(moment),
		TEST_LEDGER(moment_that_was_left),
		TEST_LEDGER(moment_with_a_change),
		TEST_LEDGER(moment_with_a_change_for_good),
		TEST_LEDGER(moment_of_no_object),
		TEST_LEDGER(adoption),
		TEST_LEDGER(unused),
		TEST_LEDGER(unused_no_more),
		TEST_LEDGER(pool_is_gone),
		TEST_LEDGER(crowded),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guest/procs.h"
#include "scratch.h"

/* What a child does once it sits in its root. Returns whether it could. */
typedef bool (*act_fn)(void);

static char dir_a[SCRATCH_MAX], dir_b[SCRATCH_MAX];
static struct vu_procs_root roots[2];
static struct vu_procs_found found[2];

static int make_root(char *dir, struct vu_procs_root *ret)
{
	char sub[SCRATCH_PATH_MAX];
	struct stat st;

	if (!scratch_dir(dir, "test-procs") || stat(dir, &st))
		return -1;
	*ret = (struct vu_procs_root){st.st_dev, st.st_ino};
	snprintf(sub, sizeof(sub), "%s/sub", dir);
	return mkdir(sub, 0755);
}

static int setup(void **state)
{
	(void)state;
	memset(found, 0xff, sizeof(found));
	return make_root(dir_a, &roots[0]) || make_root(dir_b, &roots[1]);
}

static void remove_root(const char *dir)
{
	char sub[SCRATCH_PATH_MAX];

	snprintf(sub, sizeof(sub), "%s/sub", dir);
	rmdir(sub);
	rmdir(dir);
}

static int teardown(void **state)
{
	(void)state;
	remove_root(dir_a);
	remove_root(dir_b);
	return 0;
}

/* Starts a child in root, which acts and then waits to be killed. Returns its pid, 0 if it could not. */
static pid_t start(const char *root, act_fn act)
{
	int fds[2];
	char ok = 0;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "tenant");
		ok = !chroot(root) && !chdir("/") && (!act || act());
		if (write(fds[1], &ok, 1) == 1 && ok)
			pause();
		_exit(0);
	}
	assert_true(pid > 0);
	close(fds[1]);
	if (read(fds[0], &ok, 1) != 1)
		ok = 0;
	close(fds[0]);
	if (!ok)
		waitpid(pid, NULL, 0);
	return ok ? pid : 0;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static bool drop_bounding(void)
{
	return !prctl(PR_CAPBSET_DROP, CAP_LINUX_IMMUTABLE);
}

static bool drop_own(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d))
		return false;
	d[0].permitted &= ~(UINT32_C(1) << CAP_LINUX_IMMUTABLE);
	d[0].effective &= ~(UINT32_C(1) << CAP_LINUX_IMMUTABLE);
	d[0].inheritable &= ~(UINT32_C(1) << CAP_LINUX_IMMUTABLE);
	return !syscall(SYS_capset, &h, d);
}

static bool drop_all(void)
{
	return drop_bounding() && drop_own();
}

static bool new_user_namespace(void)
{
	return !unshare(CLONE_NEWUSER);
}

static bool chroot_deeper(void)
{
	return !chroot("/sub") && !chdir("/");
}

/* Pushes the capabilities far back in the status file. */
static bool many_groups(void)
{
	enum {
		N = 20000
	};
	gid_t *g = malloc(N * sizeof(*g));

	for (int i = 0; g && i < N; i++)
		g[i] = 1000000000U + (gid_t)i;
	return g && !setgroups(N, g);
}

static bool many_groups_and_drop(void)
{
	return many_groups() && drop_all();
}

static void *wait_for_ever(void *arg)
{
	(void)arg;
	while (pause())
		;
	return NULL;
}

/* The leader ends; a thread goes on. */
static bool lone_thread(void)
{
	pthread_t t;

	return !pthread_create(&t, NULL, wait_for_ever, NULL);
}

/* The thread keeps the capability, the leader drops it. */
static bool capable_thread(void)
{
	pthread_t t;

	return !pthread_create(&t, NULL, wait_for_ever, NULL) && drop_all();
}

static void scan(void)
{
	assert_int_equal(vu_procs_scan(roots, 2, found), 0);
}

static void assert_found(size_t i, uint32_t n, pid_t capable)
{
	assert_int_equal(found[i].n_processes, n);
	assert_int_equal(found[i].capable_pid, capable);
	assert_string_equal(found[i].capable_name, capable ? "tenant" : "");
}

/* One child that does this is counted in the first root, and judged like that. */
static void one_child(act_fn act, bool capable)
{
	pid_t pid = start(dir_a, act);

	if (!pid) {
		print_message("the kernel does not let us set this up\n");
		skip();
	}
	scan();
	stop(pid);
	assert_found(0, 1, capable ? pid : 0);
	assert_found(1, 0, 0);
}

static void nobody(void **state)
{
	(void)state;
	scan();
	assert_found(0, 0, 0);
	assert_found(1, 0, 0);
	assert_int_equal(vu_procs_scan(NULL, 0, NULL), 0);
}

static void with_the_capability(void **state)
{
	(void)state;
	one_child(NULL, true);
}

static void only_in_the_bounding_set(void **state)
{
	(void)state;
	one_child(drop_own, true);
}

static void only_permitted(void **state)
{
	(void)state;
	one_child(drop_bounding, true);
}

static void without_the_capability(void **state)
{
	(void)state;
	one_child(drop_all, false);
}

static void in_a_user_namespace_of_its_own(void **state)
{
	(void)state;
	/* a chrooted process may not make one: so here the order is the other way round */
	int fds[2];
	char ok = 0;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ok = new_user_namespace() && !chroot(dir_a);
		if (write(fds[1], &ok, 1) == 1 && ok)
			pause();
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], &ok, 1) != 1 || !ok) {
		waitpid(pid, NULL, 0);
		print_message("no user namespace can be made here\n");
		skip();
	}
	close(fds[0]);
	scan();
	stop(pid);
	assert_found(0, 1, 0);
}

static void behind_a_further_chroot(void **state)
{
	(void)state;
	one_child(chroot_deeper, true);
}

/* As containers are made: the guest's root is the top of a mount namespace of its own. */
static void in_a_mount_namespace(void **state)
{
	int fds[2];
	char ok = 0;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "tenant");
		ok = !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
		     !mount(dir_a, dir_a, NULL, MS_BIND, NULL) && !chdir(dir_a) &&
		     !syscall(SYS_pivot_root, ".", ".") && !umount2(".", MNT_DETACH) &&
		     !chdir("/") && chroot_deeper();
		if (write(fds[1], &ok, 1) == 1 && ok)
			pause();
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], &ok, 1) != 1 || !ok) {
		waitpid(pid, NULL, 0);
		print_message("no mount namespace can be made here\n");
		skip();
	}
	close(fds[0]);
	scan();
	stop(pid);
	assert_found(0, 1, pid);
}

static void behind_many_groups(void **state)
{
	(void)state;
	one_child(many_groups, true);
}

/* What cannot be found counts as there: so this is what shows that the file is read to its end. */
static void behind_many_groups_without_it(void **state)
{
	(void)state;
	one_child(many_groups_and_drop, false);
}

static void in_a_thread(void **state)
{
	(void)state;
	one_child(capable_thread, true);
}

static pthread_barrier_t in_guest;

static void *go_into_guest(void *arg)
{
	if (!unshare(CLONE_FS) && !chroot(dir_a) && !chdir("/"))
		pthread_barrier_wait(&in_guest);
	return wait_for_ever(arg);
}

static bool send_thread_into_guest(void)
{
	pthread_t t;

	pthread_barrier_init(&in_guest, NULL, 2);
	if (pthread_create(&t, NULL, go_into_guest, NULL))
		return false;
	pthread_barrier_wait(&in_guest);
	return true;
}

/* The host's process, a thread of which works in the guest's root: so do those that answer its calls. */
static void a_thread_of_the_hosts(void **state)
{
	(void)state;
	pid_t pid = start("/", send_thread_into_guest);

	assert_true(pid > 0);
	scan();
	stop(pid);
	assert_found(0, 0, 0);
}

static void wait_for_zombie(pid_t pid)
{
	char path[64], text[256] = "";

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (int tries = 0; tries < 5000 && !strstr(text, ") Z"); tries++) {
		FILE *f = fopen(path, "re");

		assert_non_null(f);
		assert_non_null(fgets(text, sizeof(text), f));
		fclose(f);
		usleep(1000);
	}
	assert_non_null(strstr(text, ") Z"));
}

static void whose_leader_has_ended(void **state)
{
	int fds[2];
	char ok = 0;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_NAME, "tenant");
		ok = !chroot(dir_a) && !chdir("/") && lone_thread();
		if (write(fds[1], &ok, 1) == 1 && ok)
			syscall(SYS_exit, 0);
		_exit(1);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &ok, 1), 1);
	close(fds[0]);
	wait_for_zombie(pid);
	scan();
	stop(pid);
	assert_found(0, 1, pid);
}

static void each_to_its_own(void **state)
{
	pid_t pid[3];

	(void)state;
	pid[0] = start(dir_a, drop_all);
	pid[1] = start(dir_b, NULL);
	pid[2] = start(dir_a, drop_all);
	scan();
	for (int i = 0; i < 3; i++)
		stop(pid[i]);
	assert_found(0, 2, 0);
	assert_found(1, 1, pid[1]);
	scan();
	assert_found(0, 0, 0);
	assert_found(1, 0, 0);
}

/* The host as a guest: has everybody but the guests' own. */
static void the_host_itself(void **state)
{
	struct vu_procs_root both[2] = {{0}, roots[0]};
	struct stat st;
	pid_t pid = start(dir_a, drop_all);

	(void)state;
	assert_int_equal(stat("/", &st), 0);
	both[0] = (struct vu_procs_root){st.st_dev, st.st_ino};
	assert_int_equal(vu_procs_scan(both, 2, found), 0);
	stop(pid);
	assert_true(found[0].n_processes >= 1);
	assert_true(found[0].capable_pid > 0);
	assert_int_equal(found[1].n_processes, 1);
	assert_int_equal(found[1].capable_pid, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody),
		TEST(with_the_capability),
		TEST(only_in_the_bounding_set),
		TEST(only_permitted),
		TEST(without_the_capability),
		TEST(in_a_user_namespace_of_its_own),
		TEST(behind_a_further_chroot),
		TEST(in_a_mount_namespace),
		TEST(behind_many_groups),
		TEST(behind_many_groups_without_it),
		TEST(in_a_thread),
		TEST(a_thread_of_the_hosts),
		TEST(whose_leader_has_ended),
		TEST(each_to_its_own),
		TEST(the_host_itself),
	};

	if (geteuid()) {
		print_message("1..0 # SKIP chroot needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

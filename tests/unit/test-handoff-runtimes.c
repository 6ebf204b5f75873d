/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * runc and crun, as they are installed, with the profile that vunify makes (cow/profile.h): each starts a container,
 * hands its listener over, and the container's calls wait for what is answered here. All is in a mount namespace of
 * the test's own, on a tmpfs.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "cow/handoff-guest.h"
#include "cow/handoff-peer.h"
#include "cow/handoff.h"
#include "cow/notify.h"
#include "cow/profile.h"
#include "scratch.h"

#define WAIT_MS 20000 /* the machine may be busy */

static char dir[SCRATCH_MAX];
static char sock_path[SCRATCH_PATH_MAX];
static int listening = -1, proc = -1;
static pid_t runtime;
static unsigned n_containers;

/* Says which it is when it fails. */
static int host(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int host(const char *format, ...)
{
	_cleanup_free_ char *command = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&command, format, ap);
	va_end(ap);
	return n < 0 ? -1 : system(command); /* NOLINT(cert-env33-c) */
}

static bool has(const char *program)
{
	return !host("command -v %s >/dev/null 2>&1", program);
}

/* A tree with one static program, on a file system that ends with this process. */
static int set_up(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	(void)state;
	if (geteuid())
		return 0;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !scratch_dir(dir, "runtimes") || mount("tmpfs", dir, "tmpfs", 0, "mode=0700"))
		return -1;
	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(sock_path, sizeof(sock_path), "%s/s", dir);
	if (strlen(sock_path) >= sizeof(a.sun_path))
		return -1;
	stpcpy(a.sun_path, sock_path);
	if (bind(listening, (struct sockaddr *)&a, sizeof(a)) || chmod(sock_path, 0600) ||
	    listen(listening, 4))
		return -1;
	return host("cd %s && mkdir -p rootfs/bin rootfs/proc && cp \"$(command -v busybox)\" "
		    "rootfs/bin/busybox && echo text >rootfs/file",
		    dir);
}

static int tear_down(void **state)
{
	(void)state;
	if (!*dir)
		return 0;
	close(listening);
	close(proc);
	return umount2(dir, MNT_DETACH) || rmdir(dir);
}

/* What a test that failed has left running: ends by its own limit of time, and removes its cgroups. */
static int end_runtime(void **state)
{
	(void)state;
	if (runtime > 0)
		waitpid(runtime, NULL, 0);
	runtime = 0;
	return 0;
}

static void write_config(const char *rootfs, const char *command)
{
	_cleanup_free_ char *profile = NULL;
	char path[SCRATCH_PATH_MAX];
	FILE *f;

	assert_int_equal(vu_profile_oci(0, sock_path, "web1", &profile), 0);
	snprintf(path, sizeof(path), "%s/config.json", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f,
		"{\"ociVersion\": \"1.0.2\", \"root\": {\"path\": \"%s\"}, \"process\": {"
		"\"terminal\": false, \"user\": {\"uid\": 0, \"gid\": 0}, \"cwd\": \"/\", "
		"\"args\": [\"/bin/busybox\", \"sh\", \"-c\", \"%s\"], \"env\": [\"PATH=/bin\"], "
		"\"capabilities\": {\"bounding\": [\"CAP_FOWNER\"], \"permitted\": "
		"[\"CAP_FOWNER\"], \"effective\": [\"CAP_FOWNER\"]}}, \"mounts\": [{"
		"\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\"}], "
		"\"linux\": {\"cgroupsPath\": \"/vunify-test-%d-%u\", \"namespaces\": [{\"type\": \"pid\"}, "
		"{\"type\": \"mount\"}, {\"type\": \"ipc\"}], \"seccomp\": %s}}\n",
		rootfs, command, getpid(), n_containers, profile);
	assert_int_equal(fclose(f), 0);
}

/* In the background; what it says is in DIR/log. Its cgroups go with "delete", whatever happens. */
static void start(const char *program)
{
	runtime = fork();
	assert_true(runtime >= 0);
	if (!runtime) {
		_exit(host("cd %s && p='%s' i=vunify-test-%d-%u && { timeout -k 1 30 $p --root %s/run "
			   "run -b %s $i; r=$?; $p --root %s/run delete -f $i; exit $r; } >log 2>&1 "
			   "</dev/null",
			   dir, program, getppid(), n_containers, dir, dir, dir)
			      ? 1
			      : 0);
	}
}

static int end(void)
{
	int status = -1;

	for (int i = 0; i < WAIT_MS / 10; i++) {
		if (waitpid(runtime, &status, WNOHANG) == runtime) {
			runtime = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		}
		nanosleep(&(struct timespec){0, 10000000}, NULL);
	}
	return -1;
}

static void show_log(void)
{
	(void)host("sed 's/^/# /' %s/log >&2", dir);
}

/* The next message. Returns as vu_handoff_read; -ETIMEDOUT. */
static int receive(struct vu_handoff **ret)
{
	struct pollfd p = {listening, POLLIN, 0};
	int r;

	if (poll(&p, 1, WAIT_MS) != 1)
		return -ETIMEDOUT;
	_cleanup_fd_ int s = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	vu_cleanup(vu_handoff_reader_free_p) struct vu_handoff_reader *reader =
		vu_handoff_reader_new(s);

	assert_true(s >= 0 && reader);
	assert_int_equal(vu_handoff_check_peer(s, proc, NULL), 0);
	while ((r = vu_handoff_read(reader, ret)) == VU_HANDOFF_MORE) {
		p.fd = s;
		if (poll(&p, 1, WAIT_MS) != 1)
			return -ETIMEDOUT;
	}
	if (r == VU_HANDOFF_MALFORMED)
		print_error("the message %s\n", vu_handoff_why(reader));
	return r;
}

static struct vu_handoff_dir dir_at(int at, const char *path)
{
	struct stat st;

	if (fstatat(at, path, &st, 0))
		return (struct vu_handoff_dir){0, 0};
	return (struct vu_handoff_dir){st.st_dev, st.st_ino};
}

/* Of the tree, by all that can be known; by: how. caller: whose call it is, or 0. */
static void expect_guest(const struct vu_handoff *h, pid_t caller, enum vu_handoff_by by)
{
	char name[] = "web1", path[SCRATCH_PATH_MAX], root[32], init_root[32];
	struct vu_guest g = {.name = name};
	const struct vu_guests guests = {&g, 1};
	struct vu_handoff_facts f = {.host = dir_at(AT_FDCWD, "/"), .creating = h->creating};
	struct vu_handoff_dir rootfs;
	struct vu_handoff_found found;

	snprintf(path, sizeof(path), "%s/rootfs", dir);
	snprintf(root, sizeof(root), "%d/root", caller ? caller : h->pid);
	snprintf(init_root, sizeof(init_root), "%d/root", h->init);
	rootfs = dir_at(AT_FDCWD, path);
	g.dev = rootfs.dev;
	g.ino = rootfs.ino;
	f.root = dir_at(proc, root);
	f.init_root = dir_at(proc, init_root);
	f.metadata = h->metadata;
	assert_int_equal(vu_handoff_guest(&f, &guests, &found), 0);
	assert_int_equal(found.by, by);
	assert_false(found.contradicted);
}

/*
 * Lets all calls go on until nobody is under the filter. Returns how many there were. The first has to be of the tree,
 * if h is not NULL.
 */
static unsigned serve(int listener, const struct vu_handoff *h)
{
	struct vu_notify *n = NULL;
	const struct seccomp_notif *req;
	struct pollfd p = {listener, POLLIN, 0};
	unsigned calls = 0;

	assert_int_equal(vu_notify_new(listener, NULL, &n), 0);
	while (poll(&p, 1, WAIT_MS) == 1 && p.revents & POLLIN) {
		if (vu_notify_receive(n, &req))
			continue;
		if (!calls++ && h)
			expect_guest(h, (pid_t)req->pid, VU_HANDOFF_BY_ROOT);
		(void)vu_notify_continue(n, req->id);
	}
	vu_notify_free(n);
	return calls;
}

static void play(const char *program)
{
	struct vu_handoff *h = NULL;
	char id[64], path[SCRATCH_PATH_MAX];
	struct stat st;
	int r;

	n_containers++;
	snprintf(id, sizeof(id), "vunify-test-%d-%u", getpid(), n_containers);
	snprintf(path, sizeof(path), "%s/rootfs/file", dir);
	assert_int_equal(chmod(path, 0644), 0);
	write_config("rootfs", "chmod 600 /file && echo more >>/file");
	start(program);
	r = receive(&h);
	if (r) {
		(void)end();
		show_log();
		fail_msg("%s: %d", program, r);
	}
	assert_string_equal(h->id, id);
	assert_string_equal(h->metadata, "web1");
	assert_true(h->creating && h->pid == h->init);
	/* it has its root already when the filter is installed */
	expect_guest(h, 0, VU_HANDOFF_BY_ROOT);
	assert_true(serve(h->listener, h) >= 2);
	vu_handoff_free(h);
	r = end();
	if (r)
		show_log();
	assert_int_equal(r, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static bool wait_for(const char *name)
{
	char path[SCRATCH_PATH_MAX];

	snprintf(path, sizeof(path), "%s/rootfs/%s", dir, name);
	for (int i = 0; i < WAIT_MS / 10 && access(path, F_OK); i++)
		nanosleep(&(struct timespec){0, 10000000}, NULL);
	return !access(path, F_OK);
}

/* Another process in a container that runs: it has a listener of its own. */
static void play_exec(const char *program, bool says_pid)
{
	struct vu_handoff *h = NULL, *second = NULL;

	n_containers++;
	write_config("rootfs", "echo >/ready; while [ ! -e /stop ]; do sleep 0.05; done");
	start(program);
	assert_int_equal(receive(&h), 0);

	pid_t server = fork();

	assert_true(server >= 0);
	if (!server)
		_exit(serve(h->listener, NULL) ? 0 : 1);
	assert_true(wait_for("ready"));
	pid_t exec = fork();

	assert_true(exec >= 0);
	if (!exec)
		_exit(host("timeout -k 1 30 %s --root %s/run exec vunify-test-%d-%u /bin/busybox "
			   "touch /stop >%s/log 2>&1 </dev/null",
			   program, dir, getppid(), n_containers, dir)
			      ? 1
			      : 0);
	int r = receive(&second), status;

	if (r)
		show_log();
	assert_int_equal(r, 0);
	assert_string_equal(second->id, h->id);
	assert_int_equal(second->init, says_pid ? h->pid : 0);
	assert_int_not_equal(second->pid, h->pid);
	assert_false(second->creating);
	if (says_pid)
		expect_guest(second, 0, VU_HANDOFF_BY_ROOT);
	assert_true(serve(second->listener, second) >= 1);
	vu_handoff_free(h);
	vu_handoff_free(second);
	assert_int_equal(waitpid(exec, &status, 0), exec);
	assert_int_equal(status, 0);
	assert_int_equal(end(), 0);
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_int_equal(status, 0);
	assert_int_equal(host("cd %s/rootfs && rm ready stop", dir), 0);
}

/* It fails before there is a filter: what comes, if anything does, is empty. */
static void play_failure(const char *program)
{
	struct vu_handoff *h = NULL;
	struct pollfd p = {listening, POLLIN, 0};

	n_containers++;
	write_config("nowhere", "true");
	start(program);
	assert_true(end() > 0);
	while (poll(&p, 1, 0) == 1)
		assert_int_equal(receive(&h), VU_HANDOFF_EMPTY);
	assert_null(h);
}

static void need(const char *program)
{
	if (geteuid()) {
		print_message("# skip: needs root\n");
		skip();
	}
	if (!has(program)) {
		print_message("# skip: %s is not installed\n", program);
		skip();
	}
	if (!has("busybox")) {
		print_message("# skip: busybox is not installed\n");
		skip();
	}
}

static void test_runc(void **state)
{
	(void)state;
	need("runc");
	play("runc");
	play_exec("runc", true);
	play_failure("runc");
}

/* It takes nothing but cgroup v2 for granted, where a machine has both. */
static void test_crun(void **state)
{
	(void)state;
	need("crun");
	if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL)) {
		print_message("# skip: no cgroup v2\n");
		skip();
	}
	play("crun --cgroup-manager=disabled");
	play_exec("crun --cgroup-manager=disabled", false);
	play_failure("crun --cgroup-manager=disabled");
	assert_int_equal(umount2("/sys/fs/cgroup", MNT_DETACH), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_runc, end_runtime),
		cmocka_unit_test_teardown(test_crun, end_runtime),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

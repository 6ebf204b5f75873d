/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process of a guest, made as the words say, in their order; for tests of the gate. Ends with 1 and a
 * message if something cannot be done.
 *
 * usage: guest-proc WORD...
 *
 *   chroot DIR      its root directory is DIR
 *   mounts          it has a mount namespace of its own
 *   pivot DIR       the same, with DIR as the top: nothing above it is left
 *   bind FROM TO    mounts FROM at TO
 *   many N DIR      mounts N times at DIR
 *   idmapped FROM TO   the same, with users from 100000 on in the place of the host's
 *   keep DIR        nothing that happens to the mount at DIR elsewhere concerns it
 *   cd DIR          its working directory is DIR
 *   user            it is in a user namespace of its own, which maps user 0 to user 0
 *   private         it is in one that maps users from 100000 on
 *   uid N           its user IDs are N
 *   drop CAP        it gives up the capability (a number) for good
 *   thread          a thread does the rest; the first one waits
 *   escape          leaves its root directory as chroot(2) says that one can
 *   touch PATH      makes the file PATH, or says why not and ends with 3
 *   ready           prints "ready" and waits for the end of its input
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int failed, const char *what)
{
	if (!failed)
		return;
	fprintf(stderr, "guest-proc: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void own_mounts(void)
{
	must(unshare(CLONE_NEWNS), "unshare mounts");
	/* in a chroot "/" is no mount */
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && errno != EINVAL,
	     "private mounts");
}

static void pivot(const char *dir)
{
	own_mounts();
	must(mount(dir, dir, NULL, MS_BIND | MS_REC, NULL) || chdir(dir), dir);
	must((int)syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"),
	     "pivot_root");
}

static void put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);

	must(fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd), file);
}

/* Who maps more than itself does so from outside. */
static void own_users(const char *map)
{
	int go[2], done[2];
	char file[64], c = 0;
	pid_t self = getpid(), child;

	must(pipe2(go, O_CLOEXEC) || pipe2(done, O_CLOEXEC), "pipe");
	child = fork();
	must(child < 0, "fork");
	if (!child) {
		must(read(go[0], &c, 1) != 1, "child");
		snprintf(file, sizeof(file), "/proc/%d/uid_map", (int)self);
		put(file, map);
		snprintf(file, sizeof(file), "/proc/%d/gid_map", (int)self);
		put(file, map);
		_exit(write(done[1], &c, 1) != 1);
	}
	must(unshare(CLONE_NEWUSER), "unshare users");
	close(done[1]);
	must(write(go[1], &c, 1) != 1 || read(done[0], &c, 1) != 1, "maps");
	waitpid(child, NULL, 0);
	close(go[0]), close(go[1]), close(done[0]);
	must(setresgid(0, 0, 0) || setresuid(0, 0, 0), "to be user 0 there");
}

/* A user namespace for as long as its process lives, which is until the pipe is closed. */
static int mapped_users(pid_t *ret_child, int *ret_end)
{
	int done[2], end[2];
	char file[64], c = 0;

	must(pipe2(done, O_CLOEXEC) || pipe2(end, O_CLOEXEC), "pipe");
	*ret_child = fork();
	must(*ret_child < 0, "fork");
	if (!*ret_child) {
		close(end[1]);
		must(unshare(CLONE_NEWUSER) || write(done[1], &c, 1) != 1, "unshare users");
		_exit(read(end[0], &c, 1) != 0);
	}
	close(end[0]);
	must(read(done[0], &c, 1) != 1, "child");
	snprintf(file, sizeof(file), "/proc/%d/uid_map", (int)*ret_child);
	put(file, "0 100000 65536\n");
	snprintf(file, sizeof(file), "/proc/%d/gid_map", (int)*ret_child);
	put(file, "0 100000 65536\n");
	snprintf(file, sizeof(file), "/proc/%d/ns/user", (int)*ret_child);
	*ret_end = end[1];
	return open(file, O_RDONLY | O_CLOEXEC);
}

static void idmapped(const char *from, const char *to)
{
	pid_t child;
	int end, users = mapped_users(&child, &end);
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)users};
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, from, OPEN_TREE_CLONE | O_CLOEXEC);

	must(users < 0 || tree < 0, from);
	must((int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)),
	     "mount_setattr");
	must((int)syscall(SYS_move_mount, tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH), to);
	close(end);
	waitpid(child, NULL, 0);
}

static void drop(unsigned cap)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	unsigned bit = 1U << (cap & 31);

	must(prctl(PR_CAPBSET_DROP, cap), "drop");
	must((int)syscall(SYS_capget, &h, d), "capget");
	d[cap / 32].permitted &= ~bit;
	d[cap / 32].effective &= ~bit;
	d[cap / 32].inheritable &= ~bit;
	must((int)syscall(SYS_capset, &h, d), "capset");
}

static void escape(void)
{
	must(mkdir("/.out", 0700) && errno != EEXIST, "/.out");
	must(chroot("/.out"), "chroot");
	for (int i = 0; i < 100; i++)
		must(chdir(".."), "..");
	must(chroot("."), "chroot to the top");
}

static void *words(void *arg);

static void in_thread(char **w)
{
	pthread_t t;

	errno = pthread_create(&t, NULL, words, w);
	must(errno, "thread");
	pthread_join(t, NULL);
	exit(0);
}

static void ready(void)
{
	char c;

	puts("ready");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
}

static void touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		fprintf(stderr, "guest-proc: %s: %s\n", path, strerror(errno));
		exit(3);
	}
	close(fd);
}

static void many(long n, const char *dir)
{
	for (long i = 0; i < n; i++)
		must(mount(dir, dir, NULL, MS_BIND, NULL), "many mounts");
}

/* Does the word w[0]; returns how many arguments it took. */
static int one(char **w)
{
	static const char missing[] = "";
	const char *a = w[1] ? w[1] : missing, *b = w[1] && w[2] ? w[2] : missing;

	if (!strcmp(w[0], "chroot"))
		return must(chroot(a) || chdir("/"), a), 1;
	if (!strcmp(w[0], "mounts"))
		return own_mounts(), 0;
	if (!strcmp(w[0], "pivot"))
		return pivot(a), 1;
	if (!strcmp(w[0], "bind"))
		return must(mount(a, b, NULL, MS_BIND | MS_REC, NULL), a), 2;
	if (!strcmp(w[0], "idmapped"))
		return idmapped(a, b), 2;
	if (!strcmp(w[0], "keep"))
		return must(mount(NULL, a, NULL, MS_PRIVATE, NULL), a), 1;
	if (!strcmp(w[0], "cd"))
		return must(chdir(a), a), 1;
	if (!strcmp(w[0], "many"))
		return many(atol(a), b), 2;
	if (!strcmp(w[0], "user"))
		return own_users("0 0 1\n"), 0;
	if (!strcmp(w[0], "private"))
		return own_users("0 100000 65536\n"), 0;
	if (!strcmp(w[0], "uid"))
		return must((int)syscall(SYS_setresuid, atoi(a), atoi(a), atoi(a)), "uid"), 1;
	if (!strcmp(w[0], "drop"))
		return drop((unsigned)atoi(a)), 1;
	if (!strcmp(w[0], "escape"))
		return escape(), 0;
	if (!strcmp(w[0], "touch"))
		return touch(a), 1;
	if (!strcmp(w[0], "ready"))
		return ready(), 0;
	errno = EINVAL;
	must(1, w[0]);
	return 0;
}

static void *words(void *arg)
{
	char **w = arg;

	while (*w) {
		if (!strcmp(*w, "thread"))
			in_thread(w + 1);
		w += one(w) + 1;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs("usage: see the top of guest-proc.c\n", stderr);
		return 2;
	}
	words(argv + 1);
	return 0;
}

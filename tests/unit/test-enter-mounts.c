/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a command in a guest sees of mounts, what it cannot do, and that the host sees nothing of it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/capability.h>

#include "base/cleanup.h"
#include "enter-guest.h"

/* This process's mounts, as text. */
static char *host_mounts(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	char *text = calloc(1, 1 << 20);

	assert_non_null(f);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	return text;
}

/* Are there mounts of the test's own directories, as this process sees it? */
static bool host_sees(const char *text)
{
	return strstr(text, enter_guest);
}

static void assert_row(const char *want)
{
	if (!strstr(enter_output(), want))
		fail_msg("no '%s' in\n%s", want, enter_output());
}

/* The names of all mounts: what the kernel has of /proc is covered, and nothing is of the host. */
static void test_mounts(void **state)
{
	(void)state;
	enter_run(
		0,
		"while read -r a b c d e f g; do case $e in /proc/*) echo ${f%%,*} >>/tmp/proc;; *) echo $e "
		"${f%%,*};; esac; done </proc/self/mountinfo; while read -r f; do [ $f = ro ] || echo $f; "
		"done </tmp/proc; rm /tmp/proc",
		0);
	enter_assert_output(
		"/ rw\n/proc rw\n/sys ro\n/dev rw\n/dev/pts rw\n/dev/shm rw\n/run rw\n");
	enter_run(VU_ENTER_CHROOT_ONLY, "echo /proc/* /sys/* /run/*; echo /dev/*", 0);
	enter_assert_output("/proc/* /sys/* /run/*\n/dev/null\n");
}

/*
 * While it runs, the host has no mount that it did not have, also where the host's mounts are shared; and what
 * the host mounts then does not get into the guest.
 */
static int play_seen(void *arg)
{
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;
	char deep[SCRATCH_PATH_MAX];

	(void)arg;
	ENTER_CHECK(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	ENTER_CHECK(!mount(enter_guest, enter_guest, NULL, MS_BIND, NULL));
	ENTER_CHECK(!mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL));
	_cleanup_free_ char *before = host_mounts();

	ENTER_CHECK(strstr(before, " shared:"));
	ENTER_CHECK(!enter_shell(e, 0, NULL, "echo /mnt/*"));
	_cleanup_free_ char *during = host_mounts();

	ENTER_CHECK(!strcmp(before, during));
	snprintf(deep, sizeof(deep), "%s/mnt", enter_guest);
	ENTER_CHECK(!mount("none", deep, "tmpfs", 0, NULL));
	snprintf(deep, sizeof(deep), "%s/mnt/late", enter_guest);
	ENTER_CHECK(!mkdir(deep, 0700));
	ENTER_CHECK(!vu_enter_go(e) && enter_wait(e, &end) && end.exit_code == 0);
	vu_entered_free(e);
	return 0;
}

static void test_seen(void **state)
{
	(void)state;
	enter_play(play_seen, NULL);
	enter_assert_output("/mnt/*\n");
}

static void test_dev(void **state)
{
	(void)state;
	enter_run(
		0,
		"cd /dev; echo *; echo pts/* shm/*; echo x >null; echo x >full; read -r l <null; "
		"for f in zero random urandom; do perl -e 'read STDIN, $b, 5; print length $b' <$f; "
		"done; echo; for f in fd stdin stdout stderr ptmx; do readlink $f; done",
		0);
	enter_assert_output(
		"fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\n"
		"pts/ptmx shm/*\nsh: 1: echo: echo: I/O error\n555\n/proc/self/fd\n"
		"/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n");
	/* a pseudo terminal of its own, which is the first one there */
	enter_run(
		0,
		"echo x >/dev/shm/x; cat /dev/shm/x; stat -c '%a %U %F' /dev /dev/shm /dev/null; "
		"perl -e 'open M, \"+<\", \"/dev/ptmx\" or die; $z = pack \"i\", 0; ioctl M, 0x40045431, $z or "
		"die; open T, \"+<\", \"/dev/pts/0\" or die; syswrite M, \"abc\\n\"; sysread T, $b, 9; "
		"print $b; printf \"%o %d\\n\", (stat T)[2] & 07777, (stat T)[5]'",
		0);
	enter_assert_output(
		"x\n755 UNKNOWN directory\n1777 UNKNOWN directory\n666 UNKNOWN character special "
		"file\nabc\n620 5\n");
}

/* Files of the machine are only opened, never written to: the test may fail. */
static void test_proc_and_sys(void **state)
{
	static const char script[] =
		"for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger "
		"/sys/power/state /sys/kernel/uevent_helper /proc/irq/default_smp_affinity; do [ ! -e $f ] "
		"|| perl -e 'print \"$ARGV[0]: \", open(F, \"+<\", $ARGV[0]) ? \"open\" : $!, \"\\n\"' $f; "
		"done; echo >/sys/x; echo 5 >/proc/self/oom_score_adj && cat "
		"/proc/self/oom_score_adj; echo /proc/[0-9]*; echo /sys/fs/cgroup/*";

	(void)state;
	enter_run(0, script, 0);
	assert_row(
		"cannot create /sys/x: Read-only file system\n5\n/proc/1 /proc/2\n/sys/fs/cgroup/*\n");
	assert_row("/proc/sys/kernel/core_pattern: Read-only file system\n");
	assert_row("/proc/sys/kernel/hostname: Read-only file system\n");
	assert_null(strstr(enter_output(), ": open"));
}

/* What was in the guest's /run is not seen, nor is what is made there kept. */
static void test_run(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	enter_host("echo 1 >%s/run/old.pid", enter_guest);
	enter_run(0, "echo /run/*; touch /run/new /run/lock/new; stat -c %a /run /run/lock", 0);
	enter_assert_output("/run/lock\n755\n1777\n");
	enter_host("cd %s/run && [ \"$(echo *)\" = old.pid ] && rm old.pid", enter_guest);
}

/* A guest's own device nodes are of no use, nor those in what is mounted below it. */
static void test_nodes(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	enter_host(
		"cd %s && mkdir -p mnt/deep && mount -t tmpfs none mnt/deep && cp -a dev/null mnt/null && "
		"cp -a dev/null mnt/deep/null && echo deep >mnt/deep/file",
		enter_guest);
	enter_run(0, "cat /mnt/deep/file; cat /mnt/null; cat /mnt/deep/null; cat /dev/null", 0);
	enter_assert_output(
		"deep\ncat: /mnt/null: Permission denied\ncat: /mnt/deep/null: Permission denied\n");
}

/* ---- hostile trees ---- */

struct hostile {
	const char *place;
	int error;
};

static int play_hostile(void *arg)
{
	const struct hostile *want = arg;
	const struct vu_left_out *left_out;
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;

	ENTER_CHECK(!enter_shell(e, 0, NULL, "perl -ne 'print' /proc/self/mountinfo"));
	size_t n = vu_entered_left_out(e, &left_out);

	for (size_t i = 0; i < n; i++)
		ENTER_CHECK(want[i].place && !strcmp(left_out[i].place, want[i].place) &&
			    left_out[i].error == want[i].error);
	ENTER_CHECK(!want[n].place);
	ENTER_CHECK(!vu_enter_go(e) && enter_wait(e, &end));
	vu_entered_free(e);
	return 0;
}

/* Applies the change, enters, and looks that neither the tree nor the host's directory has changed. */
static void hostile(const char *change, const struct hostile *want)
{
	assert_int_equal(enter_reset(NULL), 0);
	enter_host("cd %s; rm dev/null; %s", enter_guest, change);
	enter_host(
		"cd %s; H=$(basename %s); find . ../$H.host -printf '%%p %%y %%m %%s %%C@ %%l\\n' | sort "
		">%s.before",
		enter_guest, enter_guest, enter_guest);
	enter_play(play_hostile, (void *)(uintptr_t)want);
	enter_host(
		"cd %s; H=$(basename %s); find . ../$H.host -printf '%%p %%y %%m %%s %%C@ %%l\\n' | sort "
		"| diff %s.before - && rm %s.before",
		enter_guest, enter_guest, enter_guest, enter_guest);
	_cleanup_free_ char *mounts = host_mounts();

	assert_false(host_sees(mounts));
}

static void test_hostile(void **state)
{
	static const struct hostile none[] = {{NULL}};
	static const struct hostile links[] = {{"/proc", -ENOTDIR},
					       {"/sys", -ENOTDIR},
					       {"/dev", -ENOTDIR},
					       {"/run", -ENOTDIR},
					       {NULL}};
	static const struct hostile missing[] = {{"/proc", -ENOENT},
						 {"/sys", -ENOENT},
						 {"/dev", -ENOENT},
						 {"/run", -ENOENT},
						 {NULL}};
	static const struct hostile mixed[] = {{"/sys", -ENOTDIR}, {"/dev", -ENOTDIR}, {NULL}};
	char out[SCRATCH_PATH_MAX * 2];

	(void)state;
	if (geteuid())
		skip();
	hostile("true", none);
	snprintf(out, sizeof(out),
		 "rmdir proc sys run dev; for l in proc sys run dev; do ln -s %s.host $l; done",
		 enter_guest);
	hostile(out, links);
	hostile("rmdir proc sys run dev; for l in proc sys run dev; do ln -s / $l; done", links);
	hostile("rmdir proc sys run dev; for l in proc sys run dev; do ln -s tmp $l; done", links);
	hostile("rmdir proc sys run dev; for l in proc sys run dev; do ln -s ../../../../../proc $l; done",
		links);
	hostile("rmdir proc sys run dev; touch proc sys run dev", links);
	hostile("rmdir proc sys run dev; mkfifo proc sys run dev", links);
	hostile("rmdir proc sys run dev", missing);
	hostile("rmdir sys dev; ln -s sys sys; mkfifo dev", mixed);
	/* what stands where something is mounted is not touched */
	snprintf(
		out, sizeof(out),
		"mkdir dev/pts dev/shm run/lock; ln -s %s.host/x dev/null; ln -s %s.host dev/console; touch "
		"proc/sys",
		enter_guest, enter_guest);
	hostile(out, none);
}

/* The host has mounted something at these places already: it is covered. */
static void test_mounted_places(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	enter_host(
		"cd %s; for d in run proc dev sys; do [ ! -h $d ] && mount -t tmpfs none $d && touch "
		"$d/host || exit; done",
		enter_guest);
	enter_run(0, "echo /run/*; echo /proc/[0-9]* /proc/h*; echo /dev/h* /sys/h*", 0);
	enter_assert_output("/run/lock\n/proc/1 /proc/2 /proc/h*\n/dev/h* /sys/h*\n");
}

/* ---- what it cannot do ---- */

#define BIT(cap) (UINT64_C(1) << (cap))

static uint64_t host_bounding(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/status", "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "CapBnd:", 7))
			return strtoull(line + 7, NULL, 16);
	fail();
	return 0;
}

static const char cap_script[] =
	"while read -r l; do case $l in Cap*|NoNewPrivs*) echo $l;; esac; done <%s/self/status";

static void test_capabilities(void **state)
{
	uint64_t keep = BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) |
			BIT(CAP_KILL) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETPCAP) |
			BIT(CAP_SETFCAP) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) |
			BIT(CAP_AUDIT_WRITE);
	char script[256], want[512];
	unsigned long long bnd = keep & host_bounding(), first = BIT(CAP_KILL);

	(void)state;
	snprintf(
		want, sizeof(want),
		"CapInh: 0000000000000000\nCapPrm: %016llx\nCapEff: %016llx\nCapBnd: %016llx\nCapAmb: "
		"0000000000000000\nNoNewPrivs: 0\n",
		bnd, bnd, bnd);
	snprintf(script, sizeof(script), cap_script, "/proc");
	enter_run(0, script, 0);
	enter_assert_output(want);
	if (!geteuid())
		enter_host("mount -t proc none %s/proc", enter_guest);
	enter_run(VU_ENTER_CHROOT_ONLY, script, 0);
	enter_host("umount %s/proc", enter_guest);
	enter_assert_output(want);
	snprintf(
		want, sizeof(want),
		"CapInh: 0000000000000000\nCapPrm: %016llx\nCapEff: %016llx\nCapBnd: %016llx\nCapAmb: "
		"0000000000000000\nNoNewPrivs: 0\n",
		first, first, first);
	enter_run(
		0,
		"while read -r l; do case $l in Cap*|NoNewPrivs*) echo $l;; esac; done </proc/1/status",
		0);
	enter_assert_output(want);
}

static int play_launcher(void *arg)
{
	static char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", NULL, NULL};
	struct vu_enter how = {-1, 0, NULL, argv, environ, NULL};
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;

	argv[2] = arg;
	ENTER_CHECK(!vu_enter(e, &how) && !vu_enter_go(e) && enter_wait(e, &end));
	ENTER_CHECK(end.exit_code == 0);
	vu_entered_free(e);
	return 0;
}

static void test_launcher_capabilities(void **state)
{
	static char script[] =
		"while read -r l; do case $l in CapBnd*|CapEff*) echo $l;; esac; done </proc/self/status";
	unsigned long long left = host_bounding() & ~BIT(CAP_LINUX_IMMUTABLE);
	char want[128];

	(void)state;
	if (geteuid())
		skip();
	assert_true(host_bounding() & BIT(CAP_LINUX_IMMUTABLE));
	snprintf(want, sizeof(want), "CapEff: %016llx\nCapBnd: %016llx\n", left, left);
	enter_play(play_launcher, script);
	enter_assert_output(want);
}

/* Not only are the bits gone: the kernel refuses. In a user namespace of its own too. */
static const char deeds[] =
	"chattr -i /tmp/immutable; echo x >/tmp/immutable; mknod /tmp/disk b 7 99 && echo node; perl -e '"
	"sub t { my ($n, @a) = @_; print \"$n \", syscall(shift @a, @a) < 0 ? $!+0 : \"done\", \"\\n\" } "
	"my $s = \"/tmp\"; my $n = \"none\"; my $p = \"proc\"; "
	"t(\"mount\", 165, $n, $s, $p, 0, 0); t(\"umount\", 166, \"/proc/sys\", 2); "
	"t(\"sethostname\", 170, $n, 4); t(\"open_by_handle_at\", 304, -100, pack(\"IIa8\", 8, 1, \"\"), 0); "
	"t(\"ptrace\", 101, 0x4206, 1, 0, 0); t(\"unshare mnt\", 272, 0x20000);'; [ -r /proc/1/environ ] && cat "
	"/proc/1/environ; readlink /proc/1/exe /proc/1/root";

static void test_deeds(void **state)
{
	(void)state;
#ifndef __x86_64__
	print_message("# skip: system calls are written down for x86_64\n");
	skip();
#endif
	if (geteuid())
		skip();
	enter_host("cd %s/tmp; echo shared >immutable; chattr +i immutable", enter_guest);
	enter_run(0, deeds, 1);
	enter_host("cd %s/tmp; chattr -i immutable; [ $(cat immutable) = shared ]; rm immutable",
		   enter_guest);
	assert_row("chattr: Operation not permitted while setting flags on /tmp/immutable\n");
	assert_row("cannot create /tmp/immutable: Operation not permitted\n");
	assert_row("mknod: /tmp/disk: Operation not permitted\n");
	assert_row("mount 1\numount 1\nsethostname 1\nopen_by_handle_at 1\nptrace 1\n"
		   "unshare mnt 1\n");
	assert_null(strstr(enter_output(), "PATH="));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		enter_unit_test(test_mounts),	    enter_unit_test(test_seen),
		enter_unit_test(test_dev),	    enter_unit_test(test_proc_and_sys),
		enter_unit_test(test_run),	    enter_unit_test(test_nodes),
		enter_unit_test(test_hostile),	    enter_unit_test(test_mounted_places),
		enter_unit_test(test_capabilities), enter_unit_test(test_launcher_capabilities),
		enter_unit_test(test_deeds),
	};

	return cmocka_run_group_tests(tests, enter_set_up, enter_tear_down);
}

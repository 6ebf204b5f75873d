/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A call made in another process, which notices nothing of it; and who is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "mem/inject-call.h"

/* What a process and the test know together. */
static struct shared {
	_Atomic int ready; /* threads */
	_Atomic int done;
	_Atomic int wrong; /* the first thing that was not as it should be; a number of below */
	_Atomic bool end;
	_Atomic long rounds, alarms;
	_Atomic pid_t tid;
} * sh;

static int setup(void **state)
{
	(void)state;
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return sh == MAP_FAILED;
}

static int teardown(void **state)
{
	(void)state;
	return munmap(sh, sizeof(*sh));
}

static pid_t start(void (*fn)(void), int n_ready)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn();
		_exit(0);
	}
	assert_true(pid > 0);
	for (int i = 0; i < 5000 && atomic_load(&sh->ready) < n_ready; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&sh->ready), n_ready);
	return pid;
}

static int end(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void end_by_force(pid_t pid)
{
	kill(pid, SIGKILL);
	end(pid);
}

/* The state letter of a process or thread. */
static char state_of(pid_t pid)
{
	char path[64], text[512], *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	close(fd);
	if (n <= 0)
		return '?';
	text[n] = 0;
	p = strrchr(text, ')');
	return p ? p[2] : '?';
}

static void wait_state(pid_t pid, char state)
{
	for (int i = 0; i < 5000 && state_of(pid) != state; i++)
		usleep(1000);
	assert_int_equal(state_of(pid), state);
}

static void assert_works(pid_t pid, unsigned flags)
{
	long ret = -1;

	assert_int_equal(vu_inject_prctl(pid, flags, PR_SET_THP_DISABLE, 1, &ret), 0);
	assert_int_equal(ret, 0);
	assert_int_equal(vu_inject_prctl(pid, flags, PR_GET_THP_DISABLE, 0, &ret), 0);
	assert_int_equal(ret, 1);
	assert_int_equal(vu_inject_prctl(pid, flags, 12345, 0, &ret), 0);
	assert_int_equal(ret, -EINVAL);
}

/* ---- a process that computes, with signals all the time ---- */

static void on_alarm(int signo)
{
	(void)signo;
	atomic_fetch_add(&sh->alarms, 1);
}

static uint64_t compute(uint64_t x, double *y)
{
	for (int i = 0; i < 2000; i++) {
		x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		*y = *y * 0.5 + (double)(x >> 40);
	}
	return x;
}

static void computes(void)
{
	const struct itimerval often = {{0, 300}, {0, 300}};
	struct sigaction alarm = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	double first = 1, y;
	uint64_t x = compute(7, &first);
	sigset_t mask, now;

	sigaction(SIGALRM, &alarm, NULL);
	signal(SIGTRAP, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGTRAP);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	atomic_store(&sh->ready, 1);
	while (!atomic_load(&sh->end)) {
		y = 1;
		if (compute(7, &y) != x || memcmp(&y, &first, sizeof(y)))
			atomic_store(&sh->wrong, 1);
		if (atomic_fetch_add(&sh->rounds, 1) % 16 == 0) {
			sigprocmask(SIG_SETMASK, NULL, &now);
			if (sigismember(&now, SIGUSR1) != 1 || sigismember(&now, SIGTRAP) != 1 ||
			    sigismember(&now, SIGUSR2) || sigismember(&now, SIGALRM))
				atomic_store(&sh->wrong, 2);
			struct sigaction trap;

			sigaction(SIGTRAP, NULL, &trap);
			if (trap.sa_handler != SIG_IGN)
				atomic_store(&sh->wrong, 3);
		}
	}
}

static void one_that_computes(void **state)
{
	pid_t pid = start(computes, 1);

	(void)state;
	for (int i = 0; i < 60; i++)
		assert_works(pid, 0);
	long rounds = atomic_load(&sh->rounds), alarms = atomic_load(&sh->alarms);

	for (int i = 0; i < 5000 && (atomic_load(&sh->rounds) < rounds + 100 ||
				     atomic_load(&sh->alarms) < alarms + 10);
	     i++)
		usleep(1000);
	assert_true(atomic_load(&sh->rounds) >= rounds + 100); /* it goes on, */
	assert_true(atomic_load(&sh->alarms) >= alarms + 10);  /* and gets its signals */
	atomic_store(&sh->end, true);
	assert_int_equal(end(pid), 0);
	assert_int_equal(atomic_load(&sh->wrong), 0);
}

/* ---- threads that wait, in each way that there is ---- */

static int pipe_fds[2];
static int word;

static void *wait_in(void *arg)
{
	long how = (long)(intptr_t)arg, r = 0;
	struct timespec t = {2, 500000000}, since, now;
	struct epoll_event e;
	struct sembuf op = {0, -1, 0};
	sigset_t set;
	char c;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	clock_gettime(CLOCK_MONOTONIC, &since);
	atomic_store(&sh->tid, (pid_t)syscall(SYS_gettid));
	atomic_fetch_add(&sh->ready, 1);
	switch (how) {
	case 0:
		r = nanosleep(&t, NULL);
		break;
	case 1:
		r = epoll_wait(epoll_create1(0), &e, 1, 2500) != 0;
		break;
	case 2:
		r = read(pipe_fds[0], &c, 1) != 1;
		break;
	case 3:
		r = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0) != -1 ||
		    errno != ETIMEDOUT;
		break;
	case 4:
		r = sigtimedwait(&set, NULL, &t) != -1 || errno != EAGAIN;
		break;
	case 5:
		r = semtimedop(semget(IPC_PRIVATE, 1, 0600), &op, 1, &t) != -1 || errno != EAGAIN;
		break;
	case 6:
		r = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
		break;
	default:
		break;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (r || (how != 2 && (double)(now.tv_sec - since.tv_sec) +
					      (double)(now.tv_nsec - since.tv_nsec) / 1e9 <
				      1.19))
		atomic_store(&sh->wrong, 10 + (int)how);
	atomic_fetch_add(&sh->done, 1);
	_exit(0);
}

#define WAYS 7

static long the_way; /* in which the only thread that can be asked waits */

/* Its first thread has ended, so that the one that waits is the one that is asked. */
static void waits(void)
{
	pthread_t thread;

	if (pipe(pipe_fds) || pthread_create(&thread, NULL, wait_in, (void *)(intptr_t)the_way))
		_exit(1);
	pthread_detach(thread);
	if (the_way == 2) {
		/* answered in the end, by another process */
		if (!fork()) {
			usleep(2600000);
			_exit(write(pipe_fds[1], "x", 1) != 1);
		}
	}
	pthread_exit(NULL);
}

static void those_that_wait(void **state)
{
	pid_t pid[WAYS], tid[WAYS];

	(void)state;
	for (the_way = 0; the_way < WAYS; the_way++) {
		pid[the_way] = start(waits, (int)the_way + 1);
		tid[the_way] = atomic_load(&sh->tid);
	}
	for (int i = 0; i < WAYS; i++) {
		wait_state(tid[i], 'S');
		wait_state(pid[i], 'Z'); /* the first thread */
	}
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < WAYS; i++) {
			assert_works(pid[i], 0);
			wait_state(tid[i], 'S');
		}
	assert_int_equal(atomic_load(&sh->done), 0);
	for (int i = 0; i < WAYS; i++)
		assert_int_equal(end(pid[i]), 0);
	assert_int_equal(atomic_load(&sh->wrong), 0);
	assert_int_equal(atomic_load(&sh->done), WAYS);
}

/* With SO_RCVTIMEO recv(2) says EINTR for whatever interrupts it. */
static int ends[2];

static void receives(void)
{
	const struct timeval long_time = {600, 0};
	char c;

	if (setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof(long_time)))
		_exit(1);
	atomic_store(&sh->ready, 1);
	if (recv(ends[0], &c, 1, 0) != 1)
		atomic_store(&sh->wrong, errno);
}

static void one_that_receives(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	pid_t pid = start(receives, 1);

	wait_state(pid, 'S');
	assert_works(pid, 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(end(pid), 0);
	assert_int_equal(atomic_load(&sh->wrong), 0);
	close(ends[0]);
	close(ends[1]);
}

/* A signal that came meanwhile is delivered, and ends the wait as ever. */
static void waits_for_signal(void)
{
	struct sigaction usr = {.sa_handler = on_alarm};
	struct epoll_event e;

	sigaction(SIGUSR1, &usr, NULL);
	atomic_store(&sh->ready, 1);
	if (epoll_wait(epoll_create1(0), &e, 1, 20000) != -1 || errno != EINTR)
		atomic_store(&sh->wrong, 1);
}

static void one_that_gets_a_signal(void **state)
{
	pid_t pid = start(waits_for_signal, 1);

	(void)state;
	wait_state(pid, 'S');
	assert_works(pid, 0);
	kill(pid, SIGUSR1);
	assert_int_equal(end(pid), 0);
	assert_int_equal(atomic_load(&sh->alarms), 1);
	assert_int_equal(atomic_load(&sh->wrong), 0);
}

/* ---- a process that executes one program after the other ---- */

#define AGAIN "again"

static char *self;

static void execute_again(void)
{
	char *const argv[] = {self, (char *)(uintptr_t)AGAIN, NULL}, *const none[] = {NULL};

	execve("/proc/self/exe", argv, none);
	_exit(1);
}

/* What was found in the one is not in the next, at that place: it is not sent there. */
static void one_that_executes(void **state)
{
	pid_t pid = fork();
	long ret;
	int n = 0;

	(void)state;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execute_again();
	}
	assert_true(pid > 0);
	for (int i = 0; i < 20; i++) {
		int r = vu_inject_prctl(pid, 0, PR_GET_THP_DISABLE, 0, &ret);

		assert_true(r >= 0);
		n += !r;
	}
	assert_true(n > 0);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	end_by_force(pid);
}

/* ---- who is left alone ---- */

static void idles(void)
{
	atomic_store(&sh->ready, 1);
	for (;;)
		pause();
}

static void assert_refused(pid_t pid, int code)
{
	long ret;

	assert_int_equal(vu_inject_prctl(pid, 0, PR_GET_THP_DISABLE, 0, &ret), code);
	assert_true(strlen(vu_inject_why(code)) > 5);
}

static void one_that_is_stopped(void **state)
{
	pid_t pid = start(idles, 1);

	(void)state;
	kill(pid, SIGSTOP);
	wait_state(pid, 'T');
	assert_refused(pid, VU_INJECT_STOPPED);
	wait_state(pid, 'T');
	kill(pid, SIGCONT);
	wait_state(pid, 'S');
	assert_works(pid, 0);
	end_by_force(pid);
}

/* Stopped and continued all the time, by another one. */
static void one_that_is_being_stopped(void **state)
{
	pid_t pid = start(computes, 1), stopper = fork();
	long ret;
	int n = 0;

	(void)state;
	if (!stopper)
		for (;;) {
			kill(pid, SIGSTOP);
			usleep(500);
			kill(pid, SIGCONT);
			usleep(500);
		}
	for (int i = 0; i < 50 || (n <= 5 && i < 20000); i++) {
		int r = vu_inject_prctl(pid, 0, PR_GET_THP_DISABLE, 0, &ret);

		assert_true(!r || r == VU_INJECT_STOPPED);
		assert_true(r || !ret);
		n += !r;
	}
	end_by_force(stopper);
	kill(pid, SIGCONT);
	long rounds = atomic_load(&sh->rounds);

	for (int i = 0; i < 5000 && atomic_load(&sh->rounds) < rounds + 100; i++)
		usleep(1000);
	assert_true(atomic_load(&sh->rounds) >= rounds + 100);
	atomic_store(&sh->end, true);
	assert_int_equal(end(pid), 0);
	assert_int_equal(atomic_load(&sh->wrong), 0);
	assert_true(n > 5);
}

static void one_that_is_traced(void **state)
{
	pid_t pid = start(idles, 1);

	(void)state;
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
	assert_refused(pid, VU_INJECT_TRACED);
	end_by_force(pid);
}

static void filtered(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if (!f || seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(prctl), 0) || seccomp_load(f))
		_exit(1);
	idles();
}

static void one_with_a_filter(void **state)
{
	pid_t pid = start(filtered, 1);
	long ret;

	(void)state;
	assert_refused(pid, VU_INJECT_SECCOMP);
	int r = vu_inject_prctl(pid, VU_INJECT_SUSPEND_SECCOMP, PR_GET_THP_DISABLE, 0, &ret);

	assert_true(!r || r == VU_INJECT_SECCOMP ||
		    r == VU_INJECT_TRACED); /* where it cannot be suspended */
	if (!r)
		assert_works(pid, VU_INJECT_SUSPEND_SECCOMP);
	wait_state(pid, 'S');
	end_by_force(pid);
}

static void nobody(void **state)
{
	pid_t pid = start(idles, 1);

	(void)state;
	assert_refused(getpid(), VU_INJECT_SELF);
	kill(pid, SIGKILL);
	wait_state(pid, 'Z');
	assert_refused(pid, VU_INJECT_GONE);
	end(pid);
	assert_refused(pid, VU_INJECT_GONE);
	if (state_of(2) != '?') /* kthreadd, where this is the first PID namespace */
		assert_refused(2, VU_INJECT_KERNEL);
}

#ifdef __x86_64__
/* An endless loop, of a 32-bit program. */
static void one_of_32_bit(void **state)
{
	struct {
		Elf32_Ehdr e;
		Elf32_Phdr p;
		uint8_t code[2];
	} __attribute__((packed)) prog = {
		.e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		      .e_type = ET_EXEC,
		      .e_machine = EM_386,
		      .e_version = EV_CURRENT,
		      .e_entry = 0x10000 + sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr),
		      .e_phoff = sizeof(Elf32_Ehdr),
		      .e_ehsize = sizeof(Elf32_Ehdr),
		      .e_phentsize = sizeof(Elf32_Phdr),
		      .e_phnum = 1},
		.p = {.p_type = PT_LOAD,
		      .p_vaddr = 0x10000,
		      .p_filesz = sizeof(prog),
		      .p_memsz = sizeof(prog),
		      .p_flags = PF_R | PF_X,
		      .p_align = 4096},
		.code = {0xeb, 0xfe},
	};
	int fd = memfd_create("prog32", 0), status;

	(void)state;
	assert_int_equal(write(fd, &prog, sizeof(prog)), sizeof(prog));
	pid_t pid = fork();

	if (!pid) {
		char *const none[] = {NULL};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fexecve(fd, none, none);
		_exit(1);
	}
	usleep(100000);
	if (waitpid(pid, &status, WNOHANG) == pid)
		skip(); /* a kernel without 32-bit programs */
	assert_refused(pid, VU_INJECT_ABI);
	wait_state(pid, 'R');
	end_by_force(pid);
	close(fd);
}
#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_computes),
		TEST(those_that_wait),
		TEST(one_that_receives),
		TEST(one_that_gets_a_signal),
		TEST(one_that_executes),
		TEST(one_that_is_stopped),
		TEST(one_that_is_being_stopped),
		TEST(one_that_is_traced),
		TEST(one_with_a_filter),
		TEST(nobody),
#ifdef __x86_64__
		TEST(one_of_32_bit),
#endif
	};

	self = argv[0];
	if (argc > 1 && !strcmp(argv[1], AGAIN))
		execute_again();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For build-cov alone, linked into each of its programs and libraries: all processes of one count into one file,
 * which each of them maps. So nothing is lost when a process is killed, or ends by _exit(); and nothing
 * is written at its end, which would be more calls for the tests that let calls fail, and could not be
 * done with the limits of others.
 *
 * Made with COUNTERS, a directory, as a string. With VU_COUNTERS_DUMP=FILE in its environment a program does
 * nothing but add what was counted in FILE, here or in a machine of its own, to what gcov has.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of gcov-shared.ld. Hidden: meson.build makes shared libraries too, to check what they call. */
extern char counters_begin[] __attribute__((visibility("hidden")));
extern char counters_end[] __attribute__((visibility("hidden")));

/* By --wrap. What gcov does at the end of a program and before exec; and in a child, to count anew. */
void __real___gcov_dump(void);
void __wrap___gcov_dump(void);
void __wrap___gcov_exit(void);
void __wrap___gcov_reset(void);
void __wrap___gcov_reset_int(void);

void __wrap___gcov_dump(void)
{
}

void __wrap___gcov_exit(void)
{
}

void __wrap___gcov_reset(void)
{
}

void __wrap___gcov_reset_int(void)
{
}

/* Without the file the program counts for itself, and what it counts is lost. */
static void share(void)
{
	size_t size = (size_t)(counters_end - counters_begin);
	/* not /proc/self/exe: in a PID namespace of its own it may find none there */
	const char *exe = (const char *)getauxval(AT_EXECFN), *slash = strrchr(exe, '/');
	const char *dump = getenv("VU_COUNTERS_DUMP");
	char path[2048], self[1024] = "";
	Dl_info in;

	if (!strcmp(exe, "/proc/self/exe") && readlink(exe, self, sizeof(self) - 1) > 0)
		slash = strrchr(self, '/');
	if (dladdr(counters_begin, &in) && strstr(in.dli_fname, ".so"))
		slash = strrchr(in.dli_fname, '/');
	snprintf(path, sizeof(path), "%s/%s", COUNTERS, slash ? slash + 1 : exe);
	if (dump)
		snprintf(path, sizeof(path), "%s", dump);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	/* gcov adds what its files have to what is counted, which is not to come back here */
	if (lseek(fd, 0, SEEK_END) == (off_t)size || !ftruncate(fd, (off_t)size))
		mmap(counters_begin, size, PROT_READ | PROT_WRITE,
		     (dump ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED, fd, 0);
	close(fd);
}

__attribute__((constructor)) static void begin(void)
{
	if (&counters_begin[0] != &counters_end[0])
		share();
	if (!getenv("VU_COUNTERS_DUMP"))
		return;
	__real___gcov_dump();
	_exit(0);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/PID/maps and /proc/PID/task/TID/status of hostile processes, as the parsers read them. The
 * first byte chooses. Their sources are included, because what they export looks at real processes.
 */
#include "fuzz.h"

#include "guest/mapped.c"
#define look_at_process look_at_process_of_openers
#include "guest/openers.c"
#undef look_at_process
#include "guest/procs.c"

#define DEV_MAJOR 0xfe
#define DEV_MINOR 0x10

/* ---- maps ---- */

/* Feeds text in pieces of at most step bytes; the records are in rd->record. */
static void feed(struct reader *rd, const struct vu_mapped *fs, const struct input *in, size_t step)
{
	*rd = (struct reader){.fs = fs, .n_fs = 2, .out = -1, .process = 1};
	/* what is full is written to the pipe, which there is not */
	for (size_t at = 0; at < in->n && rd->n < N_RECORDS - 2 * step - 2; at += step)
		CHECK(!take_text(rd, (const char *)in->p + at, VU_MIN(step, in->n - at)));
}

static void check_maps(struct input *in)
{
	static struct reader whole, pieces;
	const struct vu_mapped fs[2] = {{.dev = makedev(DEV_MAJOR, DEV_MINOR)},
					{.dev = makedev(0, 5)}};
	size_t step = 1 + take_byte(in) % 16;
	struct look l = {.ino = 4711, .found = (struct vu_openers_found[1]){{0}}};

	in->n = VU_MIN(in->n, (size_t)2000);
	feed(&whole, fs, in, 64);
	feed(&pieces, fs, in, step);
	CHECK(whole.n == pieces.n);
	CHECK(!memcmp(whole.record, pieces.record, whole.n * sizeof(whole.record[0])));
	for (size_t i = 0; i < whole.n; i++)
		CHECK(whole.record[i].ino && whole.record[i].fs < 2 &&
		      whole.record[i].process == 1);
	put_file_at(scratch_fd(), "maps", in->p, in->n);
	look_at_mappings(&l, 0, getpid(), scratch_fd());
	CHECK(!l.found[0].holds);
}

/* As show_map_vma (fs/proc/task_mmu.c) does it. */
static void check_kernels_maps(struct input *in)
{
	static struct reader rd;
	const struct vu_mapped fs[2] = {{.dev = makedev(DEV_MAJOR, DEV_MINOR)},
					{.dev = makedev(0, 5)}};
	_cleanup_free_ char *text = NULL;
	uint64_t want[16];
	size_t size = 0, n = 0;
	FILE *f = open_memstream(&text, &size);

	CHECK(f);
	while (in->n && n < VU_ARRAY_SIZE(want)) {
		uint64_t from = take_number(in), ino = take_number(in);
		bool ours = take_byte(in) & 1;
		_cleanup_free_ char *path = take_until(in, '\n');

		fprintf(f, "%08jx-%08jx r%c-%c %08x %02x:%02x %ju ", (uintmax_t)from,
			(uintmax_t)from + 4096, ours ? 'w' : '-', ours ? 's' : 'p',
			take_byte(in) << 12, ours ? DEV_MAJOR : 8, ours ? DEV_MINOR : 1,
			(uintmax_t)ino);
		fprintf(f, "     %s\n", path);
		if (ours && ino)
			want[n++] = ino;
	}
	CHECK(!fclose(f));
	feed(&rd, fs, &(struct input){(uint8_t *)text, size}, 50);
	CHECK(rd.n == n);
	for (size_t i = 0; i < n; i++)
		CHECK(rd.record[i].ino == want[i] && rd.record[i].fs == 0);
}

/* ---- status ---- */

static int capable(const void *p, size_t n)
{
	static struct scan s;
	struct stat st;

	mkdirat(scratch_fd(), "ns", 0700);
	put_file_at(scratch_fd(), "ns/user", "", 0);
	CHECK(!fstatat(scratch_fd(), "ns/user", &st, 0));
	s.our_ns = st;
	put_file_at(scratch_fd(), "status", p, n);
	return is_capable(&s, scratch_fd());
}

static void check_status(struct input *in)
{
	int r = capable(in->p, in->n);

	CHECK(r == 0 || r == 1);
	/* what does not say that it is not, is */
	if (!memmem(in->p, in->n, "CapBnd", 6))
		CHECK(r == 1);
}

/* As proc_pid_status (fs/proc/array.c) does it: the guest chooses the name and the groups. */
static void check_kernels_status(struct input *in)
{
	static const char *const names[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
	uint64_t set[5], groups = take_byte(in) * 4U;
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	CHECK(f);
	for (int i = 0; i < 5; i++)
		set[i] = take_number(in);
	fputs("Name:\t", f);
	for (int i = 0; in->n && i < 15; i++) {
		uint8_t c = take_byte(in);

		if (c == '\n' || c == '\\')
			fputs(c == '\n' ? "\\n" : "\\\\", f);
		else if (c)
			fputc(c, f);
	}
	fputs("\nUmask:\t0022\nGroups:\t", f);
	for (uint64_t i = 0; i < groups; i++)
		fprintf(f, "%ju ", (uintmax_t)(i * 1433));
	fputs("\nVmPeak:\t    2336 kB\n", f);
	for (int i = 0; i < 5; i++)
		fprintf(f, "%s:\t%016jx\n", names[i], (uintmax_t)set[i]);
	fputs("NoNewPrivs:\t0\n", f);
	CHECK(!fclose(f));
	CHECK(capable(text, size) == (int)((set[1] | set[2] | set[3]) >> CAP_LINUX_IMMUTABLE & 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(struct input *) = {check_maps, check_kernels_maps,
							 check_status, check_kernels_status};
	struct input in = {data, size};

	checks[take_byte(&in) % VU_ARRAY_SIZE(checks)](&in);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ksm_stat is "NAME VALUE" lines. ksm_merge_any and ksm_mergeable came with Linux 6.16; before, the flag can be asked
 * of the process itself only (PR_GET_MEMORY_MERGE), or seen in smaps, where "mg" is among the VmFlags.
 */
#include "mem/ksm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define KSM_DIR "/sys/kernel/mm/ksm"

/* A file with one number. -ENOENT where there is none. */
static int read_number(int dir, const char *name, int64_t *ret)
{
	_cleanup_fd_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char text[32];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = 0;
	*ret = strtoll(text, NULL, 10);
	return 0;
}

static uint64_t count_in(int dir, const char *name)
{
	int64_t n = 0;

	return read_number(dir, name, &n) || n < 0 ? 0 : (uint64_t)n;
}

int vu_ksm_read(struct vu_ksm *ret)
{
	_cleanup_fd_ int dir = open(KSM_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int64_t run = 0, profit = 0;
	int r = dir < 0 ? -errno : read_number(dir, "run", &run);

	if (r)
		return r == -ENOENT ? VU_KSM_NONE : r;
	(void)read_number(dir, "general_profit", &profit);
	*ret = (struct vu_ksm){
		.run = (uint64_t)run,
		.pages_to_scan = count_in(dir, "pages_to_scan"),
		.sleep_ms = count_in(dir, "sleep_millisecs"),
		.max_page_sharing = count_in(dir, "max_page_sharing"),
		.use_zero_pages = count_in(dir, "use_zero_pages"),
		.full_scans = count_in(dir, "full_scans"),
		.pages_shared = count_in(dir, "pages_shared"),
		.pages_sharing = count_in(dir, "pages_sharing"),
		.zero_pages = count_in(dir, "ksm_zero_pages"),
		.profit_bytes = profit,
	};
	return 0;
}

/* What follows the name at the beginning of a line; or NULL. */
static const char *value_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	while (text && strncmp(text, name, n)) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return text ? text + n : NULL;
}

static uint64_t count_of(const char *text, const char *name)
{
	const char *v = value_of(text, name);

	return v ? strtoull(v, NULL, 10) : 0;
}

static bool is_yes(const char *text, const char *name)
{
	const char *v = value_of(text, name);

	return v && !strncmp(v, "yes", 3);
}

void vu_ksm_process_parse(const char *text, struct vu_ksm_process *ret)
{
	const char *profit = value_of(text, "ksm_process_profit ");

	*ret = (struct vu_ksm_process){
		.known = true,
		.merge_any = is_yes(text, "ksm_merge_any: "),
		.mergeable = is_yes(text, "ksm_mergeable: "),
		.merging_pages = count_of(text, "ksm_merging_pages "),
		.zero_pages = count_of(text, "ksm_zero_pages "),
		.rmap_items = count_of(text, "ksm_rmap_items "),
		.profit_bytes = profit ? strtoll(profit, NULL, 10) : 0,
	};
}

int vu_ksm_process_read(int proc_fd, struct vu_ksm_process *ret)
{
	_cleanup_fd_ int fd = openat(proc_fd, "ksm_stat", O_RDONLY | O_CLOEXEC);
	char text[512];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0 && errno == ENOENT && !faccessat(proc_fd, "stat", F_OK, 0)) {
		*ret = (struct vu_ksm_process){0};
		return 0;
	}
	if (n < 0)
		return -errno;
	text[n] = 0;
	vu_ksm_process_parse(text, ret);
	return 0;
}

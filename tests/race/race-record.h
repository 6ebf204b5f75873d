/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of what was acknowledged: for each path of each guest, what must be there. It lives in a
 * file that all processes map, so that it can be compared with the guests at any time, also long after
 * those who wrote it have ended. A path belongs to one process: nobody else changes it or its record.
 *
 * A guest's tree: usr/race/pP/dD/fF, where P is the process. The same path has the same content in all
 * guests in the beginning: that is its original, to which it is put back again and again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define FILE_MAX 4096 /* the most that a file grows to */
#define XATTR_MAX 24
#define XATTR_NAME "user.race"
#define STAMP 16 /* bytes of a stamp, which says by whom and when */
#define GUESTS_MAX 16
#define PROCS_MAX 16
#define ORIGINAL_MTIME 1600000000
#define ORIGINAL_MODE 0644

enum mode {
	M_WRITE,
	M_APPEND,
	M_OTRUNC,
	M_TRUNCATE,
	M_HOLD,
	M_MMAP,
	M_URING,
	M_CHMOD,
	M_CHOWN,
	M_UTIMES,
	M_XATTR,
	M_RENAME,
	M_AWAY,
	M_UNLINK,
	M_LINK,
	M_PROCFD,
	M_STRING,
	M_THREADS,
	M_EXEC,
	M_DIE,
	M_DIR_RENAME,
	M_DIR_SYMLINK,
	M_DIR_BIND,
	M_ATTACK,
	M_RESTORE,
	N_MODES
};

extern const char *const mode_names[N_MODES];

/* What a path must be. */
struct record {
	bool exists;
	bool away;   /* it is at fF.away, and nothing at fF */
	bool linked; /* it has a second name, fF.link */
	bool loose;  /* that was made in the moment of an object */
	uint32_t mode, uid, gid;
	uint32_t size;
	struct timespec mtime; /* tv_sec 0: not known */
	char xattr[XATTR_MAX]; /* "": none */
	char bytes[FILE_MAX];
};

/* A directory of files. */
struct record_dir {
	bool moved;   /* it is at dD.moved */
	bool swapped; /* it is at dD.real, and dD is a symbolic link that leads out of the guest */
	bool covered; /* something is mounted over it */
};

struct counters {
	uint64_t acked[N_MODES], refused[N_MODES];
	uint64_t undone; /* metadata that hit an object in its moment and were put right */
	uint64_t parted; /* names made in the moment of an object that were not kept one inode */
	uint64_t lost;	 /* files that are not what was acknowledged */
	uint64_t leaked; /* of these: with what another guest has written */
	uint64_t late;	 /* changes by a descriptor of what a scan had replaced long before */
	uint64_t seen;	 /* what another guest has written was there, and is no longer */
	uint64_t seen_xattr; /* the same of an xattr alone */
	uint64_t escapes;
	uint64_t opens;	       /* with a clock */
	uint64_t trunc_ns;     /* the longest that truncates, which also waits for the disk; net */
	uint64_t block_ns;     /* the longest of the others */
	uint64_t block_net_ns; /* without the time in which it could have run */
	uint64_t over, over_net;   /* longer than BLOCK_LIMIT_NS */
	_Atomic uint64_t since_ns; /* when the operation at hand began; 0: there is none */
	enum mode doing;	   /* which one it is */
	uint64_t longest_ns;	   /* of all */
};

#define BLOCK_LIMIT_NS UINT64_C(100000000)

/* The beginning of the file. */
struct board {
	uint32_t n_guests, n_procs, n_dirs, n_files, n_contents;
	uint32_t n_attackers; /* of the processes of each guest, the last ones */
	uint32_t n_quiet;     /* of the guests, the last ones: nobody there changes anything */
	uint32_t modes;	      /* bits: those that are on */
	char top[512];	      /* where the guests are: TOP/g1 .. */
	char canary[512]; /* a directory outside, with the files of a process' directory; or "" */
	uint32_t patience_s; /* how long bytes of another guest may be there, before they count */
	uint64_t stall_ns;   /* the longest time for which the race itself did not get to run */
	bool supervised; /* the guests' processes are started by `race guest`, under vunify run */
	uint32_t hang_s; /* an operation that takes longer hangs */
	uint32_t hangs;
	_Atomic uint32_t running; /* `race guest` */
	volatile int stop;
	volatile int failed;				     /* somebody met what must not be */
	struct counters counters[GUESTS_MAX][PROCS_MAX + 1]; /* [n_procs]: who only looks */
	struct record_dir dirs[GUESTS_MAX][PROCS_MAX][16];
	struct record records[]; /* by guest, process, directory, file */
};

/* Makes the file at path and maps it; or maps one that is there ("-": that is stdin), with like NULL. */
struct board *board_open(const char *path, const struct board *like);

struct record *record_of(struct board *b, unsigned guest, unsigned proc, unsigned dir,
			 unsigned file);

/* What the path is originally. */
void original_of(const struct board *b, unsigned proc, unsigned dir, unsigned file,
		 struct record *ret);
bool is_original(const struct board *b, const struct record *r, unsigned proc, unsigned dir,
		 unsigned file);

/* Makes the guests' trees, and what the canary holds. */
void board_make_guests(struct board *b);

/* The path of a directory as it is now, of a file as it is now; below prefix. */
void dir_path(struct board *b, const char *prefix, unsigned guest, unsigned proc, unsigned dir,
	      char *ret, size_t size);
void file_path(struct board *b, const char *prefix, unsigned guest, unsigned proc, unsigned dir,
	       unsigned file, char *ret, size_t size);

void die(const char *what) __attribute__((noreturn));

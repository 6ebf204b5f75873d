/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a notified system call is about to do, from its number and arguments alone (struct seccomp_data):
 * the operation, the paths with how each is resolved, and what each has to be given before the kernel goes
 * on with the call. Plain values, no I/O: whoever asks reads strings, and the flags of openat2, from the
 * process's memory himself.
 *
 * Arguments are the guest's, and nothing is believed of them. Where the kernel takes an int, the upper half
 * of the register is not looked at; of 32-bit processes no upper half is. x86_64, aarch64 and their
 * 32-bit companions are known; x32 calls are none of ours (the filter refuses them).
 */
#pragma once

#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

/* Positive results. */
enum vu_call_e {
	VU_CALL_NONE =
		1, /* cannot change a file that is there: not in the table, or so by its flags */
	VU_CALL_MALFORMED = 2, /* the kernel answers with an error, whatever the file is */
};

enum vu_call_op {
	VU_CALL_OPEN, /* for writing, or to cut it */
	VU_CALL_TRUNCATE,
	VU_CALL_UNLINK,
	VU_CALL_RMDIR, /* of what may be a file: then the answer is another than for an immutable one */
	VU_CALL_RENAME,
	VU_CALL_EXCHANGE, /* two names */
	VU_CALL_LINK,
	VU_CALL_CHMOD,
	VU_CALL_CHOWN,
	VU_CALL_UTIMES,
	VU_CALL_SETXATTR,
	VU_CALL_REMOVEXATTR,
	VU_CALL_SETATTR, /* inode flags and project id (file_setattr) */
	VU_CALL_ACCESS, /* only asks whether it might be written to: rm(1) and mv(1) do, and editors */
};

/* What of the file a path leads to the call needs: in rising order. */
enum vu_call_need {
	VU_NEED_NOTHING,  /* no file may be there, or the call does not touch it */
	VU_NEED_GONE,	  /* the name goes away: nothing of it is needed (other names of it stay) */
	VU_NEED_METADATA, /* content is cut to nothing, mode, owner, xattrs stay */
	VU_NEED_ALL,	  /* content and metadata */
};

struct vu_call_path {
	int dirfd;	  /* of the process, or AT_FDCWD: where a relative path begins */
	uint64_t address; /* of the string in the process's memory; 0: none, and 'self' is set */
	bool self;	  /* the file that dirfd is open on is meant */
	bool empty_self;  /* ... is meant if the string is empty (AT_EMPTY_PATH) */
	bool follow;	  /* a symlink at the end of the path is followed */
	enum vu_call_need need;
};

struct vu_call {
	enum vu_call_op op;
	unsigned n_paths;	     /* 1 or 2 */
	struct vu_call_path path[2]; /* rename, exchange, link: the old and the new name */
	uint32_t open_flags;	     /* O_*, as this architecture has them */
	uint32_t mode;		     /* of a file that open makes; of access: R_OK, W_OK, X_OK */
	bool real;		     /* access: of the real user and group, as access(2) has it */
	uint64_t resolve;	     /* RESOLVE_*, of openat2 */
	uint64_t how_address; /* openat2: of its struct open_how in the process's memory; or 0 */
	uint32_t how_size;    /* how much of it there is to read, at most sizeof(struct open_how) */
	uint32_t arch;	      /* AUDIT_ARCH_* of the call */
};

/* The numbers of the calls on each architecture. Not changed once made: any thread may use it. */
struct vu_call_numbers;

/* Returns NULL without memory. */
struct vu_call_numbers *vu_call_numbers_new(void);
struct vu_call_numbers *vu_call_numbers_free(struct vu_call_numbers *n);

/*
 * Decodes a call. Returns 0, VU_CALL_NONE or VU_CALL_MALFORMED. Where ret->how_address is not 0 (openat2), the
 * needs of the path are not known yet: vu_call_complete tells them.
 */
int vu_call_decode(const struct vu_call_numbers *n, const struct seccomp_data *d,
		   struct vu_call *ret);

/*
 * Completes an openat2 with what was read from how_address (how_size bytes, the rest zero); how_address is 0
 * afterwards. Returns as vu_call_decode; c is only changed with 0.
 */
int vu_call_complete(struct vu_call *c, const struct open_how *how);

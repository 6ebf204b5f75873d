/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the doctor share. Not for others. */
#pragma once

#include <stdbool.h>

#include "ops/ops-doctor.h"
#include "ops/session.h"

struct vu_doctor {
	struct vu_ops *ops;
	struct vu_findings *f;
	struct vu_session session;
	bool no_memory;
};

/* Adds a finding. check is static; on and todo may be NULL. */
__attribute__((format(printf, 6, 7))) void
vu_doctor_find(struct vu_doctor *d, enum vu_finding_level level, const char *check, const char *on,
	       const char *todo, const char *format, ...);

/* The same from what an operation that was tried (r: its result) says of why it could not go on. */
void vu_doctor_find_problem(struct vu_doctor *d, enum vu_finding_level level, const char *check,
			    const char *on, int r);

/* Kernel, capabilities, seccomp, the guard: needs no session. */
void vu_doctor_host(struct vu_doctor *d);

/* The session's guests together: who can be frozen. */
void vu_doctor_freezer(struct vu_doctor *d);

/* The catalog: is it whole, and has it room? */
void vu_doctor_catalog(struct vu_doctor *d);

/* A file system (index in the session), of which root_fd is some guest's root; and the objects of all pools. */
void vu_doctor_fs(struct vu_doctor *d, size_t fs, int root_fd);
void vu_doctor_objects(struct vu_doctor *d);

/* A guest (index in the session). */
void vu_doctor_guest(struct vu_doctor *d, size_t guest);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps that bring a catalog from one schema version to the next, embedded at build time from
 * db/schema/NNNN-name.sql by db/embed-schema. Plain constant data; nothing here runs a statement.
 * Called by the code that opens the catalog.
 */
#ifndef VU_DB_SCHEMA_H
#define VU_DB_SCHEMA_H

struct vu_sql_step {
	int version;	  /* the schema version that the step leads to; steps count from 1 */
	const char *name; /* file name without .sql */
	const char *sql;  /* one or more statements */
};

/* vu_schema_n_steps entries in ascending version, followed by one whose version is 0. */
extern const struct vu_sql_step vu_schema_steps[];
extern const unsigned vu_schema_n_steps;

#endif

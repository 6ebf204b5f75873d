/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests of a farm, what they wrote and what of it they have been told is on disk: what each path may
 * be after a power cut. An instant is a number that grows; whoever makes the disk says what it is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define POWER_NEVER UINT32_MAX
#define POWER_GUESTS 3

/* What a guest's path was at some time. */
struct power_version {
	uint32_t seed; /* of the content */
	uint32_t size;
	uint32_t mode;
	uint32_t owner;
	bool xattr;
	uint32_t born;	  /* instant before it was begun */
	uint32_t durable; /* instant after it was synced, POWER_NEVER */
};

#define POWER_VERSIONS 3
#define POWER_PATHS 160

struct power_path {
	char name[48]; /* below the guests' directory: g1/usr/... */
	int guest;
	int other; /* the path that it is a hard link of, or -1 */
	int n;	   /* versions */
	struct power_version v[POWER_VERSIONS];
};

struct power_farm {
	const char *top; /* the guests' directory */
	uint32_t (*now)(void *arg);
	void *arg;
	int n;
	struct power_path p[POWER_PATHS];
};

/* What a path was seen to be. */
struct power_seen {
	int version;	 /* index; -1: not there, -2: something else, which is allowed */
	uint64_t digest; /* of what is there, content and metadata */
	uint64_t ino;
	bool flag; /* immutable */
};

/* Guests 0 and 1 with files that all have; durable. */
int power_farm_begin(struct power_farm *f);

/*
 * New files: in each of some guests a copy, of which the guests in the set `synced` have been synced.
 * wave: tells their names and contents from those of others.
 */
int power_farm_wave(struct power_farm *f, int wave, int first_guest);

/* The guest joins: it has all that the first has, half of it synced. */
int power_farm_join(struct power_farm *f, int guest);

/* A guest whose files are private puts new ones over some, as a package manager does. */
int power_farm_replace(struct power_farm *f, int guest);

/*
 * Looks at all paths. instant: everything that was durable then must be there. Fills seen. Returns the
 * number of paths that are wrong, told on stdout with what.
 */
int power_farm_look(const struct power_farm *f, uint32_t instant, const char *what,
		    struct power_seen *seen);

/* Makes what was begun before the instant and is not there. Returns false if that is not possible. */
bool power_farm_complete(const struct power_farm *f, uint32_t instant,
			 const struct power_seen *seen);

/* Which paths are names of one inode, and which are immutable, as text. To be freed. */
char *power_farm_shape(const struct power_farm *f, const struct power_seen *seen);

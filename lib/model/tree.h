/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The farm in memory: what the catalog remembered, brought up to date by the walk, completed by the
 * content stage, read by policy, plan and link, and written back to the catalog. Four arrays of small
 * records that point to each other by number; about 100 bytes a file, all told. It holds private
 * files one by one; of the unified files in a directory only their count (a unified inode cannot
 * change, so a clean directory's unified files need not be looked at, nor held).
 *
 * Threads: appending goes through the functions below, which take the tree's lock; a record belongs
 * to whoever works on its directory (walk), its group (content) or its object (link).
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/chunks.h"
#include "model/attr.h"
#include "model/digest.h"
#include "model/guest.h"
#include "model/key.h"

#define VU_NONE UINT32_MAX /* "no record" for every number below */

/* What became of a record in this run; the catalog writes what is not VU_KEPT. */
enum vu_fate {
	VU_UNSEEN =
		0,  /* from the catalog, and not met by the walk (yet): deleted when it stays so */
	VU_KEPT,    /* from the catalog, unchanged */
	VU_CHANGED, /* from the catalog, changed */
	VU_NEW,	    /* not in the catalog */
	VU_GONE,    /* from the catalog, known to be gone */
};

enum vu_dir_flag {
	VU_DIR_CLEAN = 1 << 0,	  /* recorded (ino, mtime, ctime) holds, and was not fresh then */
	VU_DIR_FRESH = 1 << 1,	  /* too young to be trusted next time */
	VU_DIR_TOUCHED = 1 << 2,  /* names in it were replaced in this run */
	VU_DIR_EXCLUDED = 1 << 3, /* excluded with all below: has no names and no children */
	VU_DIR_FAILED = 1 << 4,	  /* could not be read: never clean */
	VU_DIR_OTHER_FS = 1 << 5, /* another mount or subvolume begins here: not entered */
	VU_DIR_LISTED =
		1 << 6, /* its names were read in this run: vu_tree.unified holds all of its */
};

struct vu_dir {
	uint64_t ino;
	uint64_t mtime_ns;
	uint64_t ctime_ns;
	uint32_t parent;      /* number of the parent, VU_NONE for a root */
	uint32_t name;	      /* arena handle; "" for a root */
	uint32_t first_name;  /* private names: head of the chain through vu_name.sibling */
	uint32_t first_child; /* directories: head of the chain through vu_dir.sibling */
	uint32_t sibling;
	uint32_t n_unified; /* names in it that are names of objects */
	uint32_t n_other;   /* neither directory nor regular file */
	uint32_t n_dirs;    /* subdirectories */
	uint32_t row;	    /* the catalog's number of it in its guest, 0 while it has none */
	uint16_t guest;	    /* index in the run's vu_guests */
	uint8_t flags;	    /* enum vu_dir_flag */
	uint8_t fate;	    /* enum vu_fate */
};

struct vu_name {
	uint32_t dir;
	uint32_t name; /* arena handle */
	uint32_t inode;
	uint32_t sibling; /* next private name of the same directory */
	uint32_t next;	  /* next name of the same inode */
	uint8_t fate;
	uint8_t unified; /* became a name of an object in this run */
	uint8_t apart;	 /* was one when its directory was last read, and had come apart since */
};

enum vu_inode_flag {
	VU_INODE_OBJECT = 1 << 0,  /* an object of the pool; belongs to no guest */
	VU_INODE_UNIFIED = 1 << 1, /* its names were moved to an object in this run */
	VU_INODE_ADOPTED = 1 << 2, /* became an object in this run */
	VU_INODE_READ = 1 << 3,	   /* its content was read in this run */
	VU_INODE_BELIEVED =
		1 << 4, /* or what the catalog knows is enough: nothing will be linked */
};

struct vu_inode {
	uint64_t ino;
	uint64_t size;
	uint64_t mtime_ns;
	uint64_t ctime_ns;
	uint32_t attr;	     /* number in attrs */
	uint32_t content;    /* number in contents, VU_NONE while not known */
	uint32_t first_name; /* head of the chain through vu_name.next; objects: VU_NONE */
	uint32_t key;	     /* objects and adopted: number in objects; unified: the object's inode
				number; else VU_NONE */
	uint16_t n_links;    /* stx_nlink, as vu_tree_links() says it */
	uint16_t guest;	     /* index in vu_guests, also when adopted; objects: index in vu_fses */
	uint8_t skip;	     /* enum vu_skip: why it stays private */
	uint8_t flags;	     /* enum vu_inode_flag */
	uint8_t fate;
	uint8_t fs; /* index of the file system (of pools) */
};

/* A name of an object, met when its directory was listed. */
struct vu_unified_name {
	uint64_t ino; /* of the object */
	uint32_t dir;
	uint32_t name; /* arena handle */
};

/* A content: what has equal bytes. Made by the content stage or known from the catalog. */
struct vu_content {
	struct vu_digest digest;
	uint32_t db_id; /* row in the catalog, 0 while it has none */
};

struct vu_tree {
	pthread_mutex_t lock;
	struct vu_chunks dirs;	   /* struct vu_dir */
	struct vu_chunks names;	   /* struct vu_name */
	struct vu_chunks inodes;   /* struct vu_inode */
	struct vu_chunks contents; /* struct vu_content */
	struct vu_chunks objects;  /* struct vu_key: the keys of objects, by vu_inode.key */
	struct vu_chunks
		unified;	/* struct vu_unified_name: of the directories listed in this run */
	struct vu_arena text;	/* names, each once as far as text_slot has room */
	uint32_t *text_slot;	/* open addressing: name -> arena handle + 1; owned */
	uint32_t text_slots;	/* power of two */
	uint32_t n_texts;	/* of them in use */
	uint64_t text_seed;	/* guests choose names: nobody is to know where they go */
	struct vu_attrs *attrs; /* owned */
	uint32_t *content_slot; /* open addressing: digest -> content + 1; owned */
	uint32_t content_slots; /* power of two */
};

/* Makes an empty tree. Returns NULL without memory. */
struct vu_tree *vu_tree_new(void);
struct vu_tree *vu_tree_free(struct vu_tree *t);

static inline struct vu_dir *vu_tree_dir(const struct vu_tree *t, uint32_t i)
{
	return vu_chunks_at(&t->dirs, i);
}

static inline struct vu_name *vu_tree_name(const struct vu_tree *t, uint32_t i)
{
	return vu_chunks_at(&t->names, i);
}

static inline struct vu_inode *vu_tree_inode(const struct vu_tree *t, uint32_t i)
{
	return vu_chunks_at(&t->inodes, i);
}

static inline struct vu_content *vu_tree_content(const struct vu_tree *t, uint32_t i)
{
	return vu_chunks_at(&t->contents, i);
}

static inline struct vu_key *vu_tree_key(const struct vu_tree *t, uint32_t i)
{
	return vu_chunks_at(&t->objects, i);
}

static inline struct vu_unified_name *vu_tree_unified(const struct vu_tree *t, uint32_t i)
{
	return vu_chunks_at(&t->unified, i);
}

static inline const char *vu_tree_text(const struct vu_tree *t, uint32_t h)
{
	return vu_arena_at(&t->text, h);
}

/* The number of a content with this digest, new or known. Takes the lock. 0, -ENOMEM, -EOVERFLOW. */
int vu_tree_content_intern(struct vu_tree *t, const struct vu_digest *d, uint32_t *ret_content);

/*
 * Appends a directory below parent (VU_NONE: a root), chained to it, with the name copied. The other
 * fields are the caller's to fill. The caller holds the lock. 0, -ENOMEM, -EOVERFLOW.
 */
int vu_tree_dir_add(struct vu_tree *t, uint32_t parent, uint16_t guest, const char *name,
		    uint32_t *ret_dir);

/* Appends a name in dir for inode, chained to both. The caller holds the lock. */
int vu_tree_name_add(struct vu_tree *t, uint32_t dir, const char *name, uint32_t inode,
		     uint32_t *ret_name);

/*
 * Notes that dir (which is being listed: VU_DIR_LISTED) holds a name of the object with this inode
 * number; the name is copied. The caller holds the lock. 0, -ENOMEM, -EOVERFLOW.
 */
int vu_tree_unified_add(struct vu_tree *t, uint32_t dir, const char *name, uint64_t ino);

/* Appends an inode with no names. The caller holds the lock. */
int vu_tree_inode_add(struct vu_tree *t, uint32_t *ret_inode);

/*
 * A number of links as inodes hold it: VU_LINKS_MAX stands for all above, which only XFS has. Such an
 * inode is never unified, so what it stands for is never compared.
 */
#define VU_LINKS_MAX UINT16_MAX

static inline uint16_t vu_tree_links(uint32_t n_links)
{
	return n_links < VU_LINKS_MAX ? (uint16_t)n_links : VU_LINKS_MAX;
}

/* How many names an inode's chain holds. */
uint32_t vu_tree_count_names(const struct vu_tree *t, const struct vu_inode *n);

/*
 * The path of a directory relative to its guest's root, without a leading '/', "" for the root
 * itself. malloc'ed. NULL without memory.
 */
char *vu_tree_dir_path(const struct vu_tree *t, uint32_t dir);

/* The same for a name. */
char *vu_tree_name_path(const struct vu_tree *t, uint32_t name);

/* The same for a name of an object. */
char *vu_tree_unified_path(const struct vu_tree *t, const struct vu_unified_name *name);

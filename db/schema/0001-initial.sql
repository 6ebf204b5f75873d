-- SPDX-License-Identifier: GPL-2.0-or-later
-- The catalog, version 1. What it is for and how it is written: top of db/catalog.c.
--
-- Kept small, since it is read whole by most runs and written whole by the first:
-- * every big table is WITHOUT ROWID on the key in which it is read and written (one b-tree, no
--   index), and begins with the guest, so one guest's rows lie together: a run on one guest reads
--   nothing of the others, and removing a guest is a range;
-- * directories are numbered within their guest, which keeps the numbers in `name` short; a row never
--   changes its parent or its name, and numbers only grow, so a parent is always smaller;
-- * names and inodes are apart: linking changes the ctime of an inode, never that of a name;
-- * no "last seen" column: a run that finds nothing changed writes nothing here;
-- * 0 stands for "none" in a reference: it takes no byte.
-- Inode numbers and times are unsigned 64-bit values stored as the signed value of equal bits.

CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE guest (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  path TEXT NOT NULL,
  fs_id TEXT NOT NULL,
  ino INTEGER NOT NULL,
  domain TEXT NOT NULL,
  rules TEXT NOT NULL,           -- one a line
  trust INTEGER NOT NULL,
  registered_ns INTEGER NOT NULL,
  UNIQUE (fs_id, ino)
);

-- parent: 0 for the root, whose name is empty. flags: enum vu_dir_flag, those that outlive a run.
CREATE TABLE dir (
  guest INTEGER, id INTEGER, parent INTEGER, name BLOB,
  ino INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, flags INTEGER,
  n_unified INTEGER, n_other INTEGER, n_dirs INTEGER,
  PRIMARY KEY (guest, id)
) WITHOUT ROWID;

-- Names of private inodes.
CREATE TABLE name (
  guest INTEGER, dir INTEGER, name BLOB, ino INTEGER,
  PRIMARY KEY (guest, dir, name)
) WITHOUT ROWID;

-- Names of objects ("unified names"); ino is the object's, on the guest's file system.
CREATE TABLE uname (
  guest INTEGER, dir INTEGER, name BLOB, ino INTEGER,
  PRIMARY KEY (guest, dir, name)
) WITHOUT ROWID;

-- Private inodes. content 0: never read.
CREATE TABLE inode (
  guest INTEGER, ino INTEGER, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,
  attr INTEGER, content INTEGER, n_links INTEGER, skip INTEGER,
  PRIMARY KEY (guest, ino)
) WITHOUT ROWID;

-- One row a distinct content that was read. No index on the digest: it would cost as much again as
-- the table, and the only query by digest (`why`) can afford to read it all.
CREATE TABLE content (id INTEGER PRIMARY KEY, digest BLOB NOT NULL);

-- Distinct values of struct vu_attr. xattrs: a digest, NULL without any.
CREATE TABLE attr (
  id INTEGER PRIMARY KEY,
  mode INTEGER, uid INTEGER, gid INTEGER, flags INTEGER,
  "full" INTEGER, has_xattrs INTEGER, has_caps INTEGER, xattrs BLOB
);

CREATE TABLE fs (id INTEGER PRIMARY KEY, fs_id TEXT NOT NULL UNIQUE);

-- The pools' objects.
CREATE TABLE object (
  fs INTEGER, ino INTEGER, key BLOB, generation INTEGER,
  size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,
  attr INTEGER, content INTEGER, n_links INTEGER,
  PRIMARY KEY (fs, ino)
) WITHOUT ROWID;

-- ended_ns 0: it runs, or was killed. outcome: the exit status.
CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  verb TEXT NOT NULL, dry_run INTEGER NOT NULL,
  started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL, outcome INTEGER NOT NULL,
  guests INTEGER NOT NULL, files INTEGER NOT NULL, names INTEGER NOT NULL,
  read_files INTEGER NOT NULL, read_bytes INTEGER NOT NULL, hashed_bytes INTEGER NOT NULL,
  unified INTEGER NOT NULL, broken INTEGER NOT NULL, saved_bytes INTEGER NOT NULL,
  skipped INTEGER NOT NULL, warnings INTEGER NOT NULL
);

-- How each guest was left by the last run that looked at it.
CREATE TABLE guest_stat (
  guest INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  dirs INTEGER NOT NULL, unified INTEGER NOT NULL, unified_bytes INTEGER NOT NULL,
  private INTEGER NOT NULL, private_bytes INTEGER NOT NULL, other INTEGER NOT NULL,
  saved_bytes INTEGER NOT NULL
);

CREATE TABLE guest_skip (
  guest INTEGER, skip INTEGER, files INTEGER, bytes INTEGER,
  PRIMARY KEY (guest, skip)
) WITHOUT ROWID;

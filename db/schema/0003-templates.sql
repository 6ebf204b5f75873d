-- SPDX-License-Identifier: GPL-2.0-or-later
-- Version 3: guests that are templates, and what they had at each path.

ALTER TABLE guest ADD COLUMN template INTEGER NOT NULL DEFAULT 0;

-- When a template was noted last. No row: never.
CREATE TABLE template_note (guest INTEGER PRIMARY KEY, noted_ns INTEGER NOT NULL);

-- age 0: the file as it was noted last; 1 and above: what it was before, with the same packages.
-- ino, mtime_ns, ctime_ns: of age 0, by which it is known again without reading it; 0 where it is not to be.
-- packages: digest of what the path belongs to, with versions (ops/template-note.c).
CREATE TABLE template_file (
  guest INTEGER, path BLOB, age INTEGER,
  content BLOB, packages BLOB, size INTEGER,
  mode INTEGER, uid INTEGER, gid INTEGER, flags INTEGER, xattrs BLOB, has_caps INTEGER,
  ino INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,
  PRIMARY KEY (guest, path, age)
) WITHOUT ROWID;

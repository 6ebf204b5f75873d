-- SPDX-License-Identifier: GPL-2.0-or-later
-- Version 2: what was broken while a guest ran (vunify run, vunify cowd), and that no run has looked at since.
-- path: relative to the guest's root; empty: there was more than is told.

CREATE TABLE broken (
  guest INTEGER, path BLOB, broken_ns INTEGER,
  PRIMARY KEY (guest, path)
) WITHOUT ROWID;

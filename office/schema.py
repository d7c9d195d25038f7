"""The catalogue's tables. Times are UTC as records write them; `*_index` is a leaf of the office's log.

`loans.ends`: when the use that was planned is over: the planned end, the return, or the next issue, whichever is first;
`loans.met`: the camera's first signed word from a dock after that. `devices.contact`: its last word from a dock, which
it has been in since `docked_since`.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 2

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS devices (
  device TEXT PRIMARY KEY, head_seq INTEGER NOT NULL, head TEXT NOT NULL, handed_in TEXT NOT NULL, dock TEXT,
  docked_since TEXT, contact TEXT);
CREATE TABLE IF NOT EXISTS recordings (
  device TEXT, recording TEXT, boot TEXT, activity TEXT, started TEXT, clock_source TEXT, clock_error_ms INTEGER,
  parts INTEGER NOT NULL, ended TEXT, ended_by_set_clock INTEGER,
  frames_delivered INTEGER, frames_encoded INTEGER, frames_dropped INTEGER,
  signed INTEGER NOT NULL, seen TEXT NOT NULL, PRIMARY KEY (device, recording));
CREATE TABLE IF NOT EXISTS segments (
  device TEXT, recording TEXT, segment INTEGER, part INTEGER, closed INTEGER, from_ns INTEGER, to_ns INTEGER,
  frames INTEGER, samples INTEGER, ended TEXT, size INTEGER, sha256 TEXT,
  received TEXT, retain_until TEXT, leaf_index INTEGER, PRIMARY KEY (device, recording, segment));
CREATE INDEX IF NOT EXISTS segments_missing ON segments (device, recording) WHERE received IS NULL;
CREATE TABLE IF NOT EXISTS gaps (
  device TEXT, seq INTEGER, recording TEXT, after_part INTEGER, before_part INTEGER, cause TEXT,
  min_ms INTEGER, max_ms INTEGER, reason TEXT, PRIMARY KEY (device, seq));
CREATE TABLE IF NOT EXISTS notices (
  device TEXT, seq INTEGER, recording TEXT, attempt INTEGER, heard INTEGER, score_permille INTEGER,
  from_ns INTEGER, to_ns INTEGER, PRIMARY KEY (device, seq));
CREATE TABLE IF NOT EXISTS forks (
  device TEXT, sha256 TEXT, file INTEGER, size INTEGER, found TEXT, dock TEXT, PRIMARY KEY (device, sha256));
CREATE TABLE IF NOT EXISTS events (
  id TEXT, dock TEXT, camera TEXT, class TEXT, kind TEXT, seq INTEGER, verdict TEXT, received TEXT,
  payload BLOB, PRIMARY KEY (dock, id));
CREATE INDEX IF NOT EXISTS events_unverified ON events (camera) WHERE verdict = 'unverified';
CREATE INDEX IF NOT EXISTS events_openings ON events (camera) WHERE kind IN ('boot', 'summary');
CREATE TABLE IF NOT EXISTS alerts (
  device TEXT, sha256 TEXT, seq INTEGER, at TEXT, clock_source TEXT, what TEXT, recording TEXT, detail TEXT,
  signed INTEGER NOT NULL, told TEXT, handed_in TEXT, PRIMARY KEY (device, sha256));
CREATE TABLE IF NOT EXISTS unsigned (device TEXT, boot TEXT, name TEXT, PRIMARY KEY (device, boot, name));
CREATE TABLE IF NOT EXISTS docks (dock TEXT PRIMARY KEY, online INTEGER, seen TEXT);
CREATE TABLE IF NOT EXISTS exports (
  leaf_index INTEGER PRIMARY KEY, device TEXT, recording TEXT, by TEXT, reason TEXT, at TEXT, decrypted INTEGER,
  folder TEXT);
CREATE TABLE IF NOT EXISTS heads (device TEXT, seq INTEGER, leaf_index INTEGER, PRIMARY KEY (device, seq));
CREATE TABLE IF NOT EXISTS bays (
  dock TEXT, bay TEXT, online INTEGER NOT NULL, camera TEXT, since TEXT, PRIMARY KEY (dock, bay));
CREATE TABLE IF NOT EXISTS telemetry (dock TEXT, camera TEXT, payload BLOB, received TEXT, PRIMARY KEY (dock, camera));
CREATE TABLE IF NOT EXISTS loans (
  leaf_index INTEGER PRIMARY KEY, device TEXT, officer TEXT, issued TEXT, shift_end TEXT, dock TEXT, by TEXT,
  returned TEXT, ends TEXT, met TEXT);
CREATE INDEX IF NOT EXISTS loans_device ON loans (device, issued);
CREATE INDEX IF NOT EXISTS loans_open ON loans (device) WHERE met IS NULL;
CREATE TABLE IF NOT EXISTS remotes (
  leaf_index INTEGER PRIMARY KEY, device TEXT, since TEXT, until TEXT, reason TEXT, by TEXT, declared TEXT,
  returned TEXT);
CREATE INDEX IF NOT EXISTS remotes_device ON remotes (device, since);
CREATE TABLE IF NOT EXISTS orders (
  id TEXT PRIMARY KEY, act TEXT, device TEXT, recording TEXT, segment INTEGER, by TEXT, at TEXT, ended TEXT);
CREATE INDEX IF NOT EXISTS orders_open ON orders (id) WHERE ended IS NULL;
CREATE TABLE IF NOT EXISTS order_docks (
  id TEXT, dock TEXT, sent TEXT, result TEXT, code TEXT, detail TEXT, PRIMARY KEY (id, dock));
"""

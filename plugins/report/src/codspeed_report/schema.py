"""The tables of the index and the version of their layout.

Rows are keyed (run, series, part) and written run by run, so that a run lies together on disk: two
runs are compared by two range scans. `result_by_series` is a covering index for the history of one
series. Measured beside two other layouts: a million rows fill and read this way in the least time.
Samples, windows and profiles stay in the bundles; the index can be made anew from them at any time.
"""

from __future__ import annotations

from typing import Final

# PRAGMA user_version. An index of an older version is made anew from the bundles.
# History: 1 first version.
SCHEMA_VERSION: Final = 1

# PRAGMA application_id: "CODS". A database with another one is not ours and is never touched.
APPLICATION_ID: Final = 0x434F4453

CREATE: Final = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};

-- Machines, each once. `hash` is SHA-256 of `fields`, JSON with sorted keys.
CREATE TABLE fingerprint (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    fields TEXT NOT NULL
);

-- Runs. `run_id` is the bundle's identity and sorts by time; `id` is the order of storing.
-- `folder` is the bundle's name in `bundles/`, `profile_bytes` what its profiles took when stored.
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    folder TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    repository TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    commit_time INTEGER NOT NULL,
    branch TEXT NOT NULL,
    base TEXT NOT NULL,
    dirty INTEGER NOT NULL,
    provider TEXT NOT NULL,
    event TEXT NOT NULL,
    variant TEXT NOT NULL,
    fingerprint INTEGER NOT NULL REFERENCES fingerprint (id),
    codspeed TEXT NOT NULL,
    exit_code INTEGER NOT NULL,
    benchmarks INTEGER NOT NULL,
    profile_bytes INTEGER NOT NULL
);
CREATE INDEX run_by_commit ON run (commit_id, run_id);
CREATE INDEX run_by_branch ON run (branch, run_id);
CREATE INDEX run_by_folder ON run (folder);

CREATE TABLE part (
    run INTEGER NOT NULL REFERENCES run (id),
    position INTEGER NOT NULL,
    executor TEXT NOT NULL,
    mode TEXT NOT NULL,
    model TEXT NOT NULL,
    label TEXT NOT NULL,
    status INTEGER,
    interrupted INTEGER NOT NULL,
    refuses TEXT NOT NULL,
    warns TEXT NOT NULL,
    error TEXT NOT NULL,
    error_slug TEXT NOT NULL,
    PRIMARY KEY (run, position)
) WITHOUT ROWID;

-- What a number is. The columns below `direction` are for display; the newest spelling stays.
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    uri TEXT NOT NULL,
    executor TEXT NOT NULL,
    metric TEXT NOT NULL,
    variant TEXT NOT NULL,
    model TEXT NOT NULL,
    unit TEXT NOT NULL,
    kind TEXT NOT NULL,
    direction TEXT NOT NULL,
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    headline INTEGER NOT NULL,
    UNIQUE (uri, executor, metric, variant, model, unit, kind, direction)
);

-- Numbers, in the unit of their series. `value` is NULL if it was not a number.
CREATE TABLE result (
    run INTEGER NOT NULL REFERENCES run (id),
    series INTEGER NOT NULL REFERENCES series (id),
    part INTEGER NOT NULL,
    value REAL,
    q1 REAL,
    q3 REAL,
    low REAL,
    rounds REAL,
    PRIMARY KEY (run, series, part)
) WITHOUT ROWID;
CREATE INDEX result_by_series ON result (series, run, value);

CREATE TABLE note (
    run INTEGER NOT NULL REFERENCES run (id),
    executor TEXT NOT NULL,
    uri TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX note_by_run ON note (run);
"""

ADD_FINGERPRINT: Final = "INSERT OR IGNORE INTO fingerprint (hash, fields) VALUES (?, ?)"

ADD_RUN: Final = """
INSERT OR IGNORE INTO run (
    run_id, folder, created_ns, repository, commit_id, commit_time, branch, base, dirty, provider,
    event, variant, codspeed, exit_code, benchmarks, profile_bytes, fingerprint
) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, id FROM fingerprint WHERE hash = ?
"""

ADD_PART: Final = "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

ADD_SERIES: Final = """
INSERT INTO series (
    uri, executor, metric, variant, model, unit, kind, direction, name, label, headline
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET name = excluded.name, label = excluded.label, headline = excluded.headline
WHERE (name, label, headline) != (excluded.name, excluded.label, excluded.headline)
"""

# OR REPLACE: of a benchmark that a part measured twice the last number stays, and a note tells.
ADD_RESULT: Final = """
INSERT OR REPLACE INTO result (run, part, value, q1, q3, low, rounds, series)
SELECT ?, ?, ?, ?, ?, ?, ?, id FROM series
WHERE (uri, executor, metric, variant, model, unit, kind, direction) = (?, ?, ?, ?, ?, ?, ?, ?)
"""

ADD_NOTE: Final = "INSERT INTO note VALUES (?, ?, ?, ?)"

READ_RUN: Final = """
SELECT run.id, run_id, created_ns, commit_id, branch, dirty, variant, fields, exit_code
FROM run JOIN fingerprint ON fingerprint.id = run.fingerprint WHERE run_id = ?
"""

READ_PARTS: Final = """
SELECT position, executor, mode, model, label, refuses, warns, error
FROM part WHERE run = ? ORDER BY position
"""

READ_SERIES: Final = """
SELECT id, uri, executor, metric, model, unit, kind, direction, name, label, headline
FROM series WHERE id IN (SELECT series FROM result WHERE run = ?)
"""

READ_RESULTS: Final = """
SELECT series, part, value, q1, q3, low, rounds FROM result WHERE run = ? ORDER BY series, part
"""

READ_NOTES: Final = "SELECT executor, uri, text FROM note WHERE run = ? ORDER BY rowid"

LIST_RUNS: Final = """
SELECT run_id, created_ns, commit_id, branch, dirty, variant, exit_code, benchmarks, profile_bytes,
    (SELECT group_concat(DISTINCT mode) FROM part WHERE run = run.id)
FROM run ORDER BY run_id DESC LIMIT ?
"""

NEWEST_RUN: Final = """
SELECT run_id FROM run WHERE EXISTS (SELECT 1 FROM result WHERE run = run.id)
ORDER BY run_id DESC LIMIT 1
"""

# The inner query ends at the first shared benchmark, so it is slow only where nothing is shared.
NEWEST_SHARING: Final = """
SELECT run_id FROM run AS earlier WHERE run_id < :head AND EXISTS (
    SELECT 1 FROM result AS theirs
    JOIN series ON series.id = theirs.series
    JOIN series AS same
        ON same.uri = series.uri AND same.executor = series.executor
        AND same.variant = series.variant
    JOIN result AS ours ON ours.series = same.id
        AND ours.run = (SELECT id FROM run WHERE run_id = :head)
    WHERE theirs.run = earlier.id
) ORDER BY run_id DESC LIMIT 1
"""

# Exact names first: whoever writes a whole name means it, even if it begins another one.
MATCH_EXACT: Final = """
SELECT CASE WHEN run_id = :text THEN 'run' WHEN commit_id = :text THEN 'commit' ELSE 'branch' END,
    run_id, commit_id, branch
FROM run WHERE (run_id = :text OR commit_id = :text OR branch = :text) AND run_id != :other
ORDER BY run_id DESC
"""

MATCH_PREFIX: Final = """
SELECT CASE WHEN substr(run_id, 1, length(:text)) = :text THEN 'run' ELSE 'commit' END,
    run_id, commit_id, branch
FROM run WHERE (substr(run_id, 1, length(:text)) = :text
    OR substr(commit_id, 1, length(:text)) = :text) AND run_id != :other
ORDER BY run_id DESC
"""

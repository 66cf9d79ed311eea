-- Format 3.

-- Which database this is, so that its artifacts are told from another's. One row.
CREATE TABLE identity (
    id TEXT NOT NULL
) STRICT;
INSERT INTO identity (id) VALUES (lower(hex(randomblob(16))));

-- Durations are differences of the farm's own clock: see `times.rs`.
ALTER TABLE job ADD COLUMN submitted_elapsed REAL NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN ended REAL;
ALTER TABLE job ADD COLUMN ended_elapsed REAL;
ALTER TABLE job ADD COLUMN totals TEXT;   -- where the time went, of a job that has ended
ALTER TABLE attempt ADD COLUMN begun_elapsed REAL;

-- Where the volume of an output folder was mounted when files were last written to it.
CREATE TABLE output_mount (
    folder TEXT PRIMARY KEY,
    mount TEXT NOT NULL
) STRICT;

-- Tokens of the text that an attempt encoded.
ALTER TABLE attempt ADD COLUMN text_tokens INTEGER;
ALTER TABLE worker ADD COLUMN seen_elapsed REAL NOT NULL DEFAULT 0;

-- Where a job's files go, what becomes of names that are taken, and what each file held when it was written.
ALTER TABLE job ADD COLUMN output TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN report TEXT NOT NULL DEFAULT 'report.json';
ALTER TABLE job ADD COLUMN taken TEXT NOT NULL DEFAULT 'refuse';
ALTER TABLE video DROP COLUMN files;
ALTER TABLE video ADD COLUMN written TEXT;

-- What the client asked for, so that its key stands for nothing else.
ALTER TABLE job ADD COLUMN asked TEXT NOT NULL DEFAULT '';

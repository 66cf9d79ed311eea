-- Format 7.

-- When a worker first began to compute a video, and when it ended.
ALTER TABLE video ADD COLUMN started REAL;
ALTER TABLE video ADD COLUMN ended REAL;

-- What happened, the newest of it. It outlives the jobs and workers that it tells of.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    job INTEGER,
    video INTEGER,            -- by its place in the manifest
    worker TEXT,
    name TEXT,
    asker TEXT,
    old TEXT,
    new TEXT,
    detail TEXT
) STRICT;
CREATE INDEX event_of_job ON event (job, id);

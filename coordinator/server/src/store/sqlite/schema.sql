-- Format 1. Later formats are reached by migrations beside this file, never by editing it.
-- Lists and settings are JSON; whatever the database itself must compare, count or follow is a column.

CREATE TABLE model (
    name TEXT PRIMARY KEY,
    info TEXT NOT NULL
) STRICT;

CREATE TABLE weights (
    model TEXT NOT NULL REFERENCES model,
    role TEXT NOT NULL,
    weights TEXT NOT NULL,
    files TEXT NOT NULL,
    PRIMARY KEY (model, role, weights)
) STRICT;

CREATE TABLE image (
    digest TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL
) STRICT;

CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    device TEXT NOT NULL
) STRICT;

CREATE TABLE worker_state (
    worker TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    draining INTEGER NOT NULL,
    set_aside TEXT
) STRICT;

CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    client_key TEXT UNIQUE,
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    priority INTEGER NOT NULL,
    early_look INTEGER NOT NULL,
    submitted REAL NOT NULL,
    resolved INTEGER NOT NULL DEFAULT 0,
    plan TEXT,                -- without its videos
    state TEXT,
    held TEXT,
    reported REAL
) STRICT;

CREATE TABLE video (
    job INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    place INTEGER NOT NULL,   -- in the manifest
    request TEXT NOT NULL,
    number INTEGER,           -- in the plan; none for a video that was refused
    spec TEXT,
    refused TEXT,
    plan TEXT,
    state TEXT,
    failure TEXT,
    files TEXT,
    verdict TEXT,
    seconds REAL,
    PRIMARY KEY (job, place),
    UNIQUE (job, number)
) STRICT;

CREATE TABLE pin (
    job INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    role TEXT NOT NULL,
    weights TEXT NOT NULL,
    PRIMARY KEY (job, role)
) STRICT;

CREATE TABLE text_artifact (
    text TEXT PRIMARY KEY,
    tensors TEXT NOT NULL
) STRICT;

CREATE TABLE image_artifact (
    job INTEGER NOT NULL,
    video INTEGER NOT NULL,
    tensors TEXT NOT NULL,
    PRIMARY KEY (job, video),
    FOREIGN KEY (job, video) REFERENCES video (job, number) ON DELETE CASCADE
) STRICT;

CREATE TABLE checkpoint (
    job INTEGER NOT NULL,
    video INTEGER NOT NULL,
    steps_done INTEGER NOT NULL,
    tensors TEXT NOT NULL,
    PRIMARY KEY (job, video, steps_done),
    FOREIGN KEY (job, video) REFERENCES video (job, number) ON DELETE CASCADE
) STRICT;

CREATE TABLE attempt (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL,
    video INTEGER NOT NULL,
    stage TEXT NOT NULL,
    first_step INTEGER NOT NULL,
    end_step INTEGER NOT NULL,
    text TEXT,
    worker TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    begun REAL,
    waited REAL,
    outcome TEXT,             -- none while it is out
    failure TEXT,
    ran_first INTEGER,
    ran_end INTEGER,
    seconds REAL,
    step_seconds TEXT,
    input_wait_seconds REAL,
    FOREIGN KEY (job, video) REFERENCES video (job, number) ON DELETE CASCADE
) STRICT;

CREATE INDEX attempt_of_video ON attempt (job, video);

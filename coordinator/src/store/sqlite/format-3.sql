-- Format 3.

-- Which database this is, so that its artifacts are told from another's. One row.
CREATE TABLE identity (
    id TEXT NOT NULL
) STRICT;

-- Format 10: who is told of what happens.
CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    kinds TEXT NOT NULL,      -- as a JSON list
    created REAL NOT NULL,
    told INTEGER NOT NULL     -- the last event that needs not be told any more
) STRICT;

-- What needs a person. `about_key` says what "the same thing" is: while one is open, a repeat counts up.
CREATE TABLE exceptions (
    id TEXT NOT NULL PRIMARY KEY,
    about_key TEXT NOT NULL,
    class TEXT NOT NULL,
    severity BIGINT NOT NULL,               -- 1 (look when you can) to 4 (now)
    title TEXT NOT NULL,
    owner TEXT NOT NULL,                    -- role
    about TEXT,
    state TEXT NOT NULL,                    -- open | resolved
    occurrences BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    resolution TEXT,
    resolved_by TEXT,
    resolved_at BIGINT
);
CREATE UNIQUE INDEX exceptions_open ON exceptions (about_key) WHERE state = 'open';
CREATE INDEX exceptions_state ON exceptions (state, id);

-- The newest occurrences of each, with what was known at the time.
CREATE TABLE occurrences (
    seq AUTO_KEY,
    exception_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    about TEXT,
    details TEXT NOT NULL
);
CREATE INDEX occurrences_exception ON occurrences (exception_id, seq);

-- Parameters that were published beside those shipped with the program. Written once, never changed.
CREATE TABLE model_versions (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    parameters TEXT NOT NULL,               -- the whole file
    digest TEXT NOT NULL,
    comparison TEXT NOT NULL,               -- JSON: what it and the version before it reached on the same cases
    reason TEXT,                            -- why it was published although it measured worse
    published_by TEXT NOT NULL,
    published_at BIGINT NOT NULL,
    PRIMARY KEY (model, version)
);
-- Which version answers; without a row, the shipped one. What stood here before is in the audit trail.
CREATE TABLE model_active (
    model TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    since BIGINT NOT NULL
);
-- Requests with known outcomes, in named sets: what versions are compared on and fitted to.
CREATE TABLE model_cases (
    id TEXT NOT NULL PRIMARY KEY,
    model TEXT NOT NULL,
    case_set TEXT NOT NULL,
    body TEXT NOT NULL,                     -- {request, outcome}
    kept_by TEXT NOT NULL,
    kept_at BIGINT NOT NULL
);
CREATE INDEX model_cases_set ON model_cases (model, case_set, id);

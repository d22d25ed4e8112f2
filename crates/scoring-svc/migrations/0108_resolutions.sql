-- Resolved cases that a model has learnt from, so that a version that is published later learns from them too.
CREATE TABLE resolutions (
    id TEXT NOT NULL PRIMARY KEY,           -- in the order of the telling
    model TEXT NOT NULL,
    body TEXT NOT NULL,                     -- {request, outcome}
    told_by TEXT NOT NULL,
    told_at BIGINT NOT NULL
);
CREATE INDEX resolutions_model ON resolutions (model, id);

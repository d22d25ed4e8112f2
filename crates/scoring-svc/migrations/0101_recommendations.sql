-- What a model recommended, so that the outcome can be matched to it later. Written once, never changed.
CREATE TABLE recommendations (
    id TEXT NOT NULL PRIMARY KEY,
    model TEXT NOT NULL,                    -- replenishment-priority@1
    product TEXT NOT NULL,
    location TEXT NOT NULL,
    score BIGINT NOT NULL,                  -- millionths
    action TEXT NOT NULL,                   -- transfer | purchase | none
    quantity DOUBLE PRECISION NOT NULL,
    facts_hash TEXT NOT NULL,
    answer TEXT NOT NULL,                   -- the whole answer as it was given
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    valid_until BIGINT NOT NULL
);
CREATE INDEX recommendations_place ON recommendations (product, location, id);

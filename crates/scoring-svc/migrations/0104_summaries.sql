-- Summaries of exceptions, and what left the house for them. The receipt is written before anything leaves.
CREATE TABLE summaries (
    id TEXT NOT NULL PRIMARY KEY,
    request TEXT NOT NULL,                  -- the exception and its facts
    state TEXT NOT NULL,                    -- pending | done
    source TEXT NOT NULL,                   -- template | endpoint
    text TEXT NOT NULL,
    dropped TEXT NOT NULL,                  -- JSON: sentences that said more than the facts
    fallback TEXT,                          -- why the template stands although an endpoint was asked
    receipt TEXT,                           -- JSON: which fields left, their hash, when, to where
    operation_id TEXT,
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL
);

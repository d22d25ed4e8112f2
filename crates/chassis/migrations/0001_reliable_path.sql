-- The reliable path: what every service keeps beside its own tables. See ARCHITECTURE.md, "The reliable path".

-- Everything that leaves a service: events for the bus and effects for executors.
CREATE TABLE outbox (
    seq AUTO_KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,                     -- event | effect
    destination TEXT NOT NULL,              -- 'bus', or the executor's name
    order_key TEXT NOT NULL,                -- rows of one destination and key leave in order of seq
    about TEXT NOT NULL,                    -- event type, or what the effect is about
    payload TEXT NOT NULL,
    traceparent TEXT,
    correlation_id TEXT,
    causation_id TEXT,
    coalesce_key TEXT,                      -- while unclaimed, a second row with this key is not added
    at_stake_minor BIGINT,
    at_stake_currency TEXT,
    state TEXT NOT NULL DEFAULT 'pending',  -- pending | done | dead | discarded
    attempts BIGINT NOT NULL DEFAULT 0,
    doubts BIGINT NOT NULL DEFAULT 0,       -- attempts whose end is not known
    next_attempt_at BIGINT NOT NULL,
    claim TEXT,
    claimed_until BIGINT,
    first_failed_at BIGINT,
    last_failed_at BIGINT,
    last_error TEXT,
    result TEXT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX outbox_due ON outbox (destination, next_attempt_at) WHERE state = 'pending';
CREATE INDEX outbox_unfinished ON outbox (destination, order_key, seq) WHERE state = 'pending' OR state = 'dead';
CREATE UNIQUE INDEX outbox_coalesced ON outbox (destination, coalesce_key) WHERE state = 'pending' AND attempts = 0;
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE state = 'done' OR state = 'discarded';

-- Events that arrived. A row outlives the longest replay, so that a repeat is known as one.
CREATE TABLE inbox (
    seq AUTO_KEY,
    event_id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    message TEXT NOT NULL,                  -- the event as JSON; base64 of the raw bytes when it cannot be decoded
    state TEXT NOT NULL,                    -- done | pending | dead | discarded
    attempts BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT NOT NULL,
    claim TEXT,
    claimed_until BIGINT,
    first_failed_at BIGINT,
    last_failed_at BIGINT,
    last_error TEXT,
    received_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX inbox_pending ON inbox (subject, seq) WHERE state = 'pending';
CREATE INDEX inbox_dead ON inbox (seq) WHERE state = 'dead';

-- Answers to commands, so that a repeated request gets the first answer.
CREATE TABLE idempotency (
    scope TEXT NOT NULL,                    -- caller and route
    idempotency_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status BIGINT NOT NULL,
    body TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (scope, idempotency_key)
);
CREATE INDEX idempotency_expired ON idempotency (expires_at);

-- Work that one replica does at a time. The fence grows with every new holder.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    fence BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Who did what, append-only.
CREATE TABLE audit (
    seq AUTO_KEY,
    id TEXT NOT NULL UNIQUE,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    trace_id TEXT,
    correlation_id TEXT,
    details TEXT NOT NULL
);
CREATE INDEX audit_subject ON audit (subject, seq);
CREATE INDEX audit_correlation ON audit (correlation_id, seq);

-- Approval requests. What was asked never changes and lies in `document`; where it stands lies in `state`. The other
-- columns repeat what lists, timers and the scope of a caller select by.
CREATE TABLE requests (
    id TEXT NOT NULL PRIMARY KEY,           -- UUIDv7: sorts by the time of asking
    reference TEXT UNIQUE,                  -- natural key of the business; holds for ever
    requested_by TEXT NOT NULL,             -- key:n8n | person:olga
    status TEXT NOT NULL,                   -- waiting | approved | denied | expired | withdrawn | sent_back
    version BIGINT NOT NULL,                -- grows with every transition
    from_location TEXT,
    from_region TEXT,
    to_location TEXT,
    to_region TEXT,
    at_stake_minor BIGINT,
    at_stake_currency TEXT,
    waiting_costs_minor BIGINT,             -- per hour
    waiting_costs_currency TEXT,
    decide_by_at BIGINT,                    -- when the open step times out
    wake_at BIGINT,                         -- when time changes something next; NULL once it is over
    document TEXT NOT NULL,
    state TEXT NOT NULL,
    grant_id TEXT,
    grant_token TEXT,
    traceparent TEXT,
    correlation_id TEXT,
    created_at BIGINT NOT NULL,
    decided_at BIGINT
);
CREATE INDEX requests_due ON requests (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX requests_status ON requests (status, id);

-- Who was told of a request: they may look at it wherever their roles reach.
CREATE TABLE asked (
    request_id TEXT NOT NULL,
    person TEXT NOT NULL,
    PRIMARY KEY (request_id, person)
);

-- Where a decision is delivered. A repeated request may bring another address, as a retried workflow does.
CREATE TABLE callbacks (
    request_id TEXT NOT NULL,
    url TEXT NOT NULL,
    PRIMARY KEY (request_id, url)
);

-- How far people's authority goes, and what it was used for.

-- One person acts for another from starts_at until, but not at, ends_at. `document` holds the whole of it.
CREATE TABLE delegations (
    id TEXT NOT NULL PRIMARY KEY,           -- UUIDv7: sorts by the time of lending
    delegator TEXT NOT NULL,
    delegate TEXT NOT NULL,
    document TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_by TEXT
);
CREATE INDEX delegations_alive ON delegations (ends_at) WHERE revoked_at IS NULL;

-- Rows to lock: one for each person's budget, each role's overrides, and the web of delegations.
CREATE TABLE authority_locks (
    name TEXT NOT NULL PRIMARY KEY
);

-- What people approved, and what was approved on their authority: the ledger that rolling limits are counted from.
CREATE TABLE approvals_given (
    id TEXT NOT NULL PRIMARY KEY,
    person TEXT NOT NULL,                   -- who approved, or on whose authority somebody did
    request_id TEXT NOT NULL,
    matter TEXT NOT NULL,
    given_at BIGINT NOT NULL
);
CREATE INDEX approvals_given_person ON approvals_given (person, given_at);
CREATE INDEX approvals_given_request ON approvals_given (request_id);

-- Requests as patterns are looked for in, a row for each of the people behind them or for the program.
CREATE TABLE askers (
    request_id TEXT NOT NULL,
    requester TEXT NOT NULL,                -- person:mia | key:n8n
    past TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    approved_at BIGINT,
    PRIMARY KEY (request_id, requester)
);
CREATE INDEX askers_requester ON askers (requester, asked_at);

-- Chains of documents: a request and the earlier ones it belongs to.
CREATE TABLE related (
    request_id TEXT NOT NULL,
    earlier_id TEXT NOT NULL,
    PRIMARY KEY (request_id, earlier_id)
);
CREATE INDEX related_earlier ON related (earlier_id);

-- Who was called in to a step because those whom the policy asks lack the authority.
CREATE TABLE called_in (
    request_id TEXT NOT NULL,
    step BIGINT NOT NULL,
    person TEXT NOT NULL,
    PRIMARY KEY (request_id, step, person)
);

-- What looks wrong about a request, once for each pattern.
CREATE TABLE suspicions (
    request_id TEXT NOT NULL,
    pattern TEXT NOT NULL,
    evidence TEXT NOT NULL,
    found_at BIGINT NOT NULL,
    PRIMARY KEY (request_id, pattern)
);

-- Overrides and the reviews that they owe.
CREATE TABLE overrides (
    request_id TEXT NOT NULL PRIMARY KEY,
    person TEXT NOT NULL,
    role TEXT NOT NULL,
    reviewer_role TEXT NOT NULL,
    reason TEXT NOT NULL,
    ticket TEXT NOT NULL,
    value_minor BIGINT NOT NULL,
    value_currency TEXT NOT NULL,
    overridden_at BIGINT NOT NULL,
    review_by_at BIGINT NOT NULL,
    overdue_told_at BIGINT,                 -- when somebody was told that nobody has reviewed it in time
    reviewed_at BIGINT,
    reviewed_by TEXT,
    verdict TEXT,                           -- justified | unjustified
    comment TEXT
);
CREATE INDEX overrides_owed ON overrides (review_by_at) WHERE reviewed_at IS NULL;

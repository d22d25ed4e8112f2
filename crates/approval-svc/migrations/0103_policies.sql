-- Published policies and overlays. A version never changes; the one that came in a file is kept like all others as soon as
-- it judges, so that every decision can be replayed.
CREATE TABLE policy_versions (
    policy TEXT NOT NULL,
    version BIGINT NOT NULL,
    digest TEXT NOT NULL,
    document TEXT NOT NULL,
    findings TEXT NOT NULL,                 -- the warnings it was published with
    published_by TEXT NOT NULL,             -- person:olga | key:ci | file
    published_at BIGINT NOT NULL,
    PRIMARY KEY (policy, version)
);

-- Which version judges. A base policy that is not here is judged by the file's.
CREATE TABLE policy_active (
    policy TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    since BIGINT NOT NULL
);

-- One row: grows with every change of the above, so that replicas see in one look whether there is anything new, and two
-- changes at once do not meet unchecked.
CREATE TABLE policy_generation (
    one BIGINT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL
);
INSERT INTO policy_generation (one, generation) VALUES (1, 0);

-- What a replay needs of every request that ended: small, because a hundred thousand are read at once.
CREATE TABLE decided (
    request_id TEXT NOT NULL PRIMARY KEY,
    ended_at BIGINT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX decided_by_end ON decided (ended_at, request_id);

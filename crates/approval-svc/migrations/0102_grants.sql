-- Grants that nobody has used yet. A row goes when the grant is used, or when it ran out and a person is told: somebody
-- approved, and nothing came of it.
CREATE TABLE unused_grants (
    grant_id TEXT NOT NULL PRIMARY KEY,
    request_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX unused_grants_expired ON unused_grants (expires_at);

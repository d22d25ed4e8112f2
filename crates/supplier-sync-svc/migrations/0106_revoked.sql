-- Grants that approval-svc took back before they were used; kept until they would have run out by themselves.
CREATE TABLE revoked_grants (
    grant_id TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    revoked_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Grants that were taken back. The token stays for the evidence; the request has it no longer, so nobody gets it.
CREATE TABLE revoked_grants (
    grant_id TEXT NOT NULL PRIMARY KEY,
    request_id TEXT NOT NULL,
    token TEXT NOT NULL,
    reason TEXT NOT NULL,
    revoked_by TEXT NOT NULL,               -- person:olga | key:n8n
    revoked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX revoked_grants_request ON revoked_grants (request_id);

-- A 202 says that a push arrived; a receipt says that its case was brought to an end. Who owes one is here, until the
-- receipt comes or a person is told that it does not.
CREATE TABLE awaited (
    subscription_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,                     -- pushed again as it was
    traceparent TEXT,
    correlation_id TEXT,
    patience BIGINT NOT NULL,               -- microseconds of silence that are borne
    pushes BIGINT NOT NULL,
    last_sign TEXT,                         -- type of the latest event by which the case was seen to go on
    last_sign_at BIGINT,
    quiet_until_at BIGINT,                  -- until then others have the case, and silence means nothing
    due_at BIGINT,                          -- when it is pushed again; NULL while a push is under way
    created_at BIGINT NOT NULL,
    PRIMARY KEY (subscription_id, event_id)
);
CREATE INDEX awaited_due ON awaited (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX awaited_thread ON awaited (correlation_id);

ALTER TABLE subscriptions ADD COLUMN receipt_within_seconds BIGINT;

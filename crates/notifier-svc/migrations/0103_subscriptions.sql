-- Who is pushed which events. Subscriptions of the configuration are not here.
CREATE TABLE subscriptions (
    id TEXT NOT NULL PRIMARY KEY,
    types TEXT NOT NULL,                    -- JSON list of event types
    url TEXT NOT NULL,
    secret TEXT NOT NULL,                   -- whsec_...
    header_name TEXT,
    header_value TEXT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Receivers that said 410 Gone; also those of the configuration. Bound to the URL: a new one is another receiver.
CREATE TABLE disabled_subscriptions (
    subscription_id TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    cause TEXT NOT NULL,
    disabled_at BIGINT NOT NULL
);

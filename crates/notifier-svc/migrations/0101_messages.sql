-- What was to be told to whom. One row per message; its recipients change together with its state, so they are one
-- JSON column and not a table of their own.
CREATE TABLE messages (
    id TEXT NOT NULL PRIMARY KEY,
    template TEXT NOT NULL,
    audience TEXT NOT NULL,                 -- as asked for: {"person":..} | {"role":..,"location":..} | {"supplier":..}
    reference TEXT,                         -- the business's own name of it; with template and audience it is unique
    state TEXT NOT NULL,                    -- accepted | sent | failed
    recipients TEXT NOT NULL,               -- [{"recipient","name","state","operation","cause"?,"settled_at"?}]
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX messages_reference ON messages (template, audience, reference) WHERE reference IS NOT NULL;

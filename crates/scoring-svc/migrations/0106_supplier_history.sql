-- What was told of order lines, one row per telling: a line that was told otherwise later has several. Written once,
-- never changed; the oldest lines go when there are more tellings than the service keeps.
CREATE TABLE deliveries (
    supplier TEXT NOT NULL,
    line TEXT NOT NULL,                     -- the line's id in the caller's system
    telling BIGINT NOT NULL,                -- 1, 2, ... within the line
    known TEXT NOT NULL,                    -- day on which it became known
    body TEXT NOT NULL,                     -- the delivery as JSON
    told_by TEXT NOT NULL,
    told_at BIGINT NOT NULL,
    PRIMARY KEY (supplier, line, telling)
);
CREATE INDEX deliveries_known ON deliveries (known);
-- One row: counts what was told, so that a replica sees at once whether it must read again. Held by who tells.
CREATE TABLE deliveries_told (
    only_row BIGINT NOT NULL PRIMARY KEY,
    changes BIGINT NOT NULL,
    kept BIGINT NOT NULL                    -- tellings in the table
);
-- Judgements of order lines that are measured by what became of the line. The first of a day stands.
CREATE TABLE delivery_forecasts (
    supplier TEXT NOT NULL,
    line TEXT NOT NULL,
    day TEXT NOT NULL,                      -- day of the judgement's as_of
    model TEXT NOT NULL,                    -- supplier-risk@1
    score BIGINT NOT NULL,                  -- millionths
    promised TEXT NOT NULL,
    slack_days BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (supplier, line, day, model)
);
CREATE INDEX delivery_forecasts_made ON delivery_forecasts (made_at);

-- What is known of a series of sales: the model's state after its last bucket, of constant size.
CREATE TABLE demand_series (
    product TEXT NOT NULL,
    location TEXT NOT NULL,
    grain TEXT NOT NULL,                    -- day | week
    parameters TEXT NOT NULL,               -- digest of those that the state was made with; empty before the first bucket
    series TEXT NOT NULL,                   -- JSON: the state, its first and last bucket, the latest answers
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (product, location, grain)
);

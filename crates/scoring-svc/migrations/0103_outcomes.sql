-- Forecast probability of a stock-out when nothing is done, and when the recommendation is followed.
ALTER TABLE recommendations ADD COLUMN forecast DOUBLE PRECISION;
ALTER TABLE recommendations ADD COLUMN forecast_followed DOUBLE PRECISION;
CREATE INDEX recommendations_made ON recommendations (made_at);
-- What became of a recommendation, one row per stage. Written once, never changed.
CREATE TABLE outcomes (
    recommendation_id TEXT NOT NULL,
    stage TEXT NOT NULL,                    -- approved | executed | realised
    at BIGINT NOT NULL,
    body TEXT NOT NULL,                     -- the stage's own fields, with `stage` among them
    recorded_by TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (recommendation_id, stage)
);

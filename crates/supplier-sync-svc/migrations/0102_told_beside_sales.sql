-- What tills and planners know beside the units. Rows from before say nothing of it: regular price, not advertised.
ALTER TABLE sales ADD COLUMN price_share DOUBLE PRECISION NOT NULL DEFAULT 1.0;
ALTER TABLE sales ADD COLUMN advertised BIGINT NOT NULL DEFAULT 0;
ALTER TABLE planned_promotions ADD COLUMN price_share DOUBLE PRECISION NOT NULL DEFAULT 1.0;
ALTER TABLE planned_promotions ADD COLUMN advertised BIGINT NOT NULL DEFAULT 0;
ALTER TABLE products ADD COLUMN salvage_minor BIGINT;
ALTER TABLE products ADD COLUMN salvage_currency TEXT;
ALTER TABLE products ADD COLUMN unit_volume_litres DOUBLE PRECISION;

-- Days that are not as the week says: holidays (1), and Saturdays or Sundays that are working days (0).
CREATE TABLE holidays (
    location TEXT NOT NULL,
    day BIGINT NOT NULL,
    holiday BIGINT NOT NULL,
    PRIMARY KEY (location, day)
);

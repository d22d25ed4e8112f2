-- Since when a level is at or below its reorder point; means nothing while it is above. Of falls from before nobody
-- noted the moment, so they count from the last look.
ALTER TABLE stock ADD COLUMN low_since BIGINT NOT NULL DEFAULT 0;
UPDATE stock SET low_since = observed_at;

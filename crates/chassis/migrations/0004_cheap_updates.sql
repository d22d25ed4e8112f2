-- A claim changes no column that an index knows, so PostgreSQL writes the new version of the row into the same page and
-- touches no index at all; for that, pages keep room. (`attempts` stood in the condition of outbox_coalesced.)
ALTER TABLE outbox ADD COLUMN coalescing BIGINT NOT NULL DEFAULT 0; -- 1 = a second row with its coalesce_key is not added
UPDATE outbox SET coalescing = 1 WHERE state = 'pending' AND attempts = 0 AND coalesce_key IS NOT NULL;
DROP INDEX outbox_coalesced;
CREATE UNIQUE INDEX outbox_coalesced ON outbox (destination, coalesce_key) WHERE state = 'pending' AND coalescing = 1;
-- postgres: ALTER TABLE outbox SET (fillfactor = 50);
-- Housekeeping walks the oldest rows; an index for it alone would be written with every row that ends.
DROP INDEX outbox_finished;
DROP INDEX inbox_finished;

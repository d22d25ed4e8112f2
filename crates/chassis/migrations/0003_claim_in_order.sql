-- Claims walk what waits in its order and stop at their limit. `seq + 0`, because an index on an expression serves that
-- order alone: given the choice, PostgreSQL without fresh statistics walks the primary key through all that was ever
-- done, or sorts and joins the whole backlog.
DROP INDEX outbox_due;
CREATE INDEX outbox_waiting ON outbox (destination, (seq + 0), next_attempt_at) WHERE state = 'pending';
-- What is not finished is pending. The condition is another than inbox_pending's, so that neither index fits both lookups.
CREATE INDEX inbox_waiting ON inbox (state, (seq + 0), next_attempt_at) WHERE finished_at IS NULL;

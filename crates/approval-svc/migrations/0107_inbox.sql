-- What an inbox is ordered by: money lost per hour of waiting and approval that is still needed, in the currency of the
-- policy that judged, because amounts of different currencies say nothing beside each other. NULL where nobody said what
-- waiting costs, or the policy states no rate; what waits from before this migration was converted by nobody.
DROP INDEX requests_inbox;
ALTER TABLE requests DROP COLUMN urgency;
ALTER TABLE requests ADD COLUMN loses_minor BIGINT;
ALTER TABLE requests ADD COLUMN loses_currency TEXT;
CREATE INDEX requests_dearest ON requests (loses_currency, loses_minor DESC, decide_by_at, id) WHERE status = 'waiting';
CREATE INDEX requests_soonest ON requests (decide_by_at, id) WHERE status = 'waiting';
CREATE INDEX called_in_person ON called_in (person);

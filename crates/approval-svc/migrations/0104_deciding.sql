-- What a request was before it was edited: decisions about it stay traceable.
CREATE TABLE revisions (
    request_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    document TEXT NOT NULL,
    edited_by TEXT NOT NULL,                -- who replaced it
    edited_at BIGINT NOT NULL,
    PRIMARY KEY (request_id, revision)
);

-- Money lost per hour of waiting and approval that is still needed, in minor units: what an inbox is ordered by.
ALTER TABLE requests ADD COLUMN urgency BIGINT NOT NULL DEFAULT 0;
CREATE INDEX requests_inbox ON requests (urgency DESC, decide_by_at, id) WHERE status = 'waiting';

-- Addresses for the decision, a JSON array: they are read and written with the request, so they cost no statement.
ALTER TABLE requests ADD COLUMN callbacks TEXT NOT NULL DEFAULT '[]';
-- postgres: UPDATE requests SET callbacks = c.urls FROM (SELECT request_id, json_agg(url ORDER BY url)::text AS urls FROM callbacks GROUP BY request_id) c WHERE c.request_id = requests.id;
-- sqlite: UPDATE requests SET callbacks = (SELECT json_group_array(url) FROM callbacks WHERE request_id = requests.id) WHERE id IN (SELECT request_id FROM callbacks);
DROP TABLE callbacks;

-- A request with its facts is a few kilobytes. Kept whole in its page, it is not compressed and cut up at each decision.
-- postgres: ALTER TABLE requests SET (toast_tuple_target = 8160, fillfactor = 60);

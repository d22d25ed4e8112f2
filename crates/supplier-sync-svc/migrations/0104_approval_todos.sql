-- Requests for approval as Odoo shows them. What was asked and decided is approval-svc's; this repeats what is written
-- into Odoo.
CREATE TABLE approvals_shown (
    approval_id TEXT NOT NULL PRIMARY KEY,
    title TEXT,                             -- NULL while only its draft or its end is known
    reason TEXT,
    product TEXT,
    revision BIGINT NOT NULL DEFAULT 0,
    decision TEXT,                          -- the end, as a sentence
    picking_id BIGINT                       -- the transfer that was drafted with its grant
);
-- One to-do per person who is asked.
CREATE TABLE approval_todos (
    approval_id TEXT NOT NULL,
    step BIGINT NOT NULL,
    person TEXT NOT NULL,
    email TEXT NOT NULL,
    state TEXT NOT NULL,                    -- wanted | open | answered | closed
    odoo_id BIGINT,                         -- of mail.activity, once it is there
    user_id BIGINT,                         -- whose it is in Odoo: the only one whose answer counts
    revision BIGINT NOT NULL,               -- of the request that it is about
    due BIGINT NOT NULL,                    -- when the step times out
    PRIMARY KEY (approval_id, step, person)
);
CREATE INDEX approval_todos_open ON approval_todos (odoo_id) WHERE state = 'open';

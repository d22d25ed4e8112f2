-- What supplier-sync-svc knows of the world. Days are numbered from 1970-01-01, so that both databases can subtract
-- them. Nothing here is deleted by time but `hints`.

-- Master data. What is unknown is NULL, never zero.
CREATE TABLE products (
    product TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    category TEXT,
    cost_minor BIGINT,
    cost_currency TEXT,
    price_minor BIGINT,
    price_currency TEXT,
    pack BIGINT,
    moq BIGINT,
    shelf_life_days BIGINT
);
CREATE TABLE locations (
    location TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    region TEXT,
    time_zone TEXT
);

-- The last level seen, whoever saw it; an older sight never overwrites a newer one.
CREATE TABLE stock (
    product TEXT NOT NULL,
    location TEXT NOT NULL,
    on_hand DOUBLE PRECISION NOT NULL,
    reserved DOUBLE PRECISION NOT NULL,
    observed_at BIGINT NOT NULL,
    system TEXT NOT NULL,
    told_low BIGINT NOT NULL,               -- 1 from the event of a fall until it is above the reorder point again
    PRIMARY KEY (product, location)
);
-- One row per system that has an opinion; ours (`steward`) goes before Odoo's.
CREATE TABLE reorder_points (
    product TEXT NOT NULL,
    location TEXT NOT NULL,
    system TEXT NOT NULL,                   -- steward | odoo
    units DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (product, location, system)
);

CREATE TABLE sales (
    product TEXT NOT NULL,
    location TEXT NOT NULL,
    day BIGINT NOT NULL,
    units DOUBLE PRECISION NOT NULL,
    out_of_stock DOUBLE PRECISION NOT NULL,
    promotion BIGINT NOT NULL,
    PRIMARY KEY (product, location, day)
);
CREATE TABLE planned_promotions (
    product TEXT NOT NULL,
    location TEXT NOT NULL,
    day BIGINT NOT NULL,
    PRIMARY KEY (product, location, day)
);

-- Receipts on their way, by who says so: Odoo (`odoo`) or an observation (`steward`). One order may come in parts.
CREATE TABLE incoming (
    product TEXT NOT NULL,
    location TEXT NOT NULL,
    system TEXT NOT NULL,                   -- steward | odoo
    order_ref TEXT NOT NULL,
    due BIGINT NOT NULL,
    quantity DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (product, location, system, order_ref, due)
);
-- What counts: of one order what was observed goes before what Odoo says, or it would come twice.
CREATE VIEW incoming_counted AS
    SELECT i.product, i.location, i.order_ref, i.due, i.quantity FROM incoming i
    WHERE i.system = 'steward' OR NOT EXISTS (
        SELECT 1 FROM incoming o WHERE o.product = i.product AND o.location = i.location
            AND o.order_ref = i.order_ref AND o.system = 'steward');
CREATE TABLE lead_times (
    seq AUTO_KEY,
    product TEXT NOT NULL,
    location TEXT NOT NULL,
    supplier TEXT,
    order_ref TEXT,                         -- a receipt that is told twice is one receipt
    days DOUBLE PRECISION NOT NULL
);
CREATE INDEX lead_times_seen ON lead_times (product, location, seq);
CREATE UNIQUE INDEX lead_times_order ON lead_times (product, location, order_ref) WHERE order_ref IS NOT NULL;
CREATE TABLE promised_lead_times (
    product TEXT NOT NULL,
    location TEXT NOT NULL,
    system TEXT NOT NULL,                   -- steward | odoo
    supplier TEXT,
    days DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (product, location, system)
);
-- What counts: an observed promise goes before the one of Odoo's main supplier.
CREATE VIEW promised_counted AS
    SELECT p.product, p.location, p.supplier, p.days FROM promised_lead_times p
    WHERE p.system = 'steward' OR NOT EXISTS (
        SELECT 1 FROM promised_lead_times o WHERE o.product = p.product AND o.location = p.location
            AND o.system = 'steward');
CREATE TABLE lanes (
    from_location TEXT NOT NULL,
    to_location TEXT NOT NULL,
    transfer_days DOUBLE PRECISION NOT NULL,
    cost_minor BIGINT,
    cost_currency TEXT,
    PRIMARY KEY (from_location, to_location)
);

-- Our identifiers and each system's own.
CREATE TABLE xref (
    entity TEXT NOT NULL,                   -- product | location | supplier
    system TEXT NOT NULL,
    external_id TEXT NOT NULL,
    id TEXT NOT NULL,
    learned BIGINT NOT NULL,                -- 1: taken over from the system; 0: told by somebody, which wins
    PRIMARY KEY (entity, system, external_id)
);
CREATE UNIQUE INDEX xref_id ON xref (entity, system, id);
-- What could not be mapped and was not guessed.
CREATE TABLE xref_conflicts (
    entity TEXT NOT NULL,
    system TEXT NOT NULL,
    external_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    PRIMARY KEY (entity, system, external_id)
);

-- Webhooks taken in: the digest recognises a repeat, the write instant tells the sweep which changes were announced.
CREATE TABLE hints (
    digest TEXT NOT NULL PRIMARY KEY,
    received_at BIGINT NOT NULL,
    model TEXT NOT NULL,
    record_id BIGINT NOT NULL,
    written_at BIGINT,
    ignored TEXT                            -- why nothing is read back
);
CREATE INDEX hints_record ON hints (model, record_id, received_at);
CREATE INDEX hints_received ON hints (received_at);

-- One row: how far the reconciler has read, and how many changes no webhook had announced.
CREATE TABLE sweep (
    only_row BIGINT NOT NULL PRIMARY KEY,
    watermark_at BIGINT NOT NULL,
    changes BIGINT NOT NULL,
    events_lost BIGINT NOT NULL
);

-- Public keys that grants are verified with, as last published.
CREATE TABLE grant_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    jwk TEXT NOT NULL
);
-- One row: when they were fetched, and when a grant of an unknown key was last presented.
CREATE TABLE grant_key_refresh (
    only_row BIGINT NOT NULL PRIMARY KEY,
    fetched_at BIGINT NOT NULL,
    wanted_at BIGINT NOT NULL
);
-- Insert-only: a grant is used up in the transaction that holds the effect it allowed.
CREATE TABLE grants_used (
    grant_id TEXT NOT NULL PRIMARY KEY,
    approval_id TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    consumed_by TEXT NOT NULL,
    consumed_at BIGINT NOT NULL
);

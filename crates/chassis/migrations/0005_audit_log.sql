-- The audit log: one sequencer folds the leaves of `audit` into a Merkle tree. Nothing in these tables ever changes or
-- goes, and both databases refuse it. Hashes are hexadecimal.
CREATE TABLE audit_log (
    leaf_index BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL UNIQUE,             -- the leaf, in `audit`
    hash TEXT NOT NULL
);
-- Roots of the perfect subtrees of 256, 65,536, ... leaves (level 1, 2, ...), so that a proof reads few rows.
CREATE TABLE audit_nodes (
    level BIGINT NOT NULL,
    place BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (level, place)
);
CREATE TABLE audit_checkpoints (
    seq AUTO_KEY,
    size BIGINT NOT NULL,
    root TEXT NOT NULL,
    fold TEXT NOT NULL,                     -- what folding goes on from
    note TEXT NOT NULL,                     -- C2SP signed note
    folded_at BIGINT NOT NULL
);
CREATE INDEX audit_checkpoints_size ON audit_checkpoints (size);
-- What is not folded yet. A queue and not a position: a leaf may commit after one that got a higher number.
CREATE TABLE audit_unfolded (
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL
);
INSERT INTO audit_unfolded (seq, at) SELECT seq, at FROM audit;
-- sqlite: CREATE TRIGGER audit_queued AFTER INSERT ON audit BEGIN INSERT INTO audit_unfolded (seq, at) VALUES (NEW.seq, NEW.at); END;
-- sqlite: CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
-- sqlite: CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
-- sqlite: CREATE TRIGGER audit_log_keeps BEFORE UPDATE ON audit_log BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;
-- sqlite: CREATE TRIGGER audit_log_stays BEFORE DELETE ON audit_log BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;
-- sqlite: CREATE TRIGGER audit_nodes_keeps BEFORE UPDATE ON audit_nodes BEGIN SELECT RAISE(ABORT, 'audit_nodes is append-only'); END;
-- sqlite: CREATE TRIGGER audit_nodes_stays BEFORE DELETE ON audit_nodes BEGIN SELECT RAISE(ABORT, 'audit_nodes is append-only'); END;
-- sqlite: CREATE TRIGGER audit_checkpoints_keeps BEFORE UPDATE ON audit_checkpoints BEGIN SELECT RAISE(ABORT, 'audit_checkpoints is append-only'); END;
-- sqlite: CREATE TRIGGER audit_checkpoints_stays BEFORE DELETE ON audit_checkpoints BEGIN SELECT RAISE(ABORT, 'audit_checkpoints is append-only'); END;
-- postgres: CREATE FUNCTION audit_queue() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit_unfolded (seq, at) SELECT seq, at FROM fresh; RETURN NULL; END $$;
-- postgres: CREATE TRIGGER audit_queued AFTER INSERT ON audit REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION audit_queue();
-- postgres: CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege'; END $$;
-- postgres: CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
-- postgres: CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
-- postgres: CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_nodes FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
-- postgres: CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

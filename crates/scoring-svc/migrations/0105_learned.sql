-- What a model has learnt from resolved cases since its parameters were fitted: one state for each model and parameters.
CREATE TABLE learned (
    model TEXT NOT NULL,
    parameters TEXT NOT NULL,               -- digest of those that the state is relative to
    cases BIGINT NOT NULL,                  -- also the state's sequence number
    state TEXT NOT NULL,                    -- the model's own JSON; empty before the first case
    learned_at BIGINT NOT NULL,
    PRIMARY KEY (model, parameters)
);

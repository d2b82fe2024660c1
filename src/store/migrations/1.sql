CREATE TABLE decision (
    seq             INTEGER PRIMARY KEY,
    id              BLOB    NOT NULL,
    at_unix_ms      INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    kind            TEXT    NOT NULL,
    caller          TEXT    NOT NULL,
    policy          TEXT    NOT NULL,
    aim             TEXT    NOT NULL,
    threshold       REAL,
    model           TEXT    NOT NULL,
    tier            TEXT    NOT NULL,
    reason          TEXT    NOT NULL,
    sentence        TEXT    NOT NULL,
    propensity      REAL    NOT NULL,
    bundle          TEXT,
    encoder         TEXT,
    scorer          TEXT,
    task            TEXT,
    task_p          REAL,
    difficulty      REAL,
    input_tokens    INTEGER NOT NULL,
    considered      TEXT    NOT NULL,
    signals         BLOB    NOT NULL,
    signals_version INTEGER NOT NULL,
    embedding       BLOB,
    prompt          TEXT,
    route_us        INTEGER NOT NULL,
    session         TEXT,
    tags            TEXT
);
CREATE UNIQUE INDEX decision_id ON decision (id);
CREATE INDEX decision_time ON decision (at_unix_ms, seq);

CREATE TABLE outcome (
    decision_id         BLOB    NOT NULL PRIMARY KEY,
    at_unix_ms          INTEGER NOT NULL,
    version             INTEGER NOT NULL,
    class               TEXT    NOT NULL,
    served_by           TEXT,
    tier                TEXT,
    upstream            TEXT,
    input_tokens        INTEGER,
    cached_input_tokens INTEGER,
    output_tokens       INTEGER,
    cost_nano_usd       INTEGER,
    attempts            TEXT    NOT NULL,
    total_ms            INTEGER NOT NULL,
    first_byte_ms       INTEGER,
    stream              INTEGER NOT NULL
);

CREATE TABLE feedback (
    seq             INTEGER PRIMARY KEY,
    decision_id     BLOB    NOT NULL,
    at_unix_ms      INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    caller          TEXT    NOT NULL,
    idempotency_key TEXT,
    digest          BLOB    NOT NULL,
    success         INTEGER,
    score           REAL,
    rating          INTEGER,
    preferred_model TEXT,
    label           TEXT,
    source          TEXT,
    comment         TEXT
);
CREATE INDEX feedback_decision ON feedback (decision_id, caller, seq);
CREATE UNIQUE INDEX feedback_key ON feedback (caller, idempotency_key) WHERE idempotency_key IS NOT NULL;

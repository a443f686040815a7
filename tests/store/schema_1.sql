-- name: create_meta
-- What is true of the store as a whole: the version of its schema.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
)

-- name: create_journal_segment
-- The event log: the bytes of the frames that were folded, a row per piece. All else follows from it.
-- sequence is the order in which they were folded, which is the order to fold them again.
CREATE TABLE journal_segment (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id       TEXT NOT NULL,
    attempt      BIGINT NOT NULL CHECK (attempt >= 1),
    writer       TEXT NOT NULL,
    start_offset BIGINT NOT NULL CHECK (start_offset >= 0),
    end_offset   BIGINT NOT NULL,
    frames       BLOB NOT NULL,
    CONSTRAINT a_piece_is_kept_once UNIQUE (run_id, attempt, writer, start_offset),
    CONSTRAINT offsets_fit_the_bytes CHECK (end_offset - start_offset = LENGTH(frames))
)

-- name: create_journal_cursor
-- How far each journal is folded, and what the fold must remember of it to go on.
-- clock orders the facts of different writers; definitions are the journal's tasks by index.
CREATE TABLE journal_cursor (
    run_id      TEXT NOT NULL,
    attempt     BIGINT NOT NULL,
    writer      TEXT NOT NULL,
    end_offset  BIGINT NOT NULL,
    clock       BIGINT NOT NULL,
    host        TEXT NOT NULL,
    boot_id     TEXT NOT NULL,
    pid         BIGINT NOT NULL,
    refused     BIGINT NOT NULL CHECK (refused >= 0),
    definitions BLOB NOT NULL,
    PRIMARY KEY (run_id, attempt, writer)
)

-- name: create_flow_run
-- A flow run as its journal says. clock … progress_attempt are the fold's memory (see orchestration/projection.py).
CREATE TABLE flow_run (
    id                 TEXT NOT NULL PRIMARY KEY,
    name               TEXT NOT NULL,
    flow_name          TEXT NOT NULL,
    flow_version       TEXT NOT NULL,
    entrypoint         TEXT NOT NULL,
    code_version       TEXT NOT NULL,
    state_type         TEXT NOT NULL,
    state_name         TEXT NOT NULL,
    state_message      TEXT,
    created_at         BIGINT NOT NULL,
    started_at         BIGINT,
    ended_at           BIGINT,
    attempt            BIGINT NOT NULL CHECK (attempt >= 1),
    run_count          BIGINT NOT NULL CHECK (run_count >= 0),
    tags               TEXT NOT NULL,
    parent_flow_run_id TEXT,
    parent_task_run_id TEXT,
    root_run_id        TEXT NOT NULL,
    source             TEXT NOT NULL,
    forked_from        TEXT,
    description        TEXT NOT NULL,
    crashes            BIGINT NOT NULL CHECK (crashes >= 0),
    clock              BIGINT NOT NULL,
    began_attempt      BIGINT NOT NULL,
    began_clock        BIGINT NOT NULL,
    lost_attempt       BIGINT NOT NULL,
    progress_attempt   BIGINT NOT NULL,
    parameters         BLOB NOT NULL,
    arguments          BLOB,
    result             BLOB,
    CONSTRAINT state_type_is_known CHECK (state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING',
                                                         'COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')),
    CONSTRAINT ended_exactly_when_final
        CHECK ((ended_at IS NOT NULL) = (state_type IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')))
)

-- name: create_flow_run_by_created
CREATE INDEX flow_run_by_created ON flow_run (created_at, id)

-- name: create_flow_run_by_flow
CREATE INDEX flow_run_by_flow ON flow_run (flow_name, created_at, id)

-- name: create_flow_run_by_flow_and_state
CREATE INDEX flow_run_by_flow_and_state ON flow_run (flow_name, state_type, created_at, id)

-- name: create_flow_run_by_state
CREATE INDEX flow_run_by_state ON flow_run (state_type, created_at, id)

-- name: create_flow_run_by_parent
CREATE INDEX flow_run_by_parent ON flow_run (parent_flow_run_id, created_at, id)

-- name: create_flow_run_by_root
CREATE INDEX flow_run_by_root ON flow_run (root_run_id)

-- name: create_flow_run_by_name
CREATE INDEX flow_run_by_name ON flow_run (name, created_at, id)

-- name: create_flow_run_tag
-- A row per tag of a flow run, so that runs with a tag can be listed.
CREATE TABLE flow_run_tag (
    tag         TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    flow_run_id TEXT NOT NULL,
    PRIMARY KEY (tag, created_at, flow_run_id)
)

-- name: create_flow_run_tag_by_run
CREATE INDEX flow_run_tag_by_run ON flow_run_tag (flow_run_id)

-- name: create_flow
-- The flows that have runs here, and how many: counting a million rows for a list would take too long.
CREATE TABLE flow (
    name TEXT NOT NULL PRIMARY KEY,
    runs BIGINT NOT NULL CHECK (runs >= 0)
)

-- name: create_task_run
-- A task run's latest execution. result comes last: it may be large, and most questions are not about it.
CREATE TABLE task_run (
    sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    flow_run_id   TEXT NOT NULL,
    scope_id      TEXT NOT NULL,
    name          TEXT NOT NULL,
    task_name     TEXT NOT NULL,
    task_key      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    state_type    TEXT NOT NULL,
    state_name    TEXT NOT NULL,
    state_message TEXT,
    started_at    BIGINT NOT NULL,
    ended_at      BIGINT,
    attempt       BIGINT NOT NULL CHECK (attempt >= 1),
    run_count     BIGINT NOT NULL CHECK (run_count >= 0),
    reused_from   TEXT,
    upstream      TEXT NOT NULL,
    inputs        TEXT NOT NULL,
    tags          TEXT NOT NULL,
    cache         TEXT NOT NULL,
    address       BLOB NOT NULL,
    clock         BIGINT NOT NULL,
    began_attempt BIGINT NOT NULL,
    began_clock   BIGINT NOT NULL,
    result        BLOB,
    CONSTRAINT state_type_is_known CHECK (state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING',
                                                         'COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')),
    CONSTRAINT ended_exactly_when_final
        CHECK ((ended_at IS NOT NULL) = (state_type IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')))
)

-- name: create_task_run_by_flow_run
CREATE INDEX task_run_by_flow_run ON task_run (flow_run_id, sequence)

-- name: create_task_run_not_completed
-- Small, because most tasks complete; and what people ask for: the running, the failed.
CREATE INDEX task_run_not_completed ON task_run (flow_run_id, sequence) WHERE state_type <> 'COMPLETED'

-- name: create_task_run_count
-- How many task runs of a flow run are in which state, kept by the fold.
CREATE TABLE task_run_count (
    flow_run_id TEXT NOT NULL,
    state_type  TEXT NOT NULL,
    state_name  TEXT NOT NULL,
    task_runs   BIGINT NOT NULL CHECK (task_runs >= 0),
    PRIMARY KEY (flow_run_id, state_type, state_name)
)

-- name: create_log
CREATE TABLE log (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    at          BIGINT NOT NULL,
    flow_run_id TEXT NOT NULL,
    task_run_id TEXT,
    level       BIGINT NOT NULL,
    logger      TEXT NOT NULL,
    message     TEXT NOT NULL
)

-- name: create_log_by_flow_run
CREATE INDEX log_by_flow_run ON log (flow_run_id, sequence)

-- name: create_artifact
CREATE TABLE artifact (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    flow_run_id TEXT NOT NULL,
    task_run_id TEXT,
    kind        TEXT NOT NULL,
    key         TEXT,
    description TEXT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    clock       BIGINT NOT NULL,
    data        BLOB NOT NULL
)

-- name: create_artifact_by_flow_run
CREATE INDEX artifact_by_flow_run ON artifact (flow_run_id, sequence)

-- name: create_artifact_by_key
CREATE INDEX artifact_by_key ON artifact (key, sequence)

-- name: create_event
-- What happened to flow runs, and what user code told. Steps of tasks are in their rows and segments.
CREATE TABLE event (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    at          BIGINT NOT NULL,
    event       TEXT NOT NULL,
    run_id      TEXT,
    task_run_id TEXT,
    resource    BLOB NOT NULL,
    payload     BLOB NOT NULL
)

-- name: create_event_by_run
CREATE INDEX event_by_run ON event (run_id, sequence)

-- name: create_event_by_name
CREATE INDEX event_by_name ON event (event, sequence)

-- name: create_result_file
-- Which root runs name a file in the folder of results: it may go when none does.
CREATE TABLE result_file (
    location    TEXT NOT NULL,
    root_run_id TEXT NOT NULL,
    PRIMARY KEY (location, root_run_id)
)

-- name: create_result_file_by_root
CREATE INDEX result_file_by_root ON result_file (root_run_id, location)

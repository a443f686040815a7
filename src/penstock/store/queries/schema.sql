-- name: create_meta
-- What is true of the store as a whole: the version of its schema.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
)

-- name: create_alembic_version
-- The same, as Alembic asks for it: see store/upgrading.py.
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
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
    deployment_id      TEXT,
    due_at             BIGINT,
    work_pool          TEXT,
    work_queue         TEXT,
    worker             TEXT,
    fence              BIGINT NOT NULL DEFAULT 0 CHECK (fence >= 0),
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

-- name: create_flow_run_by_deployment
CREATE INDEX flow_run_by_deployment ON flow_run (deployment_id, created_at, id) WHERE deployment_id IS NOT NULL

-- name: create_flow_run_root_by_state
CREATE INDEX flow_run_root_by_state ON flow_run (state_type, created_at, id) WHERE parent_flow_run_id IS NULL

-- name: create_flow_run_by_pool
CREATE INDEX flow_run_by_pool ON flow_run (work_pool, created_at, id) WHERE work_pool IS NOT NULL

-- name: create_flow_run_by_queue
CREATE INDEX flow_run_by_queue ON flow_run (work_queue, created_at, id) WHERE work_queue IS NOT NULL

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

-- name: create_event_by_time
CREATE INDEX event_by_time ON event (at, sequence)

-- name: create_result_file
-- Which root runs name a file in the folder of results: it may go when none does.
CREATE TABLE result_file (
    location    TEXT NOT NULL,
    root_run_id TEXT NOT NULL,
    PRIMARY KEY (location, root_run_id)
)

-- name: create_result_file_by_root
CREATE INDEX result_file_by_root ON result_file (root_run_id, location)

-- name: create_deployment
-- Flows that workers can execute. spec is the DeploymentSpec that was applied last, as JSON.
CREATE TABLE deployment (
    id         TEXT NOT NULL PRIMARY KEY,
    flow_name  TEXT NOT NULL,
    name       TEXT NOT NULL,
    work_pool  TEXT NOT NULL,
    work_queue TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    paused     BIGINT NOT NULL CHECK (paused IN (0, 1)),
    run_limit  BIGINT CHECK (run_limit >= 0),
    spec       BLOB NOT NULL,
    CONSTRAINT a_name_is_given_once UNIQUE (flow_name, name)
)

-- name: create_schedule
-- When a deployment runs by itself. Every slot up to slots_until has been decided; look_at is when to decide next.
CREATE TABLE schedule (
    deployment_id TEXT NOT NULL,
    name          TEXT NOT NULL,
    paused        BIGINT NOT NULL CHECK (paused IN (0, 1)),
    slots_until   BIGINT NOT NULL,
    look_at       BIGINT,
    trouble       TEXT,
    spec          BLOB NOT NULL,
    PRIMARY KEY (deployment_id, name)
)

-- name: create_schedule_by_look_at
CREATE INDEX schedule_by_look_at ON schedule (look_at) WHERE look_at IS NOT NULL AND paused = 0

-- name: create_slot
-- What became of scheduled times: a run, or why there is none. A row without a run may stand for several, up to last.
-- The key is what lets a time have one run, with any number of servers.
CREATE TABLE slot (
    deployment_id TEXT NOT NULL,
    schedule      TEXT NOT NULL,
    slot          BIGINT NOT NULL,
    last          BIGINT NOT NULL,
    slots         BIGINT,
    run_id        TEXT,
    reason        TEXT,
    PRIMARY KEY (deployment_id, schedule, slot)
)

-- name: create_slot_by_deployment
CREATE INDEX slot_by_deployment ON slot (deployment_id, slot)

-- name: create_slot_by_run
CREATE INDEX slot_by_run ON slot (run_id) WHERE run_id IS NOT NULL

-- name: create_work_pool
CREATE TABLE work_pool (
    name         TEXT NOT NULL PRIMARY KEY,
    type         TEXT NOT NULL,
    description  TEXT NOT NULL,
    run_limit    BIGINT CHECK (run_limit >= 0),
    paused       BIGINT NOT NULL CHECK (paused IN (0, 1)),
    created_at   BIGINT NOT NULL,
    job_template BLOB NOT NULL
)

-- name: create_work_queue
CREATE TABLE work_queue (
    work_pool   TEXT NOT NULL,
    name        TEXT NOT NULL,
    priority    BIGINT NOT NULL,
    run_limit   BIGINT CHECK (run_limit >= 0),
    paused      BIGINT NOT NULL CHECK (paused IN (0, 1)),
    description TEXT NOT NULL,
    PRIMARY KEY (work_pool, name)
)

-- name: create_worker
-- Processes that claim runs. seen_at is their last heartbeat.
CREATE TABLE worker (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    work_pool  TEXT NOT NULL,
    type       TEXT NOT NULL,
    host       TEXT NOT NULL,
    version    TEXT NOT NULL,
    run_limit  BIGINT,
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('online', 'draining', 'offline')),
    queues     TEXT NOT NULL,
    prefixes   TEXT NOT NULL
)

-- name: create_work
-- Runs for workers: what waits, who has claimed what until when. attempt is the fencing token; 0 before any claim.
-- waiting: to be claimed once due. held: until an earlier run of its schedule has ended. claimed: a worker has it.
-- suspended: until somebody resumes it. done: the run has ended (kept, so that it can be retried).
CREATE TABLE work (
    run_id        TEXT NOT NULL PRIMARY KEY,
    status        TEXT NOT NULL CHECK (status IN ('waiting', 'held', 'claimed', 'suspended', 'done')),
    work_pool     TEXT NOT NULL,
    work_queue    TEXT NOT NULL,
    priority      BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    attempt       BIGINT NOT NULL CHECK (attempt >= 0),
    deployment_id TEXT,
    schedule      TEXT,
    worker_id     TEXT,
    renewed_at    BIGINT,
    lease_ends_at BIGINT,
    cancelled_at  BIGINT,
    cancelled_by  TEXT,
    wish          TEXT CHECK (wish IN ('pause', 'suspend')),
    wished_by     TEXT,
    late          BIGINT NOT NULL DEFAULT 0 CHECK (late IN (0, 1)),
    losses        BIGINT NOT NULL DEFAULT 0 CHECK (losses >= 0),
    on_crash      TEXT NOT NULL CHECK (on_crash IN ('resume', 'fail')),
    job           BLOB NOT NULL,
    CONSTRAINT claimed_exactly_with_a_lease CHECK ((status = 'claimed') = (lease_ends_at IS NOT NULL))
)

-- name: create_work_waiting
CREATE INDEX work_waiting ON work (work_pool, work_queue, priority, due_at, run_id) WHERE status = 'waiting'

-- name: create_work_by_due
CREATE INDEX work_by_due ON work (due_at, run_id) WHERE status = 'waiting'

-- name: create_work_claimed
CREATE INDEX work_claimed ON work (lease_ends_at) WHERE status = 'claimed'

-- name: create_work_by_worker
CREATE INDEX work_by_worker ON work (worker_id) WHERE status = 'claimed'

-- name: create_work_by_deployment
CREATE INDEX work_by_deployment ON work (deployment_id, schedule) WHERE status <> 'done'

-- name: create_deployment_key
-- Which run an idempotency key of a deployment has made.
CREATE TABLE deployment_key (
    deployment_id TEXT NOT NULL,
    key           TEXT NOT NULL,
    run_id        TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (deployment_id, key)
)

-- name: create_deployment_key_by_run
CREATE INDEX deployment_key_by_run ON deployment_key (run_id)

-- name: create_concurrency_limit
-- What is limited, and how.
CREATE TABLE concurrency_limit (
    name             TEXT NOT NULL PRIMARY KEY,
    slots            BIGINT NOT NULL CHECK (slots >= 0),
    slots_per_second REAL NOT NULL CHECK (slots_per_second >= 0),
    active           BIGINT NOT NULL CHECK (active IN (0, 1)),
    created_at       BIGINT NOT NULL
)

-- name: create_slot_booking
-- Who holds slots, and who waits for some: a row for each limit of a booking. Without a lease of its own, a booking
-- lives as long as the attempt of a worker's run that it belongs to.
CREATE TABLE slot_booking (
    booking_id    TEXT NOT NULL,
    limit_name    TEXT NOT NULL,
    key           TEXT NOT NULL,
    slots         BIGINT NOT NULL CHECK (slots >= 1),
    status        TEXT NOT NULL CHECK (status IN ('waiting', 'held')),
    priority      BIGINT NOT NULL,
    arrived_at    BIGINT NOT NULL,
    held_since    BIGINT,
    owner         TEXT NOT NULL,
    run_id        TEXT,
    attempt       BIGINT NOT NULL,
    task_run_id   TEXT,
    task_run_name TEXT,
    who           TEXT NOT NULL,
    renewed_at    BIGINT,
    lease_ends_at BIGINT,
    PRIMARY KEY (booking_id, limit_name),
    CONSTRAINT it_lives_by_a_lease_or_a_run CHECK (lease_ends_at IS NOT NULL OR run_id IS NOT NULL)
)

-- name: create_slot_booking_by_limit
CREATE INDEX slot_booking_by_limit ON slot_booking (limit_name, key, status, priority, arrived_at, booking_id)

-- name: create_slot_booking_by_run
CREATE INDEX slot_booking_by_run ON slot_booking (run_id) WHERE run_id IS NOT NULL

-- name: create_slot_booking_by_owner
CREATE INDEX slot_booking_by_owner ON slot_booking (owner)

-- name: create_slot_booking_by_lease
CREATE INDEX slot_booking_by_lease ON slot_booking (lease_ends_at) WHERE lease_ends_at IS NOT NULL

-- name: create_rate_bucket
-- What is left of rate limits that were used of late; see core/concurrency.py.
CREATE TABLE rate_bucket (
    limit_name TEXT NOT NULL,
    key        TEXT NOT NULL,
    full_at    BIGINT NOT NULL,
    taken_at   BIGINT NOT NULL,
    PRIMARY KEY (limit_name, key)
)

-- name: create_rate_bucket_by_full
CREATE INDEX rate_bucket_by_full ON rate_bucket (full_at)

-- name: create_run_input
-- What flow runs wait for, or have waited for: to be resumed, with an input. key is the id of the task run of the pause.
CREATE TABLE run_input (
    run_id      TEXT NOT NULL,
    key         TEXT NOT NULL,
    flow_run_id TEXT NOT NULL,
    round       BIGINT NOT NULL CHECK (round >= 1),
    asked_at    BIGINT NOT NULL,
    deadline    BIGINT,
    suspends    BIGINT NOT NULL CHECK (suspends IN (0, 1)),
    message     TEXT,
    schema      BLOB NOT NULL,
    given_at    BIGINT,
    given_by    TEXT,
    value       BLOB,
    PRIMARY KEY (run_id, key)
)

-- name: create_run_input_by_deadline
CREATE INDEX run_input_by_deadline ON run_input (deadline) WHERE given_at IS NULL AND deadline IS NOT NULL

-- name: create_run_elsewhere
-- Runs that were started by hand on other machines, and until when those who ship their journals have said that they
-- live; NULL once that time is over. A row goes when its process is gone.
CREATE TABLE run_elsewhere (
    run_id        TEXT NOT NULL PRIMARY KEY,
    attempt       BIGINT NOT NULL CHECK (attempt >= 1),
    shipper_id    TEXT NOT NULL,
    renewed_at    BIGINT NOT NULL,
    lease_ends_at BIGINT
)

-- name: create_run_elsewhere_by_lease
CREATE INDEX run_elsewhere_by_lease ON run_elsewhere (lease_ends_at) WHERE lease_ends_at IS NOT NULL

-- name: create_deleted_run
-- Root runs that were deleted, and when: what still comes of one is not taken any more.
CREATE TABLE deleted_run (
    run_id     TEXT NOT NULL PRIMARY KEY,
    deleted_at BIGINT NOT NULL
)

-- name: create_default_work_pool
-- The pool that is always there, and its queue.
INSERT INTO work_pool (name, type, description, run_limit, paused, created_at, job_template)
VALUES ('default', 'process', 'Processes on the machines of its workers', NULL, 0, 0, CAST('{}' AS BLOB))

-- name: create_default_work_queue
INSERT INTO work_queue (work_pool, name, priority, run_limit, paused, description)
VALUES ('default', 'default', 1, NULL, 0, '')

-- name: create_api_key
-- Who else than the owner of a home may ask. digest is the SHA-256 of the key, which is shown once and kept nowhere.
CREATE TABLE api_key (
    id          TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    digest      BLOB NOT NULL,
    permissions TEXT NOT NULL,
    work_pool   TEXT,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT,
    used_at     BIGINT
)

-- name: create_kept_answer
-- What was answered to requests that must not be carried out twice, for as long as they may come again.
CREATE TABLE kept_answer (
    asker    TEXT NOT NULL,
    key      TEXT NOT NULL,
    digest   BLOB NOT NULL,
    answer   BLOB NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (asker, key)
)

-- name: create_kept_answer_by_at
CREATE INDEX kept_answer_by_at ON kept_answer (at)

-- name: create_kept_file
-- Files that all servers of a store must have: bundles of code; and, where there may be several, large results.
-- digest is the BLAKE2b-256 of the bytes. used_at is when somebody last had a use for it.
CREATE TABLE kept_file (
    kind    TEXT NOT NULL CHECK (kind IN ('bundle', 'result')),
    digest  TEXT NOT NULL,
    size    BIGINT NOT NULL CHECK (size >= 0),
    used_at BIGINT NOT NULL,
    PRIMARY KEY (kind, digest)
)

-- name: create_kept_file_part
-- Their bytes, in parts that fit the memory.
CREATE TABLE kept_file_part (
    kind   TEXT NOT NULL,
    digest TEXT NOT NULL,
    part   BIGINT NOT NULL,
    data   BLOB NOT NULL,
    PRIMARY KEY (kind, digest, part)
)

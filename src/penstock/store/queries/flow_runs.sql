-- name: rows
-- Flow runs by id, as the fold keeps them.
SELECT flow_run.*
  FROM flow_run
 WHERE id IN (:ids)

-- name: roots
-- The root runs of flow runs.
SELECT id, root_run_id FROM flow_run WHERE id IN (:ids)

-- name: rows_of_root
-- A run and its subflow runs at any depth.
SELECT flow_run.*
  FROM flow_run
 WHERE root_run_id = :root_run_id
   AND ended_at IS NULL    -- when :unfinished is given
 ORDER BY created_at, id

-- name: unfinished_called
-- The runs of deployments that a run and its subflow runs have called, and that have not ended.
SELECT called.*
  FROM flow_run AS caller JOIN flow_run AS called ON called.parent_flow_run_id = caller.id
 WHERE caller.root_run_id = :root_run_id
   AND called.root_run_id = called.id
   AND called.ended_at IS NULL
 ORDER BY called.created_at, called.id

-- name: save
-- Keep flow runs as the fold has made them.
INSERT INTO flow_run (id, name, flow_name, flow_version, entrypoint, code_version, state_type, state_name,
       state_message, created_at, started_at, ended_at, attempt, run_count, tags, parent_flow_run_id,
       parent_task_run_id, root_run_id, source, forked_from, description, crashes, clock, began_attempt, began_clock,
       lost_attempt, progress_attempt, parameters, arguments, result, deployment_id, due_at, work_pool, work_queue,
       worker, fence)
VALUES (:id, :name, :flow_name, :flow_version, :entrypoint, :code_version, :state_type, :state_name, :state_message,
       :created_at, :started_at, :ended_at, :attempt, :run_count, :tags, :parent_flow_run_id, :parent_task_run_id,
       :root_run_id, :source, :forked_from, :description, :crashes, :clock, :began_attempt, :began_clock,
       :lost_attempt, :progress_attempt, :parameters, :arguments, :result, :deployment_id, :due_at, :work_pool,
       :work_queue, :worker, :fence)
    ON CONFLICT (id) DO UPDATE
   SET name = excluded.name, flow_name = excluded.flow_name, flow_version = excluded.flow_version,
       entrypoint = excluded.entrypoint, code_version = excluded.code_version, state_type = excluded.state_type,
       state_name = excluded.state_name, state_message = excluded.state_message, created_at = excluded.created_at,
       started_at = excluded.started_at, ended_at = excluded.ended_at, attempt = excluded.attempt,
       run_count = excluded.run_count, tags = excluded.tags, parent_flow_run_id = excluded.parent_flow_run_id,
       parent_task_run_id = excluded.parent_task_run_id, root_run_id = excluded.root_run_id,
       source = excluded.source, forked_from = excluded.forked_from, description = excluded.description,
       crashes = excluded.crashes, clock = excluded.clock, began_attempt = excluded.began_attempt,
       began_clock = excluded.began_clock, lost_attempt = excluded.lost_attempt,
       progress_attempt = excluded.progress_attempt, parameters = excluded.parameters,
       arguments = excluded.arguments, result = excluded.result, deployment_id = excluded.deployment_id,
       due_at = excluded.due_at, work_pool = excluded.work_pool, work_queue = excluded.work_queue,
       worker = excluded.worker, fence = excluded.fence

-- name: page
-- Flow runs that meet every condition given, newest first, from a place in the list on.
-- What is only to be checked on the way (common_…) is written so that no index finds it: those runs would have to be
-- sorted, or are not as few as those that another condition finds. (SELECT COUNT(*) …) is what Postgres asks of one
-- run after the other, and does not make a join of. The few that a name finds are to be sorted (+ 0): the way through
-- all runs in their order would be long where they lie close together.
SELECT flow_run.*
  FROM flow_run
 WHERE (created_at, id) < (:before_created, :before_id)
   AND created_at >= :since                                            -- when :since is given
   AND flow_name = :flow                                               -- when :flow is given
   AND flow_name || '' = :common_flow                                  -- when :common_flow is given
   AND state_type = :state                                             -- when :state is given
   AND state_type || '' = :common_state                                -- when :common_state is given
   AND state_name = :state_name                                        -- when :state_name is given
   AND deployment_id = :deployment                                     -- when :deployment is given
   AND deployment_id || '' = :common_deployment                        -- when :common_deployment is given
   AND name >= :name AND name < :name_end                              -- when :name is given
   AND name || '' >= :common_name AND name || '' < :name_end           -- when :common_name is given
   AND work_pool = :pool                                               -- when :pool is given
   AND work_pool || '' = :common_pool                                  -- when :common_pool is given
   AND work_queue = :queue                                             -- when :queue is given
   AND work_queue || '' = :common_queue                                -- when :common_queue is given
   AND (SELECT COUNT(*) FROM flow_run_tag AS tagged                    -- when :tags is given
         WHERE tagged.tag IN (:tags)                                   -- when :tags is given
           AND tagged.created_at = flow_run.created_at                 -- when :tags is given
           AND tagged.flow_run_id = flow_run.id) = :tags_in_all        -- when :tags is given
   AND parent_flow_run_id = :parent                                    -- when :parent is given
   AND parent_flow_run_id IS NULL                                      -- when :roots is given
 ORDER BY
       created_at + 0 DESC,                                            -- when :name is given
       created_at DESC, id DESC
 LIMIT :limit

-- name: page_with_tag
-- The same, by way of the runs with a tag.
SELECT flow_run.*
  FROM flow_run_tag AS tagged JOIN flow_run ON flow_run.id = tagged.flow_run_id
 WHERE tagged.tag = :tag
   AND (tagged.created_at, tagged.flow_run_id) < (:before_created, :before_id)
   AND tagged.created_at >= :since                      -- when :since is given
   AND (SELECT COUNT(*) FROM flow_run_tag AS other      -- when :tags is given
         WHERE other.tag IN (:tags)                     -- when :tags is given
           AND other.created_at = tagged.created_at     -- when :tags is given
           AND other.flow_run_id = tagged.flow_run_id) = :tags_in_all    -- when :tags is given
   AND flow_name || '' = :common_flow                   -- when :common_flow is given
   AND state_type || '' = :common_state                 -- when :common_state is given
   AND state_name = :state_name                         -- when :state_name is given
   AND deployment_id || '' = :common_deployment         -- when :common_deployment is given
   AND name >= :common_name AND name < :name_end        -- when :common_name is given
   AND work_pool || '' = :common_pool                   -- when :common_pool is given
   AND work_queue || '' = :common_queue                 -- when :common_queue is given
   AND parent_flow_run_id = :parent                     -- when :parent is given
   AND parent_flow_run_id IS NULL                       -- when :roots is given
 ORDER BY tagged.created_at DESC, tagged.flow_run_id DESC
 LIMIT :limit

-- name: many_of_name
-- Whether more than so many runs have a name that begins like this: the last of them, if so.
SELECT 1 FROM flow_run WHERE name >= :value AND name < :end LIMIT 1 OFFSET :many

-- name: many_of_tag
-- Whether more than so many runs have a tag.
SELECT 1 FROM flow_run_tag WHERE tag = :value LIMIT 1 OFFSET :many

-- name: many_of_pool
-- Whether more than so many runs are of a pool.
SELECT 1 FROM flow_run WHERE work_pool = :value LIMIT 1 OFFSET :many

-- name: many_of_queue
-- Whether more than so many runs are of a queue.
SELECT 1 FROM flow_run WHERE work_queue = :value LIMIT 1 OFFSET :many

-- name: ids_from
-- The ids from one text up to another: those that begin with it.
SELECT id FROM flow_run WHERE id >= :start AND id < :stop ORDER BY id LIMIT :limit

-- name: latest_named
-- The newest run of that name.
SELECT id FROM flow_run WHERE name = :name ORDER BY created_at DESC, id DESC LIMIT 1

-- name: latest
-- Ids and names of the newest runs.
SELECT id, name FROM flow_run ORDER BY created_at DESC, id DESC LIMIT :limit

-- name: newest_of_flow
-- The newest run of a flow.
SELECT created_at, state_type, state_name, entrypoint, description
  FROM flow_run
 WHERE flow_name = :flow
 ORDER BY created_at DESC, id DESC
 LIMIT 1

-- name: flows
-- The flows that have runs, and how many, by name, after one of them.
SELECT name, runs
  FROM flow
 WHERE runs > 0 AND name > :after
   AND name >= :name AND name < :name_end    -- when :name is given
 ORDER BY name
 LIMIT :limit

-- name: flow
-- How many runs a flow has.
SELECT runs FROM flow WHERE name = :name AND runs > 0

-- name: counts
-- How many runs were created in each part of a time, by the type of their state. Each number is the length of a piece
-- of an index: to group the runs of a long time, the database would have to sort them.
WITH RECURSIVE part (number) AS (
    SELECT 0
     UNION ALL
    SELECT number + 1 FROM part WHERE number + 1 < :parts
), state (type) AS (
    VALUES ('SCHEDULED'), ('PENDING'), ('RUNNING'), ('PAUSED'), ('CANCELLING'), ('COMPLETED'), ('FAILED'), ('CRASHED'),
           ('CANCELLED')
), counted (number, type, runs) AS (
    SELECT part.number, state.type,
           (SELECT COUNT(*) FROM flow_run
             WHERE state_type = state.type
               AND created_at >= CAST(:since AS BIGINT) + part.number * CAST(:width AS BIGINT)
               AND created_at < CAST(:since AS BIGINT) + (part.number + 1) * CAST(:width AS BIGINT)
               AND created_at < :until
               AND flow_name = :flow                -- when :flow is given
               AND parent_flow_run_id IS NULL       -- when :roots is given
           )
      FROM part CROSS JOIN state
)
SELECT number, type, runs FROM counted WHERE runs > 0

-- name: counts_of_deployment
-- The same of a deployment, all of whose runs of that time are looked at, once.
SELECT number, state_type, COUNT(*)
  FROM (SELECT (created_at - :since) / :width AS number, state_type
          FROM flow_run
         WHERE deployment_id = :deployment AND created_at >= :since AND created_at < :until
           AND flow_name = :flow                -- when :flow is given
           AND parent_flow_run_id IS NULL       -- when :roots is given
       ) AS placed
 GROUP BY number, state_type

-- name: count_flow
-- So many more runs of a flow.
INSERT INTO flow (name, runs) VALUES (:name, :runs)
    ON CONFLICT (name) DO UPDATE SET runs = flow.runs + excluded.runs

-- name: uncount_flow
-- So many fewer runs of a flow: runs is below zero.
UPDATE flow SET runs = runs + :runs WHERE name = :name

-- name: descendants
-- A flow run and its subflow runs at any depth.
WITH RECURSIVE family (id) AS (
    SELECT :id /*postgres CAST(:id AS TEXT) COLLATE "C" */
     UNION
    SELECT flow_run.id FROM family JOIN flow_run ON flow_run.parent_flow_run_id = family.id
)
SELECT id FROM family

-- name: forget_tags
-- Delete the tags of flow runs, before their new ones are kept.
DELETE FROM flow_run_tag WHERE flow_run_id IN (:ids)

-- name: save_tag
-- A flow run has a tag.
INSERT INTO flow_run_tag (tag, created_at, flow_run_id) VALUES (:tag, :created_at, :flow_run_id)

-- name: forget
-- Delete flow runs.
DELETE FROM flow_run WHERE id IN (:ids)

-- name: note_deleted
-- Remember that root runs were deleted.
INSERT INTO deleted_run (run_id, deleted_at)
VALUES (:run_id, :deleted_at)
    ON CONFLICT (run_id) DO UPDATE
   SET deleted_at = excluded.deleted_at

-- name: deleted_among
-- Those of some root runs that were deleted.
SELECT run_id FROM deleted_run WHERE run_id IN (:ids)

-- name: forget_deleted
-- Forget that runs were deleted, which is long ago.
DELETE FROM deleted_run WHERE deleted_at < :before

-- name: ended_before
-- Root runs that ended before a time, oldest first, after a place in the list.
SELECT created_at, id, ended_at
  FROM flow_run
 WHERE root_run_id = id
   AND (created_at, id) > (:after_created, :after_id)
   AND ended_at < :before
   AND created_at < :before
 ORDER BY created_at, id
 LIMIT :limit

-- name: without_journals
-- Flow runs of which the store has no journal.
SELECT id FROM flow_run
 WHERE NOT EXISTS (SELECT 1 FROM journal_cursor WHERE journal_cursor.run_id = flow_run.root_run_id)
 ORDER BY id

-- name: count_ended_roots
-- How many root runs have ended.
SELECT COUNT(*) FROM flow_run WHERE root_run_id = id AND ended_at IS NOT NULL

-- name: forget_all
-- Delete all flow runs, before all is folded again.
DELETE FROM flow_run

-- name: forget_all_tags
-- The same for their tags.
DELETE FROM flow_run_tag

-- name: forget_all_flows
-- The same for the counts of their flows.
DELETE FROM flow

-- name: unfinished_by_state
-- How many runs have not ended, by the type and name of their state.
SELECT state_type, state_name, COUNT(*)
  FROM flow_run
 WHERE state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING')
 GROUP BY state_type, state_name

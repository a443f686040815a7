-- name: by_id
-- A deployment.
SELECT id, flow_name, name, work_pool, work_queue, created_at, updated_at, paused, run_limit, spec
  FROM deployment
 WHERE id = :id

-- name: by_ids
-- Deployments.
SELECT id, flow_name, name, work_pool, work_queue, created_at, updated_at, paused, run_limit, spec
  FROM deployment
 WHERE id IN (:ids)

-- name: by_name
-- A deployment, by flow and name.
SELECT id, flow_name, name, work_pool, work_queue, created_at, updated_at, paused, run_limit, spec
  FROM deployment
 WHERE flow_name = :flow_name AND name = :name

-- name: page
-- Deployments that meet every condition given, by flow and name, after a place in the list.
SELECT id, flow_name, name, work_pool, work_queue, created_at, updated_at, paused, run_limit, spec
  FROM deployment
 WHERE (flow_name, name) > (:after_flow, :after_name)
   AND flow_name = :flow                               -- when :flow is given
   AND work_pool = :pool                               -- when :pool is given
 ORDER BY flow_name, name
 LIMIT :limit

-- name: save
-- Keep a deployment.
INSERT INTO deployment (id, flow_name, name, work_pool, work_queue, created_at, updated_at, paused, run_limit, spec)
VALUES (:id, :flow_name, :name, :work_pool, :work_queue, :created_at, :updated_at, :paused, :run_limit, :spec)
    ON CONFLICT (id) DO UPDATE
   SET work_pool = excluded.work_pool, work_queue = excluded.work_queue, updated_at = excluded.updated_at,
       paused = excluded.paused, run_limit = excluded.run_limit, spec = excluded.spec

-- name: forget
-- Delete a deployment.
DELETE FROM deployment WHERE id = :id

-- name: forget_keys
-- Delete the idempotency keys of a deployment.
DELETE FROM deployment_key WHERE deployment_id = :id

-- name: names
-- All full names, for those who have mistyped one.
SELECT flow_name, name FROM deployment ORDER BY flow_name, name LIMIT 2000

-- name: of_pool
-- Whether a pool has deployments: one of them, if so.
SELECT id FROM deployment WHERE work_pool = :pool LIMIT 1

-- name: limits
-- The deployments of a pool whose runs are limited.
SELECT id, run_limit FROM deployment WHERE work_pool = :pool AND run_limit IS NOT NULL

-- name: run_of_key
-- The run that an idempotency key has made.
SELECT run_id FROM deployment_key WHERE deployment_id = :deployment_id AND key = :key

-- name: save_key
-- An idempotency key has made a run.
INSERT INTO deployment_key (deployment_id, key, run_id, created_at) VALUES (:deployment_id, :key, :run_id, :created_at)

-- name: forget_keys_of_runs
-- Delete the idempotency keys that have made these runs.
DELETE FROM deployment_key WHERE run_id IN (:ids)

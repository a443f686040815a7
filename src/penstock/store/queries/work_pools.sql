-- name: pool
-- A pool, by name.
SELECT name, type, description, run_limit, paused, created_at, job_template FROM work_pool WHERE name = :name

-- name: pools
-- All pools.
SELECT name, type, description, run_limit, paused, created_at, job_template FROM work_pool ORDER BY name

-- name: save_pool
-- Keep a pool.
INSERT INTO work_pool (name, type, description, run_limit, paused, created_at, job_template)
VALUES (:name, :type, :description, :run_limit, :paused, :created_at, :job_template)
    ON CONFLICT (name) DO UPDATE
   SET type = excluded.type, description = excluded.description, run_limit = excluded.run_limit,
       paused = excluded.paused, job_template = excluded.job_template

-- name: forget_pool
-- Delete a pool.
DELETE FROM work_pool WHERE name = :name

-- name: queues
-- The queues of a pool, or of all, by priority.
SELECT work_pool, name, priority, run_limit, paused, description
  FROM work_queue
 WHERE name >= ''
   AND work_pool = :pool                               -- when :pool is given
   AND name = :name                                    -- when :name is given
 ORDER BY work_pool, priority, name

-- name: save_queue
-- Keep a queue.
INSERT INTO work_queue (work_pool, name, priority, run_limit, paused, description)
VALUES (:work_pool, :name, :priority, :run_limit, :paused, :description)
    ON CONFLICT (work_pool, name) DO UPDATE
   SET priority = excluded.priority, run_limit = excluded.run_limit, paused = excluded.paused,
       description = excluded.description

-- name: forget_queues
-- Delete a queue, or all of a pool.
DELETE FROM work_queue
 WHERE work_pool = :pool
   AND name = :name                                    -- when :name is given

-- name: worker
-- A worker, by id.
SELECT id, name, work_pool, type, host, version, run_limit, started_at, seen_at, status, queues, prefixes
  FROM worker
 WHERE id = :id

-- name: workers_of
-- Workers of these ids.
SELECT id, name, work_pool, type, host, version, run_limit, started_at, seen_at, status, queues, prefixes
  FROM worker
 WHERE id IN (:ids)

-- name: workers
-- Workers, by pool and name.
SELECT id, name, work_pool, type, host, version, run_limit, started_at, seen_at, status, queues, prefixes
  FROM worker
 WHERE id >= ''
   AND work_pool = :pool                               -- when :pool is given
 ORDER BY work_pool, name, started_at

-- name: save_worker
-- Keep a worker.
INSERT INTO worker (id, name, work_pool, type, host, version, run_limit, started_at, seen_at, status, queues, prefixes)
VALUES (:id, :name, :work_pool, :type, :host, :version, :run_limit, :started_at, :seen_at, :status, :queues, :prefixes)
    ON CONFLICT (id) DO UPDATE
   SET name = excluded.name, work_pool = excluded.work_pool, type = excluded.type, host = excluded.host,
       version = excluded.version, run_limit = excluded.run_limit, seen_at = excluded.seen_at,
       status = excluded.status, queues = excluded.queues, prefixes = excluded.prefixes

-- name: see_worker
-- A worker lives.
UPDATE worker SET seen_at = :now, status = :status WHERE id = :id

-- name: pull_workers
-- The clock was put back: what was seen by the clock of before is seen by the clock of now.
UPDATE worker SET seen_at = :now WHERE seen_at > :now

-- name: lose_workers
-- Workers that were not seen since a time are offline.
UPDATE worker SET status = 'offline' WHERE status <> 'offline' AND seen_at < :before

-- name: forget_workers
-- Delete workers that were not seen since a time.
DELETE FROM worker WHERE status = 'offline' AND seen_at < :before

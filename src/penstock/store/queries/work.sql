-- name: row
-- The work of a run, kept from others until the transaction ends.
SELECT run_id, status, work_pool, work_queue, priority, due_at, attempt, deployment_id, schedule, worker_id,
       renewed_at, lease_ends_at, cancelled_at, cancelled_by, wish, wished_by, late,
       losses, on_crash, job
  FROM work
 WHERE run_id = :run_id /*postgres :run_id FOR UPDATE */

-- name: look
-- The same, only to look at.
SELECT run_id, status, work_pool, work_queue, priority, due_at, attempt, deployment_id, schedule, worker_id,
       renewed_at, lease_ends_at, cancelled_at, cancelled_by, wish, wished_by, late,
       losses, on_crash, job
  FROM work
 WHERE run_id = :run_id

-- name: save
-- Keep the work of runs.
INSERT INTO work (run_id, status, work_pool, work_queue, priority, due_at, attempt, deployment_id, schedule, worker_id,
       renewed_at, lease_ends_at, cancelled_at, cancelled_by, wish, wished_by, late,
       losses, on_crash, job)
VALUES (:run_id, :status, :work_pool, :work_queue, :priority, :due_at, :attempt, :deployment_id, :schedule, :worker_id,
       :renewed_at, :lease_ends_at, :cancelled_at, :cancelled_by, :wish, :wished_by, :late,
       :losses, :on_crash, :job)
    ON CONFLICT (run_id) DO UPDATE
   SET status = excluded.status, work_pool = excluded.work_pool, work_queue = excluded.work_queue,
       priority = excluded.priority, due_at = excluded.due_at, attempt = excluded.attempt,
       worker_id = excluded.worker_id, renewed_at = excluded.renewed_at, lease_ends_at = excluded.lease_ends_at,
       cancelled_at = excluded.cancelled_at, cancelled_by = excluded.cancelled_by, wish = excluded.wish,
       wished_by = excluded.wished_by, late = excluded.late, losses = excluded.losses, job = excluded.job

-- name: candidates_of_queue
-- Runs of one queue that are due, in the order of their turn, which is that of an index; the rest as below.
SELECT run_id, work_queue, deployment_id, priority, due_at
  FROM work
 WHERE status = 'waiting' AND work_pool = :pool AND work_queue = :queue AND due_at <= :now
   AND (deployment_id IS NULL OR deployment_id NOT IN (:not_of))    -- when :not_of is given
 ORDER BY priority, due_at, run_id
 LIMIT :limit /*postgres :limit FOR UPDATE SKIP LOCKED */

-- name: candidates
-- Runs of some queues of a pool that are due, in the order of their turn; not of deployments that have no room, say.
-- What another server is about to claim is passed over.
SELECT run_id, work_queue, deployment_id
  FROM work
 WHERE status = 'waiting' AND work_pool = :pool AND work_queue IN (:queues) AND due_at <= :now
   AND (deployment_id IS NULL OR deployment_id NOT IN (:not_of))    -- when :not_of is given
 ORDER BY priority, due_at, run_id
 LIMIT :limit /*postgres :limit FOR UPDATE SKIP LOCKED */

-- name: claim
-- Runs are workers' now: an object of JSON says whose. The attempt is the fencing token.
UPDATE work
   SET status = 'claimed', attempt = attempt + 1,
       worker_id = json_extract(:workers,'$."'||run_id||'"') /*postgres CAST(:workers AS JSONB) ->> run_id */,
       renewed_at = :now, lease_ends_at = :ends_at, late = 0
 WHERE run_id IN (:ids)
RETURNING run_id, status, work_pool, work_queue, priority, due_at, attempt, deployment_id, schedule, worker_id,
       renewed_at, lease_ends_at, cancelled_at, cancelled_by, wish, wished_by, late,
       losses, on_crash, job, (SELECT flow_name || '/' || name FROM deployment WHERE id = work.deployment_id)

-- name: renew
-- A worker lives, and so do these runs of its.
UPDATE work
   SET renewed_at = :now, lease_ends_at = :ends_at
 WHERE run_id IN (:ids) AND worker_id = :worker_id AND status = 'claimed'

-- name: rows
-- The work of runs, only to look at.
SELECT run_id, status, work_pool, work_queue, priority, due_at, attempt, deployment_id, schedule, worker_id,
       renewed_at, lease_ends_at, cancelled_at, cancelled_by, wish, wished_by, late,
       losses, on_crash, job
  FROM work
 WHERE run_id IN (:ids)

-- name: expired
-- Claims whose lease is over, kept from others until the transaction ends.
SELECT run_id, status, work_pool, work_queue, priority, due_at, attempt, deployment_id, schedule, worker_id,
       renewed_at, lease_ends_at, cancelled_at, cancelled_by, wish, wished_by, late,
       losses, on_crash, job
  FROM work
 WHERE status = 'claimed' AND lease_ends_at < :now
 ORDER BY lease_ends_at, run_id
 LIMIT :limit /*postgres :limit FOR UPDATE SKIP LOCKED */

-- name: of_worker
-- What a worker has under way.
SELECT run_id, status, work_pool, work_queue, priority, due_at, attempt, deployment_id, schedule, worker_id,
       renewed_at, lease_ends_at, cancelled_at, cancelled_by, wish, wished_by, late,
       losses, on_crash, job
  FROM work
 WHERE status = 'claimed' AND worker_id = :worker_id

-- name: shift_leases
-- The time in which nobody looked does not count: leases that were renewed before it end later.
UPDATE work
   SET lease_ends_at = lease_ends_at + :gap, renewed_at = renewed_at + :gap
 WHERE status = 'claimed' AND renewed_at <= :last_look

-- name: pull_leases
-- The clock was put back: leases that were granted by the clock of before end by the clock of now.
UPDATE work
   SET lease_ends_at = :ends_at, renewed_at = :now
 WHERE status = 'claimed' AND renewed_at > :now

-- name: pull_due
-- The clock was put back: what had been due, or was to go on after a crash, does not wait for that time to come again.
UPDATE work
   SET due_at = :now
 WHERE status = 'waiting' AND due_at > :now AND (due_at <= :was_due OR attempt > 0)

-- name: late
-- Runs that should have been claimed by now, and are not marked so yet.
SELECT run_id, attempt
  FROM work
 WHERE status = 'waiting' AND late = 0 AND due_at < :before
 ORDER BY due_at, run_id
 LIMIT :limit /*postgres :limit FOR UPDATE SKIP LOCKED */

-- name: mark_late
-- They are marked.
UPDATE work SET late = 1 WHERE run_id IN (:ids)

-- name: next_due
-- When the next waiting run of the future is due.
SELECT MIN(due_at) FROM work WHERE status = 'waiting' AND due_at > :now

-- name: pools_due
-- Pools that got something to do within a time.
SELECT DISTINCT work_pool FROM work WHERE status = 'waiting' AND due_at > :after AND due_at <= :now

-- name: claimed_by_pool
-- How many runs of a pool are under way.
SELECT COUNT(*) FROM work WHERE work_pool = :pool AND status = 'claimed'

-- name: claimed_ids
-- The runs of a pool that are under way, the longest first.
SELECT run_id
  FROM work
 WHERE work_pool = :pool AND status = 'claimed'
   AND work_queue = :queue                             -- when :queue is given
   AND deployment_id = :deployment_id                  -- when :deployment_id is given
 ORDER BY due_at, run_id

-- name: claimed_by_queue
-- The same, by queue.
SELECT work_queue, COUNT(*) FROM work WHERE work_pool = :pool AND status = 'claimed' GROUP BY work_queue

-- name: claimed_by_deployment
-- The same, of some deployments.
SELECT deployment_id, COUNT(*) FROM work WHERE status = 'claimed' AND deployment_id IN (:ids) GROUP BY deployment_id

-- name: counts
-- How many runs wait (and are due), and are under way, by pool and queue. One after the other, because SQLite finds
-- neither in an index where both are asked for.
SELECT work_pool, work_queue, status, COUNT(*)
  FROM work
 WHERE status = 'waiting' AND due_at <= :now
 GROUP BY work_pool, work_queue, status
 UNION ALL
SELECT work_pool, work_queue, status, COUNT(*)
  FROM work
 WHERE status = 'claimed'
 GROUP BY work_pool, work_queue, status

-- name: of_schedule
-- Runs of a schedule that have not ended.
SELECT run_id, status
  FROM work
 WHERE deployment_id = :deployment_id AND schedule = :schedule AND status <> 'done'
 ORDER BY due_at, run_id

-- name: of_schedules
-- The same for schedules of these deployments.
SELECT deployment_id, schedule, run_id, status
  FROM work
 WHERE deployment_id IN (:ids) AND schedule IN (:names) AND status <> 'done'
 ORDER BY due_at, run_id

-- name: of_deployment
-- Runs of a deployment that have not begun.
SELECT run_id FROM work WHERE deployment_id = :deployment_id AND status IN ('waiting', 'held')

-- name: unfinished
-- Whether a pool, or a queue of it, has unfinished runs: one of them, if so.
SELECT run_id FROM work
 WHERE work_pool = :pool AND status <> 'done'
   AND work_queue = :queue                             -- when :queue is given
 LIMIT 1

-- name: preview
-- Runs of a pool that would be claimed next.
SELECT work.run_id
  FROM work JOIN work_queue ON work_queue.work_pool = work.work_pool AND work_queue.name = work.work_queue
 WHERE work.status = 'waiting' AND work.work_pool = :pool AND work.due_at <= :until
   AND work.work_queue = :queue                        -- when :queue is given
 ORDER BY work_queue.priority, work.priority, work.due_at, work.run_id
 LIMIT :limit

-- name: due
-- Runs that wait for their time or for a worker, soonest first, after a place in the list. Pools and the like are
-- only checked on the way: by their indexes, the runs would have to be sorted.
SELECT run_id, due_at
  FROM work
 WHERE status = 'waiting' AND (due_at, run_id) > (:after_due, :after_id)
   AND due_at < :until                           -- when :until is given
   AND work_pool || '' = :pool                   -- when :pool is given
   AND work_queue || '' = :queue                 -- when :queue is given
   AND deployment_id || '' = :deployment         -- when :deployment is given
 ORDER BY due_at, run_id
 LIMIT :limit

-- name: ahead_of
-- How many runs of a queue have their turn before one.
SELECT COUNT(*) FROM work
 WHERE status = 'waiting' AND work_pool = :pool AND work_queue = :queue AND due_at <= :now
   AND (priority, due_at, run_id) < (:priority, :due_at, :run_id)

-- name: contradictions
-- Work that does not fit the state of its run, and runs for workers without any. (A run that has ended is claimed until
-- its process is gone.)
SELECT work.run_id, work.status, flow_run.state_name
  FROM work LEFT JOIN flow_run ON flow_run.id = work.run_id
 WHERE flow_run.id IS NULL
    OR (work.status = 'done' AND flow_run.ended_at IS NULL
        AND (flow_run.attempt <= work.attempt OR flow_run.began_attempt = 0))
    OR (work.status IN ('waiting', 'held', 'suspended') AND flow_run.ended_at IS NOT NULL)
    OR (work.status <> 'done' AND flow_run.ended_at IS NULL AND flow_run.work_pool IS NULL)
 UNION ALL
SELECT flow_run.id, NULL, flow_run.state_name
  FROM flow_run LEFT JOIN work ON work.run_id = flow_run.id
 WHERE work.run_id IS NULL AND flow_run.work_pool IS NOT NULL AND flow_run.ended_at IS NULL
 ORDER BY 1

-- name: places
-- The pools and queues of runs that have not ended.
SELECT DISTINCT work_pool, work_queue FROM work WHERE status <> 'done' ORDER BY 1, 2

-- name: unfinished_jobs
-- What runs that have not ended execute, by run, after one of them.
SELECT run_id, job FROM work WHERE status <> 'done' AND run_id > :after ORDER BY run_id LIMIT :limit

-- name: forget
-- Delete the work of runs.
DELETE FROM work WHERE run_id IN (:ids)

-- name: late_by_pool
-- How many runs are late, by pool.
SELECT work_pool, COUNT(*) FROM work WHERE status = 'waiting' AND late = 1 GROUP BY work_pool

-- name: append
-- Keep what happened.
INSERT INTO event (at, event, run_id, task_run_id, resource, payload)
VALUES (:at, :event, :run_id, :task_run_id, :resource, :payload)

-- name: page
-- Events that meet every condition given after one of them, oldest first.
SELECT sequence, at, event, run_id, task_run_id, resource, payload
  FROM event
 WHERE sequence > :after
   AND run_id IN (:run_ids)     -- when :run_ids is given
   AND event = :event           -- when :event is given
 ORDER BY sequence
 LIMIT :limit

-- name: forget
-- Delete the events of flow runs.
DELETE FROM event WHERE run_id IN (:run_ids)

-- name: forget_all
-- Delete all events, before all is folded again.
DELETE FROM event

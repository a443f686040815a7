-- name: append
-- Keep what happened.
INSERT INTO event (at, event, run_id, task_run_id, resource, payload)
VALUES (:at, :event, :run_id, :task_run_id, :resource, :payload)

-- name: latest
-- The sequence of the last event.
SELECT MAX(sequence) FROM event

-- name: page
-- Events that meet every condition given after one of them, oldest first.
SELECT sequence, at, event, run_id, task_run_id, resource, payload
  FROM event
 WHERE sequence > :after
   AND run_id IN (:run_ids)     -- when :run_ids is given
   AND event = :event           -- when :event is given
   AND at >= :since             -- when :since is given
 ORDER BY sequence
 LIMIT :limit

-- name: tail
-- The last of them, newest first.
SELECT sequence, at, event, run_id, task_run_id, resource, payload
  FROM event
 WHERE sequence > :after
   AND run_id IN (:run_ids)     -- when :run_ids is given
   AND event = :event           -- when :event is given
   AND at >= :since             -- when :since is given
 ORDER BY sequence DESC
 LIMIT :limit

-- name: first_since
-- The first event, in the order of lists, of those from a time on. Without the + 0 all before them would be looked at.
SELECT MIN(sequence + 0) FROM event WHERE at >= :since

-- name: many_since
-- Whether there are more than so many events from a time on: the last of them, if so.
SELECT 1 FROM event WHERE at >= :since LIMIT 1 OFFSET :many

-- name: forget
-- Delete the events of flow runs.
DELETE FROM event WHERE run_id IN (:run_ids)

-- name: forget_all
-- Delete all events, before all is folded again.
DELETE FROM event

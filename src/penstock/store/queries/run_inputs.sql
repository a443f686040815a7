-- name: rows
-- Inputs by the keys of their pauses, as the fold keeps them.
SELECT run_id, key, flow_run_id, round, asked_at, deadline, suspends, message, schema, given_at, given_by, value
  FROM run_input
 WHERE run_id = :run_id
   AND key IN (:keys)                                  -- when :keys is given
 ORDER BY asked_at, key

-- name: save
-- Keep inputs.
INSERT INTO run_input (run_id, key, flow_run_id, round, asked_at, deadline, suspends, message, schema, given_at, given_by,
       value)
VALUES (:run_id, :key, :flow_run_id, :round, :asked_at, :deadline, :suspends, :message, :schema, :given_at, :given_by,
       :value)
    ON CONFLICT (run_id, key) DO UPDATE
   SET flow_run_id = excluded.flow_run_id, round = excluded.round, asked_at = excluded.asked_at,
       deadline = excluded.deadline, suspends = excluded.suspends, message = excluded.message, schema = excluded.schema,
       given_at = excluded.given_at, given_by = excluded.given_by, value = excluded.value

-- name: open
-- What a run waits for now: the task run of the pause says whether it still does.
SELECT input.run_id, input.key, input.flow_run_id, input.round, input.asked_at, input.deadline, input.suspends,
       input.message, input.schema, input.given_at, input.given_by, input.value
  FROM run_input AS input JOIN task_run ON task_run.id = input.key
 WHERE input.run_id = :run_id AND input.given_at IS NULL AND task_run.state_type = 'PAUSED'
 ORDER BY input.asked_at, input.key

-- name: overdue
-- Suspended runs for which no input has come in time.
SELECT DISTINCT input.run_id
  FROM run_input AS input
       JOIN task_run ON task_run.id = input.key
       JOIN flow_run ON flow_run.id = input.run_id
 WHERE input.given_at IS NULL AND input.deadline < :now AND input.suspends = 1 AND task_run.state_type = 'PAUSED'
   AND flow_run.state_type = 'PAUSED' AND flow_run.state_name = 'Suspended'
 LIMIT :limit

-- name: forget
-- Delete the inputs of runs.
DELETE FROM run_input WHERE run_id IN (:run_ids)

-- name: forget_all
-- Delete all inputs.
DELETE FROM run_input

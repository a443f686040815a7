-- name: rows
-- Task runs by id, as the fold keeps them.
SELECT *
  FROM task_run
 WHERE id IN (:ids)

-- name: unfinished
-- Task runs of flow runs that have not ended.
SELECT *
  FROM task_run
 WHERE flow_run_id IN (:flow_run_ids) AND state_type <> 'COMPLETED' AND ended_at IS NULL

-- name: save
-- Keep task runs as the fold has made them.
INSERT INTO task_run (id, flow_run_id, scope_id, name, task_name, task_key, kind, state_type, state_name,
       state_message, started_at, ended_at, attempt, run_count, reused_from, upstream, inputs, tags, cache, address,
       clock, began_attempt, began_clock, result)
VALUES (:id, :flow_run_id, :scope_id, :name, :task_name, :task_key, :kind, :state_type, :state_name, :state_message,
       :started_at, :ended_at, :attempt, :run_count, :reused_from, :upstream, :inputs, :tags, :cache, :address,
       :clock, :began_attempt, :began_clock, :result)
    ON CONFLICT (id) DO UPDATE
   SET flow_run_id = excluded.flow_run_id, scope_id = excluded.scope_id, name = excluded.name,
       task_name = excluded.task_name, task_key = excluded.task_key, kind = excluded.kind,
       state_type = excluded.state_type, state_name = excluded.state_name, state_message = excluded.state_message,
       started_at = excluded.started_at, ended_at = excluded.ended_at, attempt = excluded.attempt,
       run_count = excluded.run_count, reused_from = excluded.reused_from, upstream = excluded.upstream,
       inputs = excluded.inputs, tags = excluded.tags, cache = excluded.cache, address = excluded.address,
       clock = excluded.clock, began_attempt = excluded.began_attempt, began_clock = excluded.began_clock,
       result = excluded.result

-- name: page
-- Task runs of a flow run in the order in which they began, from a place in the list on.
SELECT *
  FROM task_run
 WHERE flow_run_id = :flow_run_id AND sequence > :after
   AND state_type <> 'COMPLETED'     -- when :not_completed is given
   AND state_type IN (:states)       -- when :states is given
   AND (state_type IN (:whole) OR state_name IN (:state_names))  -- when :state_names is given
 ORDER BY sequence
 LIMIT :limit

-- name: ids_from
-- The ids from one text up to another: those that begin with it.
SELECT id FROM task_run WHERE id >= :start AND id < :stop ORDER BY id LIMIT :limit

-- name: state_counts
-- How many task runs of flow runs are in which state.
SELECT flow_run_id, state_type, state_name, task_runs
  FROM task_run_count
 WHERE flow_run_id IN (:flow_run_ids) AND task_runs > 0
 ORDER BY flow_run_id, state_type, state_name

-- name: count_state
-- So many more task runs in a state.
INSERT INTO task_run_count (flow_run_id, state_type, state_name, task_runs)
VALUES (:flow_run_id, :state_type, :state_name, :task_runs)
    ON CONFLICT (flow_run_id, state_type, state_name) DO UPDATE
   SET task_runs = task_run_count.task_runs + excluded.task_runs

-- name: uncount_state
-- So many fewer task runs in a state: task_runs is below zero.
UPDATE task_run_count SET task_runs = task_runs + :task_runs
 WHERE flow_run_id = :flow_run_id AND state_type = :state_type AND state_name = :state_name

-- name: forget
-- Delete the task runs of flow runs.
DELETE FROM task_run WHERE flow_run_id IN (:flow_run_ids)

-- name: forget_counts
-- Delete the counts of task runs of flow runs.
DELETE FROM task_run_count WHERE flow_run_id IN (:flow_run_ids)

-- name: forget_all
-- Delete all task runs, before all is folded again.
DELETE FROM task_run

-- name: forget_all_counts
-- The same for their counts.
DELETE FROM task_run_count

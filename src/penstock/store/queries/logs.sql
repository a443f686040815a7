-- name: append
-- Keep lines of logs.
INSERT INTO log (at, flow_run_id, task_run_id, level, logger, message)
VALUES (:at, :flow_run_id, :task_run_id, :level, :logger, :message)

-- name: page
-- Lines of flow runs after one of them, oldest first.
SELECT sequence, at, flow_run_id, task_run_id, level, logger, message
  FROM log
 WHERE flow_run_id IN (:flow_run_ids) AND sequence > :after
   AND level >= :level                                                           -- when :level is given
   AND at >= :since                                                              -- when :since is given
   AND (task_run_id >= :task AND task_run_id < :task_end                         -- when :task is given
        OR EXISTS (SELECT 1 FROM task_run WHERE task_run.id = log.task_run_id    -- when :task is given
                      AND (task_run.name = :task OR task_run.task_name = :task)))   -- when :task is given
 ORDER BY sequence
 LIMIT :limit

-- name: tail
-- The last lines of flow runs, newest first.
SELECT sequence, at, flow_run_id, task_run_id, level, logger, message
  FROM log
 WHERE flow_run_id IN (:flow_run_ids) AND sequence > :after
   AND level >= :level                                                           -- when :level is given
   AND at >= :since                                                              -- when :since is given
   AND (task_run_id >= :task AND task_run_id < :task_end                         -- when :task is given
        OR EXISTS (SELECT 1 FROM task_run WHERE task_run.id = log.task_run_id    -- when :task is given
                      AND (task_run.name = :task OR task_run.task_name = :task)))   -- when :task is given
 ORDER BY sequence DESC
 LIMIT :limit

-- name: forget
-- Delete the lines of flow runs.
DELETE FROM log WHERE flow_run_id IN (:flow_run_ids)

-- name: forget_all
-- Delete all lines, before all is folded again.
DELETE FROM log

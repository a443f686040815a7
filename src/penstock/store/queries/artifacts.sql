-- name: rows
-- Artifacts by id, as the fold keeps them.
SELECT *
  FROM artifact
 WHERE id IN (:ids)

-- name: save
-- Keep artifacts; the same id again replaces the one that was there.
INSERT INTO artifact (id, flow_run_id, task_run_id, kind, key, description, created_at, updated_at, clock, data)
VALUES (:id, :flow_run_id, :task_run_id, :kind, :key, :description, :created_at, :updated_at, :clock, :data)
    ON CONFLICT (id) DO UPDATE
   SET flow_run_id = excluded.flow_run_id, task_run_id = excluded.task_run_id, kind = excluded.kind,
       key = excluded.key, description = excluded.description, created_at = excluded.created_at,
       updated_at = excluded.updated_at, clock = excluded.clock, data = excluded.data

-- name: page
-- Artifacts that meet every condition given, newest first, from a place in the list on.
SELECT *
  FROM artifact
 WHERE sequence < :before
   AND flow_run_id IN (:flow_run_ids)    -- when :flow_run_ids is given
   AND key = :key                        -- when :key is given
   AND kind = :kind                      -- when :kind is given
 ORDER BY sequence DESC
 LIMIT :limit

-- name: ids_from
-- The ids from one text up to another: those that begin with it.
SELECT id FROM artifact WHERE id >= :start AND id < :stop ORDER BY id LIMIT :limit

-- name: keys
-- The keys that artifacts have.
SELECT DISTINCT key FROM artifact WHERE key IS NOT NULL ORDER BY key LIMIT :limit

-- name: forget
-- Delete the artifacts of flow runs.
DELETE FROM artifact WHERE flow_run_id IN (:flow_run_ids)

-- name: forget_all
-- Delete all artifacts, before all is folded again.
DELETE FROM artifact

-- name: rows
-- Flow runs by id, as the fold keeps them.
SELECT flow_run.*
  FROM flow_run
 WHERE id IN (:ids)

-- name: rows_of_root
-- A run and its subflow runs at any depth.
SELECT flow_run.*
  FROM flow_run
 WHERE root_run_id = :root_run_id
   AND ended_at IS NULL    -- when :unfinished is given
 ORDER BY created_at, id

-- name: save
-- Keep flow runs as the fold has made them.
INSERT INTO flow_run (id, name, flow_name, flow_version, entrypoint, code_version, state_type, state_name,
       state_message, created_at, started_at, ended_at, attempt, run_count, tags, parent_flow_run_id,
       parent_task_run_id, root_run_id, source, forked_from, description, crashes, clock, began_attempt, began_clock,
       lost_attempt, progress_attempt, parameters, arguments, result)
VALUES (:id, :name, :flow_name, :flow_version, :entrypoint, :code_version, :state_type, :state_name, :state_message,
       :created_at, :started_at, :ended_at, :attempt, :run_count, :tags, :parent_flow_run_id, :parent_task_run_id,
       :root_run_id, :source, :forked_from, :description, :crashes, :clock, :began_attempt, :began_clock,
       :lost_attempt, :progress_attempt, :parameters, :arguments, :result)
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
       arguments = excluded.arguments, result = excluded.result

-- name: page
-- Flow runs that meet every condition given, newest first, from a place in the list on.
-- What many runs have in common (common_name, common_tag) is only checked on the way: the index that
-- would find those runs would make the database sort all of them.
SELECT flow_run.*
  FROM flow_run
 WHERE (created_at, id) < (:before_created, :before_id)
   AND created_at >= :since                                            -- when :since is given
   AND flow_name = :flow                                               -- when :flow is given
   AND state_type = :state                                             -- when :state is given
   AND name >= :name AND name < :name_end                              -- when :name is given
   AND name || '' >= :common_name AND name || '' < :common_name_end    -- when :common_name is given
   AND EXISTS (SELECT 1 FROM flow_run_tag AS tagged                    -- when :common_tag is given
                WHERE tagged.tag = :common_tag                         -- when :common_tag is given
                  AND tagged.created_at = flow_run.created_at          -- when :common_tag is given
                  AND tagged.flow_run_id = flow_run.id)                -- when :common_tag is given
   AND parent_flow_run_id = :parent                                    -- when :parent is given
   AND parent_flow_run_id IS NULL                                      -- when :roots is given
 ORDER BY created_at DESC, id DESC
 LIMIT :limit

-- name: page_with_tag
-- The same, by way of the runs with a tag.
SELECT flow_run.*
  FROM flow_run_tag AS tagged JOIN flow_run ON flow_run.id = tagged.flow_run_id
 WHERE tagged.tag = :tag
   AND (tagged.created_at, tagged.flow_run_id) < (:before_created, :before_id)
   AND tagged.created_at >= :since                      -- when :since is given
   AND flow_name = :flow                                -- when :flow is given
   AND state_type = :state                              -- when :state is given
   AND name >= :name AND name < :name_end               -- when :name is given
   AND name >= :common_name AND name < :common_name_end -- when :common_name is given
   AND parent_flow_run_id = :parent                     -- when :parent is given
   AND parent_flow_run_id IS NULL                       -- when :roots is given
 ORDER BY tagged.created_at DESC, tagged.flow_run_id DESC
 LIMIT :limit

-- name: some_named
-- Whether more than so many runs have a name that begins like this: the last of them, if so.
SELECT 1 FROM flow_run WHERE name >= :name AND name < :name_end LIMIT 1 OFFSET :many

-- name: some_tagged
-- Whether more than so many runs have a tag: the last of them, if so.
SELECT 1 FROM flow_run_tag WHERE tag = :tag LIMIT 1 OFFSET :many

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
-- The flows that have runs, and how many.
SELECT name, runs FROM flow WHERE runs > 0 ORDER BY name

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
    SELECT :id
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

-- name: ended_before
-- Root runs that ended before a time, oldest first, after a place in the list.
SELECT created_at, id, ended_at
  FROM flow_run
 WHERE parent_flow_run_id IS NULL
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
SELECT COUNT(*) FROM flow_run WHERE parent_flow_run_id IS NULL AND ended_at IS NOT NULL

-- name: forget_all
-- Delete all flow runs, before all is folded again.
DELETE FROM flow_run

-- name: forget_all_tags
-- The same for their tags.
DELETE FROM flow_run_tag

-- name: forget_all_flows
-- The same for the counts of their flows.
DELETE FROM flow

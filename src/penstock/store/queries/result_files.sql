-- name: refer
-- A root run names a file.
INSERT INTO result_file (location, root_run_id) VALUES (:location, :root_run_id)
    ON CONFLICT (location, root_run_id) DO NOTHING

-- name: of_root
-- The files that a root run names.
SELECT location FROM result_file WHERE root_run_id = :root_run_id ORDER BY location

-- name: referrers
-- Who names these files.
SELECT location, root_run_id FROM result_file WHERE location IN (:locations)

-- name: next_locations
-- All files that are named, after one of them.
SELECT DISTINCT location FROM result_file WHERE location > :after ORDER BY location LIMIT :limit

-- name: forget
-- A root run names no files any more.
DELETE FROM result_file WHERE root_run_id = :root_run_id

-- name: forget_all
-- Delete all of it, before all is folded again.
DELETE FROM result_file

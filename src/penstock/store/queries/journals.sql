-- name: cursor
-- How far one journal is folded.
SELECT run_id, attempt, writer, end_offset, clock, host, boot_id, pid, refused, definitions
  FROM journal_cursor
 WHERE run_id = :run_id AND attempt = :attempt AND writer = :writer

-- name: cursors_of_run
-- How far each journal of a run is folded, oldest attempt first.
SELECT run_id, attempt, writer, end_offset, clock, host, boot_id, pid, refused, definitions
  FROM journal_cursor
 WHERE run_id = :run_id
 ORDER BY attempt, writer

-- name: cursors_of_runs
-- The same for several runs.
SELECT run_id, attempt, writer, end_offset, clock, host, boot_id, pid, refused, definitions
  FROM journal_cursor
 WHERE run_id IN (:ids)

-- name: save_cursor
-- A journal is folded up to here.
INSERT INTO journal_cursor (run_id, attempt, writer, end_offset, clock, host, boot_id, pid, refused, definitions)
VALUES (:run_id, :attempt, :writer, :end_offset, :clock, :host, :boot_id, :pid, :refused, :definitions)
    ON CONFLICT (run_id, attempt, writer) DO UPDATE
   SET end_offset = excluded.end_offset, clock = excluded.clock, host = excluded.host, boot_id = excluded.boot_id,
       pid = excluded.pid, refused = excluded.refused, definitions = excluded.definitions

-- name: append_segment
-- Keep the bytes of a piece. A piece that is already there is an error: the cursor forbids it.
INSERT INTO journal_segment (run_id, attempt, writer, start_offset, end_offset, frames)
VALUES (:run_id, :attempt, :writer, :start_offset, :end_offset, :frames)

-- name: segments_of_run
-- The pieces of a run in the order in which they were folded, without their bytes.
SELECT sequence, run_id, attempt, writer, start_offset, end_offset
  FROM journal_segment
 WHERE run_id = :run_id
   AND attempt = :attempt  -- when :attempt is given
   AND writer = :writer    -- when :writer is given
 ORDER BY sequence

-- name: frames
-- The bytes of one piece.
SELECT frames FROM journal_segment WHERE sequence = :sequence

-- name: next_segments
-- Pieces of all runs after one of them, in the order in which they were folded, without their bytes.
SELECT sequence, run_id, attempt, writer, start_offset, end_offset
  FROM journal_segment
 WHERE sequence > :after
 ORDER BY sequence
 LIMIT :limit

-- name: run_ids
-- The next runs after one of them that have journals in the store.
SELECT DISTINCT run_id FROM journal_cursor WHERE run_id > :after ORDER BY run_id LIMIT :limit

-- name: latest_attempt
-- The number of the latest attempt of which something is in the store.
SELECT MAX(attempt) FROM journal_cursor WHERE run_id = :run_id

-- name: forget_segments
-- Delete the pieces of a run.
DELETE FROM journal_segment WHERE run_id = :run_id

-- name: forget_cursors
-- Delete what is known of how far a run's journals are folded.
DELETE FROM journal_cursor WHERE run_id = :run_id

-- name: keep_others_from_folding
-- Whoever folds asks for a cursor first. In SQLite there is nobody else.
SELECT /*postgres LOCK TABLE journal_cursor IN */
       1 /*postgres ACCESS EXCLUSIVE MODE */

-- name: forget_all_cursors
-- Delete what is known of how far any journal is folded, before all is folded again.
DELETE FROM journal_cursor

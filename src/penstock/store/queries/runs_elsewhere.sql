-- name: rows
-- What is known of runs that were started by hand on other machines.
SELECT run_id, attempt, shipper_id, renewed_at, lease_ends_at
  FROM run_elsewhere
 WHERE run_id IN (:run_ids)

-- name: save
-- Somebody ships the journals of these runs, whose processes live.
INSERT INTO run_elsewhere (run_id, attempt, shipper_id, renewed_at, lease_ends_at)
VALUES (:run_id, :attempt, :shipper_id, :renewed_at, :lease_ends_at)
    ON CONFLICT (run_id) DO UPDATE
   SET attempt = excluded.attempt, shipper_id = excluded.shipper_id, renewed_at = excluded.renewed_at,
       lease_ends_at = excluded.lease_ends_at

-- name: expired
-- Runs of which nobody has heard in time.
SELECT run_id, attempt, shipper_id, renewed_at, lease_ends_at
  FROM run_elsewhere
 WHERE lease_ends_at < :now
 ORDER BY lease_ends_at, run_id
 LIMIT :limit

-- name: shift_leases
-- The time in which nobody looked does not count: leases that were renewed before it end later.
UPDATE run_elsewhere
   SET lease_ends_at = lease_ends_at + :gap, renewed_at = renewed_at + :gap
 WHERE lease_ends_at IS NOT NULL AND renewed_at <= :last_look

-- name: pull_leases
-- The clock was put back: leases that were granted by the clock of before end by the clock of now.
UPDATE run_elsewhere
   SET lease_ends_at = :ends_at, renewed_at = :now
 WHERE lease_ends_at IS NOT NULL AND renewed_at > :now

-- name: forget
-- Delete what is known of runs.
DELETE FROM run_elsewhere WHERE run_id IN (:run_ids)

-- name: of_deployments
-- The schedules of deployments, by name.
SELECT deployment_id, name, paused, slots_until, look_at, trouble, spec
  FROM schedule
 WHERE deployment_id IN (:ids)
 ORDER BY deployment_id, name

-- name: due
-- Schedules that have something to decide, the longest overdue first. Another server leaves to us what we have locked.
SELECT schedule.deployment_id, schedule.name, schedule.paused, schedule.slots_until, schedule.look_at,
       schedule.trouble, schedule.spec
  FROM schedule JOIN deployment ON deployment.id = schedule.deployment_id
 WHERE schedule.look_at IS NOT NULL AND schedule.look_at <= :now AND schedule.paused = 0 AND deployment.paused = 0
 ORDER BY schedule.look_at
 LIMIT :limit /*postgres :limit FOR UPDATE OF schedule SKIP LOCKED */

-- name: next_look
-- When the next schedule has something to decide.
SELECT MIN(schedule.look_at)
  FROM schedule JOIN deployment ON deployment.id = schedule.deployment_id
 WHERE schedule.look_at IS NOT NULL AND schedule.paused = 0 AND deployment.paused = 0

-- name: ahead
-- Schedules whose last decided slot lies in the future: the clock was put back.
SELECT schedule.deployment_id, schedule.name, schedule.paused, schedule.slots_until, schedule.look_at,
       schedule.trouble, schedule.spec
  FROM schedule
 WHERE schedule.slots_until > :now AND schedule.look_at IS NOT NULL AND schedule.paused = 0
 LIMIT :limit /*postgres :limit FOR UPDATE OF schedule SKIP LOCKED */

-- name: save
-- Keep schedules.
INSERT INTO schedule (deployment_id, name, paused, slots_until, look_at, trouble, spec)
VALUES (:deployment_id, :name, :paused, :slots_until, :look_at, :trouble, :spec)
    ON CONFLICT (deployment_id, name) DO UPDATE
   SET paused = excluded.paused, slots_until = excluded.slots_until, look_at = excluded.look_at,
       trouble = excluded.trouble, spec = excluded.spec

-- name: forget
-- Delete a schedule, or all of a deployment.
DELETE FROM schedule
 WHERE deployment_id = :deployment_id
   AND name = :name                                    -- when :name is given

-- name: take_slot
-- A scheduled time gets its run, unless it had one before, or it is known why it has none.
INSERT INTO slot (deployment_id, schedule, slot, last, slots, run_id, reason)
VALUES (:deployment_id, :schedule, :slot, :last, :slots, :run_id, :reason)
    ON CONFLICT (deployment_id, schedule, slot) DO NOTHING

-- name: known_slots
-- Times of deployments of which it is known what becomes of them.
SELECT deployment_id, schedule, slot
  FROM slot
 WHERE deployment_id IN (:ids) AND slot >= :first AND slot <= :last

-- name: slots
-- What became of scheduled times, latest first, before a place in the list.
SELECT deployment_id, schedule, slot, last, slots, run_id, reason
  FROM slot
 WHERE deployment_id = :deployment_id
   AND slot < :before
   AND schedule = :schedule                            -- when :schedule is given
 ORDER BY slot DESC, schedule
 LIMIT :limit

-- name: of_run
-- The schedule that has made a run.
SELECT schedule FROM slot WHERE run_id = :run_id

-- name: forget_slots
-- Delete what became of a deployment's scheduled times.
DELETE FROM slot WHERE deployment_id = :deployment_id

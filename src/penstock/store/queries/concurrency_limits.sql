-- name: limit
-- A limit, by name.
SELECT name, slots, slots_per_second, active, created_at FROM concurrency_limit WHERE name = :name

-- name: limits
-- All limits, or some.
SELECT name, slots, slots_per_second, active, created_at
  FROM concurrency_limit
 WHERE name >= ''
   AND name IN (:names)                                -- when :names is given
   AND active = :active                                -- when :active is given
 ORDER BY name

-- name: save_limit
-- Keep a limit.
INSERT INTO concurrency_limit (name, slots, slots_per_second, active, created_at)
VALUES (:name, :slots, :slots_per_second, :active, :created_at)
    ON CONFLICT (name) DO UPDATE
   SET slots = excluded.slots, slots_per_second = excluded.slots_per_second, active = excluded.active

-- name: forget_limit
-- Delete a limit.
DELETE FROM concurrency_limit WHERE name = :name

-- name: counts
-- How many slots of each limit are held, and how many bookings wait.
SELECT limit_name, status, SUM(slots), COUNT(*) FROM slot_booking GROUP BY limit_name, status

-- name: booking
-- A booking: a row for each of its limits.
SELECT booking_id, limit_name, key, slots, status, priority, arrived_at, held_since, owner, run_id, attempt,
       task_run_id, task_run_name, who, renewed_at, lease_ends_at
  FROM slot_booking
 WHERE booking_id = :booking_id
 ORDER BY limit_name

-- name: add_booking
-- Keep a new booking.
INSERT INTO slot_booking (booking_id, limit_name, key, slots, status, priority, arrived_at, held_since, owner, run_id,
       attempt, task_run_id, task_run_name, who, renewed_at, lease_ends_at)
VALUES (:booking_id, :limit_name, :key, :slots, :status, :priority, :arrived_at, :held_since, :owner, :run_id,
       :attempt, :task_run_id, :task_run_name, :who, :renewed_at, :lease_ends_at)
    ON CONFLICT (booking_id, limit_name) DO NOTHING

-- name: hold
-- A booking has its slots.
UPDATE slot_booking SET status = 'held', held_since = :now WHERE booking_id = :booking_id

-- name: want_at_most
-- Who waits for more slots than there are now waits for all of them.
UPDATE slot_booking SET slots = :slots WHERE limit_name = :limit_name AND status = 'waiting' AND slots > :slots

-- name: forget_booking
-- A booking is over.
DELETE FROM slot_booking WHERE booking_id = :booking_id

-- name: held
-- How many slots of a place are held by those who live: a worker's run lives as long as its attempt is under way.
SELECT COALESCE(SUM(slots), 0)
  FROM slot_booking
 WHERE limit_name = :limit_name AND key = :key AND status = 'held'
   AND (lease_ends_at IS NOT NULL
        OR EXISTS (SELECT 1 FROM work
                    WHERE work.run_id = slot_booking.run_id AND work.attempt = slot_booking.attempt
                      AND work.status = 'claimed'))

-- name: first_waiting
-- Who of those who live waits first at a place.
SELECT booking_id
  FROM slot_booking
 WHERE limit_name = :limit_name AND key = :key AND status = 'waiting'
   AND (lease_ends_at IS NOT NULL
        OR EXISTS (SELECT 1 FROM work
                    WHERE work.run_id = slot_booking.run_id AND work.attempt = slot_booking.attempt
                      AND work.status = 'claimed'))
 ORDER BY priority, arrived_at, booking_id
 LIMIT 1

-- name: ahead_of
-- How many bookings come before one, at a place.
SELECT COUNT(*)
  FROM slot_booking
 WHERE limit_name = :limit_name AND key = :key AND status = 'waiting'
   AND (priority, arrived_at, booking_id) < (:priority, :arrived_at, :booking_id)

-- name: places
-- The places of a limit at which somebody holds slots or waits.
SELECT DISTINCT limit_name, key FROM slot_booking WHERE limit_name = :limit_name

-- name: of_limit
-- Who holds slots of a limit, or waits for them, with the name of the run.
SELECT booking.booking_id, booking.limit_name, booking.key, booking.slots, booking.status, booking.priority,
       booking.arrived_at, booking.held_since, booking.run_id, flow_run.name, booking.task_run_id,
       booking.task_run_name, booking.who
  FROM slot_booking AS booking LEFT JOIN flow_run ON flow_run.id = booking.run_id
 WHERE booking.limit_name = :limit_name AND booking.status = :status
   AND booking.key = :key                              -- when :key is given
 ORDER BY booking.priority, booking.arrived_at, booking.booking_id
 LIMIT :limit

-- name: waiting
-- Who waits for slots of a limit: the bookings, and the processes that made them.
SELECT booking_id, owner FROM slot_booking WHERE limit_name = :limit_name AND status = 'waiting'

-- name: wanted_together
-- Limits of which those who wait for some of these want slots, too.
SELECT DISTINCT other.limit_name
  FROM slot_booking AS booking JOIN slot_booking AS other ON other.booking_id = booking.booking_id
 WHERE booking.limit_name IN (:names) AND booking.status = 'waiting'

-- name: of_run
-- The bookings of a run's attempts up to one.
SELECT booking_id, limit_name, key, slots, status, priority, arrived_at, held_since, owner, run_id, attempt,
       task_run_id, task_run_name, who, renewed_at, lease_ends_at
  FROM slot_booking
 WHERE run_id = :run_id
   AND attempt <= :attempt                             -- when :attempt is given
 ORDER BY booking_id, limit_name

-- name: of_owner
-- The bookings of a process, and how they stand.
SELECT DISTINCT booking_id, status
  FROM slot_booking
 WHERE owner = :owner
   AND run_id = :run_id                                -- when :run_id is given

-- name: renew
-- A process lives, and so do its bookings.
UPDATE slot_booking
   SET renewed_at = :now, lease_ends_at = :ends_at
 WHERE owner = :owner AND lease_ends_at IS NOT NULL

-- name: expired
-- Bookings of processes that were not heard of for too long.
SELECT DISTINCT booking_id FROM slot_booking WHERE lease_ends_at < :now LIMIT :limit

-- name: orphaned
-- Bookings of attempts that are not under way any more.
SELECT DISTINCT booking_id
  FROM slot_booking
 WHERE lease_ends_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM work
                    WHERE work.run_id = slot_booking.run_id AND work.attempt = slot_booking.attempt
                      AND work.status = 'claimed')
 LIMIT :limit

-- name: shift_leases
-- The time in which nobody looked does not count: leases that were renewed before it end later.
UPDATE slot_booking
   SET lease_ends_at = lease_ends_at + :gap, renewed_at = renewed_at + :gap
 WHERE lease_ends_at IS NOT NULL AND renewed_at <= :last_look

-- name: pull_leases
-- The clock was put back: leases that were granted by the clock of before end by the clock of now.
UPDATE slot_booking
   SET lease_ends_at = :ends_at, renewed_at = :now
 WHERE lease_ends_at IS NOT NULL AND renewed_at > :now

-- name: forget_limit_bookings
-- Nobody holds slots of a limit any more, or waits for them.
DELETE FROM slot_booking
 WHERE limit_name = :limit_name
   AND status = :status                                -- when :status is given

-- name: bucket
-- What is left of a rate limit.
SELECT full_at, taken_at FROM rate_bucket WHERE limit_name = :limit_name AND key = :key

-- name: save_bucket
-- Keep what is left of it.
INSERT INTO rate_bucket (limit_name, key, full_at, taken_at)
VALUES (:limit_name, :key, :full_at, :taken_at)
    ON CONFLICT (limit_name, key) DO UPDATE SET full_at = excluded.full_at, taken_at = excluded.taken_at

-- name: forget_buckets
-- Those that are full need not be kept.
DELETE FROM rate_bucket WHERE full_at <= :now

-- name: forget_limit_buckets
-- All of a limit are full.
DELETE FROM rate_bucket WHERE limit_name = :limit_name

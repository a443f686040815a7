-- name: answers
-- What was answered to somebody's requests of these keys.
SELECT key, digest, answer FROM kept_answer WHERE asker = :asker AND key IN (:keys)

-- name: keep
-- Keep an answer.
INSERT INTO kept_answer (asker, key, digest, answer, at) VALUES (:asker, :key, :digest, :answer, :at)

-- name: forget
-- Delete the answers that nobody asks for again.
DELETE FROM kept_answer WHERE at < :before

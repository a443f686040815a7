-- name: add
-- Let somebody in.
INSERT INTO api_key (id, name, digest, permissions, work_pool, created_at, expires_at, used_at)
VALUES (:id, :name, :digest, :permissions, :work_pool, :created_at, :expires_at, :used_at)

-- name: row
-- The key of this id.
SELECT id, name, digest, permissions, work_pool, created_at, expires_at, used_at FROM api_key WHERE id = :id

-- name: all
-- All keys by name.
SELECT id, name, digest, permissions, work_pool, created_at, expires_at, used_at FROM api_key ORDER BY name

-- name: use
-- The key was shown.
UPDATE api_key SET used_at = :at WHERE id = :id

-- name: forget
-- Let nobody in with this key any more.
DELETE FROM api_key WHERE id = :id

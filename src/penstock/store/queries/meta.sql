-- name: value
-- What is known under a name.
SELECT value FROM meta WHERE name = :name

-- name: put_value
-- Keep a value under a name.
INSERT INTO meta (name, value) VALUES (:name, :value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: add
-- There is a file. One of the same digest is the same.
INSERT INTO kept_file (kind, digest, size, used_at) VALUES (:kind, :digest, :size, :used_at)
    ON CONFLICT (kind, digest) DO UPDATE SET used_at = excluded.used_at

-- name: add_part
-- Some of its bytes.
INSERT INTO kept_file_part (kind, digest, part, data) VALUES (:kind, :digest, :part, :data)

-- name: size
-- How large a file is.
SELECT size FROM kept_file WHERE kind = :kind AND digest = :digest

-- name: part
-- Some of its bytes.
SELECT data FROM kept_file_part WHERE kind = :kind AND digest = :digest AND part = :part

-- name: use
-- There is a use for these files.
UPDATE kept_file SET used_at = :at WHERE kind = :kind AND digest IN (:digests)

-- name: unused
-- The next files after one of them for which nobody had a use for long.
SELECT digest, size FROM kept_file
 WHERE kind = :kind AND used_at < :before AND digest > :after
 ORDER BY digest
 LIMIT :limit

-- name: forget
-- Delete files …
DELETE FROM kept_file WHERE kind = :kind AND digest IN (:digests)

-- name: forget_parts
-- … with their bytes.
DELETE FROM kept_file_part WHERE kind = :kind AND digest IN (:digests)

-- name: forget_stray_parts
-- Delete bytes of no file.
DELETE FROM kept_file_part
 WHERE NOT EXISTS (SELECT 1 FROM kept_file
                    WHERE kept_file.kind = kept_file_part.kind AND kept_file.digest = kept_file_part.digest)

-- Applying tombstones to a restored database, by the login that migrates. `{table}` is a name from the catalogue, quoted.

-- name: has_tombstones
SELECT to_regclass('agentflow_tombstones') IS NOT NULL AS found

-- name: tombstones
SELECT t.tenant_id, t.user_digest, t.purged_at, t.receipt_id, r.body, r.jws, k.public_jwk
FROM agentflow_tombstones t
LEFT JOIN agentflow_receipts r ON r.receipt_id = t.receipt_id
LEFT JOIN agentflow_signing_keys k ON k.kid = r.key_id
ORDER BY r.sequence NULLS FIRST, t.purged_at, t.receipt_id

-- name: receipt_ids
SELECT receipt_id FROM agentflow_tombstones

-- name: tables_of_tenants
-- Every table that has rows of tenants, but for the records of their end and the fence; the tenants themselves last, since others refer to
-- them, and threads first, since deleting them deletes what is below.
SELECT format('%I', c.relname) AS name
FROM pg_catalog.pg_class c
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND starts_with(c.relname, 'agentflow_') AND pg_table_is_visible(c.oid)
  AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
  AND c.relname NOT IN ('agentflow_offboardings', 'agentflow_receipts', 'agentflow_tombstones', 'agentflow_placements')
ORDER BY c.relname = 'agentflow_tenants', c.relname <> 'agentflow_threads', c.relname

-- name: fence
-- Nobody makes a thread of the tenant any more: as at its offboarding, which the backup knows nothing of.
INSERT INTO agentflow_placements (tenant_id, placement, creates_in) VALUES (:tenant_id, 0, -2147483648)
ON CONFLICT (tenant_id) DO UPDATE SET creates_in = excluded.creates_in, changed_at = now()

-- name: delete_of_tenant
DELETE FROM {table} WHERE tenant_id = :tenant_id

-- name: slug
SELECT slug FROM agentflow_tenants WHERE tenant_id = :tenant_id

-- name: keep_digests
-- Of keys that end with their tenant: who still has one is told that it is gone.
INSERT INTO agentflow_ended_keys (digest, receipt_id)
SELECT digest, :receipt_id FROM agentflow_api_keys WHERE tenant_id = :tenant_id
ON CONFLICT DO NOTHING

-- name: user_of_digest
-- Whose id a tombstone is about, in whatever row or kept answer still has it: who was killed half-way finds it in what is left.
-- An id that is escaped because it is no text (NUL, half a surrogate pair) is nobody's. Cost: reads all of the tenant's ids once.
SELECT n.user_id
FROM (
    SELECT user_id FROM agentflow_threads WHERE tenant_id = :tenant_id
    UNION SELECT user_id FROM agentflow_runs WHERE tenant_id = :tenant_id
    UNION SELECT user_id FROM agentflow_exports WHERE tenant_id = :tenant_id
    UNION SELECT user_id FROM agentflow_offboardings WHERE tenant_id = :tenant_id
    UNION SELECT details ->> 'user_id' FROM agentflow_audit_log WHERE tenant_id = :tenant_id
    UNION SELECT CASE WHEN m.found !~* '\\u(0000|d[89a-f])' THEN CAST(m.found AS json) #>> '{}' END
    FROM agentflow_idempotency k, string_to_table(k.body, '"user_id"') p,
         substring(left(p, 2048) FROM '^\s*:\s*("(?:[^"\\]|\\.)*")') AS m (found)
    WHERE k.tenant_id IN (:tenant_id, '00000000-0000-0000-0000-000000000000')
) n
WHERE sha256(uuid_send(CAST(:tenant_id AS uuid)) || convert_to('user:' || n.user_id, 'UTF8')) = :user_digest

-- name: keep_key
-- What a receipt verifies with. It signs and opens nothing any more.
INSERT INTO agentflow_signing_keys (kid, public_jwk, sealed, created_at, retired_at)
VALUES (:kid, CAST(CAST(:public_jwk AS text) AS jsonb), '', to_timestamp(0), to_timestamp(0))
ON CONFLICT (kid) DO NOTHING

-- name: keep_receipt
-- One that was issued after the backup. No row when its number, or its offboarding, has another one here.
INSERT INTO agentflow_receipts (receipt_id, sequence, issued_at, tenant_id, body, jws, key_id, previous)
VALUES (:receipt_id, :sequence, :issued_at, :tenant_id, :body, :jws, :key_id, :previous)
ON CONFLICT DO NOTHING

-- name: has_receipt
SELECT EXISTS (SELECT FROM agentflow_receipts WHERE receipt_id = :receipt_id AND body = :body) AS found

-- name: keep_tombstone
INSERT INTO agentflow_tombstones (receipt_id, tenant_id, user_digest, purged_at)
VALUES (:receipt_id, :tenant_id, :user_digest, :purged_at)
ON CONFLICT DO NOTHING

-- name: keep_offboarding
-- Its record, which the backup lacks or has as it was on its way, with names.
INSERT INTO agentflow_offboardings (offboarding_id, tenant_id, kind, slug_digest, user_digest, state, step, placements, requested_by,
                                    created_at, fenced_at, finished_at)
VALUES (:receipt_id, :tenant_id, :kind, :slug_digest, :user_digest, 'purged', 'end', CAST(:placements AS int[]), 'restore',
        :created_at, :fenced_at, :purged_at)
ON CONFLICT (offboarding_id) DO UPDATE
SET state = 'purged', step = 'end', slug = NULL, user_id = NULL, error = NULL, finished_at = excluded.finished_at, holder = NULL,
    held_until = NULL
WHERE agentflow_offboardings.finished_at IS NULL

-- name: end_others
-- Whatever else was under way for who is gone; no name of theirs stays in a record.
UPDATE agentflow_offboardings
SET state = 'cancelled', finished_at = now(), slug = NULL, user_id = NULL, holder = NULL, held_until = NULL, error = NULL
WHERE tenant_id = :tenant_id AND finished_at IS NULL AND offboarding_id <> :receipt_id AND created_at <= :purged_at
  AND (CAST(:user_digest AS bytea) IS NULL OR user_digest = CAST(:user_digest AS bytea))

-- name: renew_graces
-- Whether an offboarding was cancelled after the backup nobody knows any more: there is time to do so again.
UPDATE agentflow_offboardings SET grace_until = now() + make_interval(secs => grace_s) WHERE state = 'grace'

-- name: end_tokens
-- Tokens of the time after the backup end, however often they were ended in it, and so do states in caches.
UPDATE agentflow_tenants
SET epoch = greatest(epoch + 1, CAST(extract(epoch FROM now()) AS bigint)),
    token_epoch = greatest(token_epoch + 1, CAST(extract(epoch FROM now()) AS bigint))

-- name: new_instance
-- Caches hold versions that this database has not come to yet, under its id. With another they are never asked for.
UPDATE agentflow_instance SET instance_id = gen_random_uuid()

-- name: note_restore
INSERT INTO agentflow_restores (restore_id, tombstones) VALUES (:restore_id, :tombstones) ON CONFLICT DO NOTHING

-- Applying tombstones to a restored database, by the login that migrates. `{table}` is a name from the catalogue, quoted.

-- name: has_tombstones
SELECT to_regclass('agentflow_tombstones') IS NOT NULL AS found

-- name: tombstones
SELECT tenant_id, user_digest, purged_at, receipt_id FROM agentflow_tombstones ORDER BY purged_at, receipt_id

-- name: tables_of_tenants
-- Every table that has rows of tenants, but for the records of their end and the fence; the tenants themselves last, since others refer to
-- them, and threads first, since deleting them deletes what is below. `has_user`: and says whose of their users.
SELECT format('%I', c.relname) AS name,
       EXISTS (SELECT FROM pg_catalog.pg_attribute a
               WHERE a.attrelid = c.oid AND a.attname = 'user_id' AND NOT a.attisdropped)
       AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
                   WHERE a.attrelid = c.oid AND a.attname = 'created_at' AND NOT a.attisdropped) AS has_user
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

-- name: delete_of_user
DELETE FROM {table}
WHERE tenant_id = :tenant_id AND created_at <= :purged_at
  AND sha256(uuid_send(tenant_id) || convert_to('user:' || user_id, 'UTF8')) = :user_digest

-- name: end_tokens
-- Tokens of the time after the backup end, and so do states in caches.
UPDATE agentflow_tenants SET epoch = epoch + 1, token_epoch = token_epoch + 1

-- name: new_instance
-- Caches hold versions that this database has not come to yet, under its id. With another they are never asked for.
UPDATE agentflow_instance SET instance_id = gen_random_uuid()

-- name: note_restore
INSERT INTO agentflow_restores (restore_id, tombstones) VALUES (:restore_id, :tombstones) ON CONFLICT DO NOTHING

-- What a purge sends, by name. `{placement}` is a number, `{table}` a table of the catalogue's list: a plan is then made for
-- the one leaf. $1 is the tenant.

-- name: claim
-- Whose work the offboarding $1 is stays so until the transaction ends; no row when it is not $2's any more.
SELECT offboarding_id FROM agentflow_offboardings
WHERE offboarding_id = $1 AND holder = $2 AND state IN ('purging', 'verifying') FOR SHARE

-- name: counted
-- What a user left is no longer kept by the tenant, and their runs go with their threads.
SELECT set_config('agentflow.tenants', '{' || $1::uuid::text || '}', true), set_config('plan_cache_mode', 'force_custom_plan', true)

-- name: stop_moves
-- Whoever moves the tenant notices before its next batch. What it moved is purged where it is.
UPDATE agentflow_operations SET state = 'cancelled', cancel_requested = true, finished_at = now(), holder = NULL, held_until = NULL
WHERE tenant_id = $1 AND state IN ('queued', 'running')

-- name: stop_exports
-- Whoever writes an archive of the tenant, or reads one, notices at its next part, and leaves no file.
UPDATE agentflow_exports SET state = 'cancelled', cancel_requested = true, finished_at = now(), holder = NULL, held_until = NULL
WHERE tenant_id = $1 AND state IN ('queued', 'running')

-- name: undo_moves
-- The tenant may yet stay: then it is where it was.
UPDATE agentflow_operations
SET cancel_requested = true, finished_at = CASE WHEN state = 'queued' THEN now() END,
    state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
WHERE tenant_id = $1 AND state IN ('queued', 'running')

-- name: close
-- Nobody makes a thread of the tenant any more, however old their idea of it is.
INSERT INTO agentflow_placements (tenant_id, placement, moving_to, creates_in)
SELECT tenant_id, placement, moving_to, -2147483648 FROM agentflow_tenants WHERE tenant_id = $1
ON CONFLICT (tenant_id) DO UPDATE SET creates_in = excluded.creates_in, changed_at = now()

-- name: open_runs
-- Runs of the tenant, or of its user $2, that somebody works on at this moment.
SELECT count(*) AS runs FROM agentflow_runs
WHERE tenant_id = $1 AND status = 'running' AND held_until > now() AND ($2::text IS NULL OR user_id = $2)

-- name: cancel_runs
-- Of the user $2: those that work are told to stop.
UPDATE agentflow_runs
SET cancel = coalesce(cancel, 'interrupt'), status = CASE WHEN status = 'pending' AND attempts = 0 THEN 'cancelled' ELSE status END,
    finished_at = CASE WHEN status = 'pending' AND attempts = 0 THEN now() END
WHERE tenant_id = $1 AND user_id = $2 AND status IN ('pending', 'running')

-- name: note_batch
-- What a transaction deleted, in it: the receipt's numbers are exact whoever dies in between.
UPDATE agentflow_offboardings
SET threads_purged = threads_purged + $2,
    counts = counts || (SELECT coalesce(jsonb_object_agg(c.key, coalesce((counts ->> c.key)::bigint, 0) + c.value::bigint), '{}')
                        FROM jsonb_each_text($3::text::jsonb) c)
WHERE offboarding_id = $1

-- name: note_sizes
-- Of leaves that are about to be dropped; those that were noted before stay.
UPDATE agentflow_offboardings SET counts = $2::text::jsonb || counts WHERE offboarding_id = $1

-- name: settle
-- What stays of where it was: that it is nowhere.
UPDATE agentflow_placements SET moving_to = NULL WHERE tenant_id = $1

-- name: places
-- Wherever the tenant may have threads or left empty leaves.
SELECT DISTINCT placement FROM (
    SELECT placement FROM agentflow_tenants WHERE tenant_id = $1
    UNION ALL SELECT moving_to FROM agentflow_tenants WHERE tenant_id = $1
    UNION ALL SELECT placement FROM agentflow_placements WHERE tenant_id = $1
    UNION ALL SELECT moving_to FROM agentflow_placements WHERE tenant_id = $1
    UNION ALL SELECT source FROM agentflow_operations WHERE tenant_id = $1
    UNION ALL SELECT target FROM agentflow_operations WHERE tenant_id = $1
) p WHERE placement IS NOT NULL ORDER BY placement

-- name: leaf_sizes
-- Leaves of a placement with what they take, indexes included.
SELECT c.relname AS leaf, pg_total_relation_size(c.oid) AS size_bytes
FROM pg_catalog.pg_class c
WHERE c.relname = ANY (ARRAY['agentflow_threads_p{placement}', 'agentflow_checkpoints_p{placement}',
                             'agentflow_messages_p{placement}', 'agentflow_tool_calls_p{placement}',
                             'agentflow_writes_p{placement}'])
  AND pg_table_is_visible(c.oid)
ORDER BY c.relname

-- name: session_locks
-- Who cannot have a lock for so long gives up: nobody waits behind it.
SELECT set_config('lock_timeout', $1, false)

-- name: others_there
-- Whether another tenant lives in a placement, or is on its way there. Then it is not dropped.
SELECT EXISTS (SELECT FROM agentflow_tenants WHERE tenant_id <> $1 AND (placement = {placement} OR moving_to = {placement}))
    OR EXISTS (SELECT FROM agentflow_operations
               WHERE tenant_id <> $1 AND state IN ('queued', 'running') AND (source = {placement} OR target = {placement})) AS found

-- name: long_transactions
-- For how long the oldest transaction of this database that is not ours has been open, in seconds.
SELECT pid, extract(epoch FROM now() - xact_start)::float8 AS open_s, coalesce(application_name, '') AS name
FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'
ORDER BY xact_start LIMIT 1

-- name: count_threads
SELECT count(*) AS threads FROM agentflow_threads
WHERE placement = {placement} AND tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)

-- name: count_below
-- What goes with the threads and runs of the user $2.
WITH own AS MATERIALIZED (
    SELECT thread_no, thread_id FROM agentflow_threads WHERE placement = {placement} AND tenant_id = $1 AND user_id = $2
)
SELECT 'agentflow_checkpoints' AS name, count(*) AS rows FROM agentflow_checkpoints
WHERE placement = {placement} AND tenant_id = $1 AND thread_no IN (SELECT thread_no FROM own UNION ALL SELECT -thread_no FROM own)
UNION ALL SELECT 'agentflow_messages', count(*) FROM agentflow_messages
WHERE placement = {placement} AND tenant_id = $1 AND thread_no IN (SELECT thread_no FROM own)
UNION ALL SELECT 'agentflow_tool_calls', count(*) FROM agentflow_tool_calls
WHERE placement = {placement} AND tenant_id = $1 AND thread_no IN (SELECT thread_no FROM own)
UNION ALL SELECT 'agentflow_writes', count(*) FROM agentflow_writes
WHERE placement = {placement} AND tenant_id = $1 AND thread_no IN (SELECT thread_no FROM own)
UNION ALL SELECT 'agentflow_run_chunks', count(*) FROM agentflow_run_chunks c
WHERE c.tenant_id = $1 AND EXISTS (SELECT FROM agentflow_runs r JOIN own o ON o.thread_id = r.thread_id
                                   WHERE r.tenant_id = $1 AND r.run_id = c.run_id)
UNION ALL SELECT 'agentflow_run_traces', count(*) FROM agentflow_run_traces t
WHERE t.tenant_id = $1 AND t.thread_id IN (SELECT thread_id FROM own)

-- name: purge_batch
-- The next threads of the tenant $4 that leaves, behind $5 in the placement $3, of about $6 rows, with all below them, as the
-- work of $2 on the offboarding $1.
SELECT is_held, last_id, rows, threads, took_s, rest_s FROM agentflow_purge_threads($1, $2, $3, $4, $5, $6, $7)

-- name: next_threads
-- Threads behind $2 in the order of ids, $3 at most, of the user $4, made by $5 if that is said; with about how many rows they have.
SELECT thread_id, head + next_pos + 1 AS rows FROM agentflow_threads
WHERE placement = {placement} AND tenant_id = $1 AND thread_id > $2 AND user_id = $4
  AND created_at <= coalesce($5::timestamptz, 'infinity')
ORDER BY thread_id
LIMIT $3

-- name: hold_threads
-- Kept as they are; who writes one ends first.
SELECT thread_id, thread_no FROM agentflow_threads
WHERE placement = {placement} AND tenant_id = $1 AND thread_id = ANY ($2::text[])
ORDER BY thread_id
FOR UPDATE

-- name: purge_below
-- What hangs below a user's threads of the numbers $2, archives too, which stand under negative ones; how many rows of which
-- table. Through the parents, whose triggers count.
WITH checkpoints AS (
    DELETE FROM agentflow_checkpoints
    WHERE placement = {placement} AND tenant_id = $1
      AND thread_no = ANY ($2::bigint[] || ARRAY(SELECT -n FROM unnest($2::bigint[]) n)) RETURNING 1
), messages AS (
    DELETE FROM agentflow_messages WHERE placement = {placement} AND tenant_id = $1 AND thread_no = ANY ($2::bigint[]) RETURNING 1
), tool_calls AS (
    DELETE FROM agentflow_tool_calls WHERE placement = {placement} AND tenant_id = $1 AND thread_no = ANY ($2::bigint[]) RETURNING 1
), writes AS (
    DELETE FROM agentflow_writes WHERE placement = {placement} AND tenant_id = $1 AND thread_no = ANY ($2::bigint[]) RETURNING 1
)
SELECT (SELECT count(*) FROM checkpoints) AS agentflow_checkpoints, (SELECT count(*) FROM messages) AS agentflow_messages,
       (SELECT count(*) FROM tool_calls) AS agentflow_tool_calls, (SELECT count(*) FROM writes) AS agentflow_writes

-- name: purge_threads
-- The last of a batch.
DELETE FROM agentflow_threads WHERE placement = {placement} AND tenant_id = $1 AND thread_id = ANY ($2::text[])

-- name: end_claims
-- Whoever works on a key of the tenant keeps no answer, which an empty body says: it may be about the threads $2, as they are
-- stored, or be a run of the user $3. Runs of others on threads of others are known to be about something else. Who asks again
-- goes on with the same effect.
UPDATE agentflow_idempotency k SET body = ''
WHERE k.tenant_id = $1 AND k.status IS NULL AND k.body IS NULL
  AND NOT EXISTS (SELECT FROM agentflow_runs r
                  WHERE r.tenant_id = $1 AND r.run_id = k.effect_id AND r.user_id IS DISTINCT FROM $3
                    AND r.thread_id <> ALL ($2::text[]))

-- name: forget_answers
-- What was answered to repeated requests about the threads $2, as tenants name them. Each answer is read once, however many
-- threads there are: of what stands behind each `"thread_id"` only the first JSON text counts, and is looked up among them.
-- The operator's answers do not say whose thread it is: those about an export of one are found by the export, which names it yet.
WITH of_operator AS (
    DELETE FROM agentflow_idempotency k USING agentflow_exports e
    WHERE k.tenant_id = '00000000-0000-0000-0000-000000000000' AND k.status IS NOT NULL
      AND k.created_at <= coalesce($3::timestamptz, 'infinity')
      AND e.tenant_id = $1 AND e.thread_id = ANY ($2::text[]) AND strpos(k.body, to_json(e.export_id::text)::text) > 0
)
DELETE FROM agentflow_idempotency k
WHERE k.tenant_id = $1 AND k.status IS NOT NULL AND k.created_at <= coalesce($3::timestamptz, 'infinity')
  AND EXISTS (SELECT FROM string_to_table(k.body, '"thread_id"') p
              WHERE substring(left(p, 2048) FROM '^\s*:\s*("(?:[^"\\]|\\.)*")')
                    IN (SELECT to_json(i)::text FROM unnest($2::text[]) i))

-- name: forget_names
-- The threads $2, where the audit log and exports name them. An export that somebody was to work on ends: without the thread's name
-- it would be one of all that there is. Whoever writes it notices at its next part, and leaves no file.
WITH hidden AS (
    UPDATE agentflow_audit_log SET details = details - 'thread_id'
    WHERE tenant_id = $1 AND details ->> 'thread_id' = ANY ($2::text[]) AND at <= coalesce($3::timestamptz, 'infinity')
)
UPDATE agentflow_exports
SET thread_id = NULL, cancel_requested = cancel_requested OR finished_at IS NULL,
    state = CASE WHEN finished_at IS NULL THEN 'cancelled' ELSE state END, finished_at = coalesce(finished_at, now()),
    holder = CASE WHEN finished_at IS NOT NULL THEN holder END, held_until = CASE WHEN finished_at IS NOT NULL THEN held_until END
WHERE tenant_id = $1 AND thread_id = ANY ($2::text[]) AND created_at <= coalesce($3::timestamptz, 'infinity')

-- name: tables
-- Every table that says whose its rows are, from the catalogue: one that is new is not forgotten, nor a leaf that was detached
-- and not dropped. A day of what runs did is no leaf of a placement: it is purged as a table of its own.
SELECT c.relname AS name,
       c.relname ~ '^agentflow_(threads|checkpoints|messages|tool_calls|writes)_p[0-9]+$' AS is_leaf,
       EXISTS (SELECT FROM pg_catalog.pg_attribute u
               WHERE u.attrelid = c.oid AND u.attname = 'user_id' AND NOT u.attisdropped) AS has_user
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid) AND c.relname ~ '^[a-z_0-9]+$'
ORDER BY c.relname

-- name: sees_all
-- Whether row level security hides nothing from this login.
SELECT pg_has_role(current_user, 'agentflow_operator', 'USAGE') AS sees

-- name: keep_digests
-- Of keys that end with their tenant: who still has one is told that it is gone.
INSERT INTO agentflow_ended_keys (digest, receipt_id)
SELECT digest, $2 FROM agentflow_api_keys WHERE tenant_id = $1
ON CONFLICT DO NOTHING

-- name: unlink_keys
UPDATE agentflow_api_keys SET replaced_by = NULL WHERE tenant_id = $1 AND replaced_by IS NOT NULL

-- name: purge_table
-- Some of a tenant's rows in a table, $2 at most.
DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE tenant_id = $1 LIMIT $2 FOR UPDATE))

-- name: purge_table_of_user
-- Of the user $3, made by $4 if that is said.
DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE tenant_id = $1 AND user_id = $3
                                            AND created_at <= coalesce($4::timestamptz, 'infinity') LIMIT $2 FOR UPDATE))

-- name: count_table
SELECT count(*) AS rows FROM {table} WHERE tenant_id = $1

-- name: count_table_of_user
SELECT count(*) AS rows FROM {table} WHERE tenant_id = $1 AND user_id = $2

-- What a mover sends, by name. `{source}` and `{target}` are placements, written as numbers: a plan is then made for the two
-- leaves alone. $1 is the tenant.

-- name: claim
-- Whose work the operation $1 is stays so until the transaction ends; no row when it is not $2's any more.
SELECT operation_id FROM agentflow_operations WHERE operation_id = $1 AND holder = $2 AND state = 'running' FOR SHARE

-- name: quiet
-- Rows that move are not usage. And the trigger that looks for children plans for one leaf: a plan for all of them would
-- lock all of them.
SELECT set_config('agentflow.uncounted', 'on', true), set_config('plan_cache_mode', 'force_custom_plan', true)

-- name: next_placement
SELECT nextval('agentflow_placement_no')::int AS placement

-- name: has_leaves
SELECT count(*) = 5 AS found FROM pg_catalog.pg_class
WHERE relname = ANY (ARRAY['agentflow_threads_p{target}', 'agentflow_checkpoints_p{target}', 'agentflow_messages_p{target}',
                           'agentflow_tool_calls_p{target}', 'agentflow_writes_p{target}'])
  AND pg_table_is_visible(oid)

-- name: short_locks
-- Who cannot have a table's lock at once does not make everybody else wait behind it.
SELECT set_config('lock_timeout', '1s', true)

-- name: count_threads
SELECT count(*) AS threads FROM agentflow_threads WHERE placement = {source} AND tenant_id = $1

-- name: announce_tenant
UPDATE agentflow_tenants SET moving_to = {target}, epoch = epoch + 1, updated_at = now()
WHERE tenant_id = $1 AND placement = {source} AND moving_to IS DISTINCT FROM {target}

-- name: announce
-- Readers look in both from now on; threads are still made in the source.
INSERT INTO agentflow_placements (tenant_id, placement, moving_to, creates_in)
VALUES ($1, {source}, {target}, {source})
ON CONFLICT (tenant_id) DO UPDATE
SET placement = excluded.placement, moving_to = excluded.moving_to, creates_in = excluded.creates_in, changed_at = now()

-- name: close
-- Nobody makes a thread from now on. Where they were made is kept: there they are made again if it comes to nothing. No row
-- when they are made in the target already.
UPDATE agentflow_placements
SET creates_in = CASE WHEN creates_in < 0 THEN creates_in ELSE -1 - creates_in END, changed_at = now()
WHERE tenant_id = $1 AND creates_in <> {target}
RETURNING creates_in

-- name: open
-- Threads are made in the target.
UPDATE agentflow_placements SET creates_in = {target}, changed_at = now() WHERE tenant_id = $1

-- name: open_again
-- Threads are made where they were.
UPDATE agentflow_placements SET creates_in = -1 - creates_in, changed_at = now() WHERE tenant_id = $1 AND creates_in < 0

-- name: writers
-- Transactions that write threads at this moment. A statement takes the parent's lock before its snapshot: who takes it
-- later sees what was committed before this.
SELECT array_agg(DISTINCT l.virtualtransaction) AS transactions
FROM pg_catalog.pg_locks l
WHERE l.relation = 'agentflow_threads'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())

-- name: still_writing
-- How many of the transactions $1 have not ended.
SELECT count(DISTINCT l.virtualtransaction) AS left_over
FROM pg_catalog.pg_locks l
WHERE l.relation = 'agentflow_threads'::regclass AND l.mode = 'RowExclusiveLock'
  AND l.virtualtransaction = ANY ($1::text[])

-- name: next_threads
-- Threads behind $2 in the order of ids, $3 at most, with about how many rows they have.
SELECT thread_id, head + next_pos AS rows FROM agentflow_threads
WHERE placement = {source} AND tenant_id = $1 AND thread_id > $2
ORDER BY thread_id
LIMIT $3

-- name: hold_threads
-- Those of $2 that nobody writes to at this moment; kept so until the transaction ends.
SELECT thread_id, thread_no FROM agentflow_threads
WHERE placement = {source} AND tenant_id = $1 AND thread_id = ANY ($2::text[])
FOR UPDATE SKIP LOCKED

-- name: move_checkpoints
-- Archives too, which stand under negative numbers.
WITH gone AS (
    DELETE FROM agentflow_checkpoints
    WHERE placement = {source} AND tenant_id = $1
      AND thread_no = ANY ($2::bigint[] || ARRAY(SELECT -n FROM unnest($2::bigint[]) n))
    RETURNING *
)
INSERT INTO agentflow_checkpoints (thread_no, created_at, placement, seq, step, is_full, checkpoint_id, tenant_id, source,
                                   node, run_id, delta, first_seq, archive)
SELECT thread_no, created_at, {target}, seq, step, is_full, checkpoint_id, tenant_id, source, node, run_id, delta,
       first_seq, archive
FROM gone

-- name: move_messages
WITH gone AS (
    DELETE FROM agentflow_messages
    WHERE placement = {source} AND tenant_id = $1 AND thread_no = ANY ($2::bigint[])
    RETURNING *
)
INSERT INTO agentflow_messages (thread_no, created_at, sent_at, placement, pos, seq, removed_seq, content_kind, tenant_id,
                                message_id, role, content, extra)
SELECT thread_no, created_at, sent_at, {target}, pos, seq, removed_seq, content_kind, tenant_id, message_id, role, content,
       extra
FROM gone

-- name: move_tool_calls
WITH gone AS (
    DELETE FROM agentflow_tool_calls
    WHERE placement = {source} AND tenant_id = $1 AND thread_no = ANY ($2::bigint[])
    RETURNING *
)
INSERT INTO agentflow_tool_calls (thread_no, started_at, finished_at, placement, seq, idx, attempt, tenant_id, tool_key,
                                  started_by, call_id, name, node, run_id, result)
SELECT thread_no, started_at, finished_at, {target}, seq, idx, attempt, tenant_id, tool_key, started_by, call_id, name,
       node, run_id, result
FROM gone

-- name: move_writes
WITH gone AS (
    DELETE FROM agentflow_writes
    WHERE placement = {source} AND tenant_id = $1 AND thread_no = ANY ($2::bigint[])
    RETURNING *
)
INSERT INTO agentflow_writes (thread_no, placement, idx, tenant_id, checkpoint, task_id, task_path, channel, kind, value)
SELECT thread_no, {target}, idx, tenant_id, checkpoint, task_id, task_path, channel, kind, value
FROM gone

-- name: move_threads
-- The last of a batch; by ids, which is what the index has. Never by UPDATE of the placement: a writer who waits for the row would get an error that says so.
WITH gone AS (
    DELETE FROM agentflow_threads
    WHERE placement = {source} AND tenant_id = $1 AND thread_id = ANY ($2::text[])
    RETURNING *
)
INSERT INTO agentflow_threads (thread_no, created_at, updated_at, expires_at, placement, head, next_pos, stop_requested,
                               tenant_id, thread_id, user_id, name, run_id, metadata, state)
SELECT thread_no, created_at, updated_at, expires_at, {target}, head, next_pos, stop_requested, tenant_id, thread_id,
       user_id, name, run_id, metadata, state
FROM gone

-- name: any_left
SELECT EXISTS (SELECT FROM agentflow_threads WHERE placement = {source} AND tenant_id = $1) AS found

-- name: settle
-- The tenant lives in the target.
UPDATE agentflow_placements SET placement = {target}, moving_to = NULL, creates_in = {target}, changed_at = now()
WHERE tenant_id = $1

-- name: settle_tenant
UPDATE agentflow_tenants SET placement = {target}, moving_to = NULL, epoch = epoch + 1, updated_at = now()
WHERE tenant_id = $1

-- name: left_over
-- Partitions of their own that tenants left, and that could not be dropped when they did.
SELECT DISTINCT l.placement
FROM (SELECT CASE WHEN state = 'done' THEN source ELSE target END AS placement FROM agentflow_operations
      WHERE state IN ('done', 'cancelled')) l
JOIN pg_catalog.pg_class c
  ON pg_table_is_visible(c.oid)
 AND c.relname IN ('agentflow_threads_p' || l.placement, 'agentflow_checkpoints_p' || l.placement,
                   'agentflow_messages_p' || l.placement, 'agentflow_tool_calls_p' || l.placement,
                   'agentflow_writes_p' || l.placement)
WHERE l.placement >= 1000
ORDER BY 1

-- name: is_free
-- No tenant lives there, is being moved there, or is about to be; and no thread is left.
SELECT NOT EXISTS (SELECT FROM agentflow_tenants WHERE placement = {source} OR moving_to = {source})
   AND NOT EXISTS (SELECT FROM agentflow_operations
                   WHERE state IN ('queued', 'running') AND target = {source})
   AND NOT EXISTS (SELECT FROM agentflow_threads WHERE placement = {source}) AS free

-- name: attached_leaves
-- Leaves of a placement that are attached, children first; `pending` after a detachment that was cut off.
SELECT p.relname AS parent, c.relname AS leaf, i.inhdetachpending AS pending
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r' AND pg_table_is_visible(c.oid)
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
WHERE c.relname = ANY (ARRAY['agentflow_threads_p{source}', 'agentflow_checkpoints_p{source}',
                             'agentflow_messages_p{source}', 'agentflow_tool_calls_p{source}', 'agentflow_writes_p{source}'])
ORDER BY c.relname = 'agentflow_threads_p{source}', c.relname

-- name: session_locks
SELECT set_config('lock_timeout', '5s', false)

-- name: usual_locks
SELECT set_config('lock_timeout', '0', false)

-- name: detach
-- While others read and write the table; not in a transaction.
ALTER TABLE {parent} DETACH PARTITION {parent}_p{source} CONCURRENTLY

-- name: finish_detachment
-- Of one that was cut off.
ALTER TABLE {parent} DETACH PARTITION {parent}_p{source} FINALIZE

-- name: drop_leaves
DROP TABLE IF EXISTS agentflow_writes_p{source}, agentflow_tool_calls_p{source}, agentflow_messages_p{source},
                     agentflow_checkpoints_p{source}, agentflow_threads_p{source}

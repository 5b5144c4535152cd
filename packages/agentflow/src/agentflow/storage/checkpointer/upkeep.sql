-- Housekeeping below the threads, by the background worker: packing and pruning. It looks over all tenants for work,
-- and does it one thread a transaction, every table bound to the thread's placement ($1) and tenant ($2).

-- name: idle_threads
-- Threads unchanged since $2 ago with more than $3 checkpoints that are not packed, behind thread $4 $5 $6; $1 at most.
-- LangGraph's are left: their checkpoints are looked up by id.
SELECT t.placement, t.tenant_id, t.thread_id
FROM agentflow_threads t
WHERE t.updated_at <= now() - $2::interval AND strpos(t.state, '{"langgraph":') <> 1
  AND (SELECT count(*) FROM agentflow_checkpoints c
       WHERE c.placement = t.placement AND c.tenant_id = t.tenant_id AND c.thread_no = t.thread_no
         AND c.archive IS NULL) > $3
  AND (t.tenant_id, t.thread_id, t.placement) > ($4, $5, $6)
ORDER BY t.tenant_id, t.thread_id, t.placement
LIMIT $1

-- name: long_threads
-- Threads unchanged since $2 ago with a checkpoint older than the last $3, behind thread $4 $5 $6; $1 at most.
SELECT t.placement, t.tenant_id, t.thread_id
FROM agentflow_threads t
WHERE t.updated_at <= now() - $2::interval AND strpos(t.state, '{"langgraph":') <> 1
  AND EXISTS (SELECT FROM agentflow_checkpoints c
              WHERE c.placement = t.placement AND c.tenant_id = t.tenant_id AND c.thread_no IN (t.thread_no, -t.thread_no)
                AND coalesce(c.first_seq, c.seq) <= t.head - $3)
  AND (t.tenant_id, t.thread_id, t.placement) > ($4, $5, $6)
ORDER BY t.tenant_id, t.thread_id, t.placement
LIMIT $1

-- name: hold_thread
-- Keeps writers out until the transaction ends; no row when one is at work, or the thread is gone.
SELECT thread_no, head, placement FROM agentflow_threads
WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)
FOR UPDATE SKIP LOCKED

-- name: wait_for_thread
-- The same, but waits for the writer at work.
SELECT thread_no, head, placement FROM agentflow_threads
WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)
FOR UPDATE

-- name: checkpoints_of
-- All checkpoints of thread number $3, oldest first.
SELECT seq, created_at, step, is_full, checkpoint_id, source, node, run_id, delta, archive
FROM agentflow_checkpoints
WHERE placement = $1 AND tenant_id = $2 AND thread_no IN ($3::bigint, -$3::bigint)
ORDER BY seq

-- name: delete_checkpoints
-- All of thread number $3.
DELETE FROM agentflow_checkpoints
WHERE placement = $1 AND tenant_id = $2 AND thread_no IN ($3::bigint, -$3::bigint)

-- name: insert_archive
-- The checkpoints from $5 to $4 of thread number $3, packed, as one row, under the id of the last one: a writer that
-- tries again recognises it. The number is negative: see schema/0005_archives.sql.
INSERT INTO agentflow_checkpoints (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id, source, node,
                                   run_id, delta, first_seq, archive)
VALUES (-$3::bigint, $1, $2, $4, 0, false, $7, 'archive', '', '', '', $5, $6)

-- name: delete_finished_tools
-- Tools of thread number $3 that were first started before version $4, and finished.
DELETE FROM agentflow_tool_calls
WHERE placement = $1 AND tenant_id = $2 AND thread_no = $3 AND finished_at IS NOT NULL AND seq < $4

-- name: delete_removed_messages
-- Messages of thread number $3 that left the context by version $4: no version that is kept shows them.
DELETE FROM agentflow_messages
WHERE placement = $1 AND tenant_id = $2 AND thread_no = $3 AND removed_seq <= $4

-- What the LangGraph saver asks beyond `queries.sql`, under the same rules: `$1` is the placement, `$2` the tenant,
-- `$3` the thread's id and `$4` the principal in each one, unless it says otherwise.
-- A checkpoint's namespace is its `node`: '' the graph itself, '|' and LangGraph's name a nested one.

-- name: lg_read
-- The graph's own checkpoint $5, or with null its last one: then `state` has its fields and no deltas are sent.
-- Of the thread itself there is a row also without such a checkpoint.
SELECT t.thread_no, t.head, t.next_pos, t.state, k.seq, d.deltas, m.*, w.*
FROM agentflow_threads t
LEFT JOIN LATERAL (
    SELECT seq, checkpoint_id FROM agentflow_checkpoints
    WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND node = ''
      AND ($5::uuid IS NULL OR checkpoint_id = $5)
    ORDER BY seq DESC LIMIT 1
) k ON true
CROSS JOIN LATERAL (
    SELECT array_agg(x.delta) AS deltas
    FROM (
        SELECT delta FROM agentflow_checkpoints
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND $5::uuid IS NOT NULL
          AND seq <= k.seq
          AND seq >= (SELECT max(f.seq) FROM agentflow_checkpoints f
                      WHERE f.placement = $1 AND f.tenant_id = $2 AND f.thread_no = t.thread_no
                        AND f.seq <= k.seq AND f.is_full)
        ORDER BY seq
    ) x
) d
CROSS JOIN LATERAL (
    SELECT array_agg(x.pos) AS pos, array_agg(x.message_id) AS message_id, array_agg(x.role) AS role,
           array_agg(x.content_kind) AS content_kind, array_agg(x.content) AS content,
           array_agg(x.extra) AS extra, array_agg(x.sent_at) AS sent_at
    FROM (
        SELECT * FROM agentflow_messages
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND seq <= k.seq
          AND (removed_seq IS NULL OR removed_seq > k.seq)
        ORDER BY pos
    ) x
) m
CROSS JOIN LATERAL (
    SELECT array_agg(x.task_id) AS task_id, array_agg(x.channel) AS channel, array_agg(x.kind) AS kind,
           array_agg(x.value) AS value
    FROM (
        SELECT * FROM agentflow_writes
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND checkpoint = k.checkpoint_id::text
        ORDER BY task_path COLLATE "C", task_id COLLATE "C", idx
    ) x
) w
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND ($4::text IS NULL OR t.user_id = $4)

-- name: lg_read_nested
-- The same in namespace $6, without messages; always as deltas.
SELECT t.thread_no, t.head, k.seq, d.deltas, w.*
FROM agentflow_threads t
LEFT JOIN LATERAL (
    SELECT seq, checkpoint_id FROM agentflow_checkpoints
    WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND node = $6 AND left(node, 1) = '|'
      AND ($5::uuid IS NULL OR checkpoint_id = $5)
    ORDER BY seq DESC LIMIT 1
) k ON true
CROSS JOIN LATERAL (
    SELECT array_agg(x.delta) AS deltas
    FROM (
        SELECT delta FROM agentflow_checkpoints
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND seq <= k.seq
          AND seq >= (SELECT max(f.seq) FROM agentflow_checkpoints f
                      WHERE f.placement = $1 AND f.tenant_id = $2 AND f.thread_no = t.thread_no
                        AND f.seq <= k.seq AND f.is_full)
        ORDER BY seq
    ) x
) d
CROSS JOIN LATERAL (
    SELECT array_agg(x.task_id) AS task_id, array_agg(x.channel) AS channel, array_agg(x.kind) AS kind,
           array_agg(x.value) AS value
    FROM (
        SELECT * FROM agentflow_writes
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND checkpoint = k.checkpoint_id::text
        ORDER BY task_path COLLATE "C", task_id COLLATE "C", idx
    ) x
) w
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND ($4::text IS NULL OR t.user_id = $4)

-- name: lg_namespace
-- Where namespace $5 stands: its last checkpoint, and whether checkpoint $6 is in it.
SELECT t.thread_no, t.head, k.seq, k.checkpoint_id,
       EXISTS (SELECT FROM agentflow_checkpoints
               WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND node = $5
                 AND checkpoint_id = $6::uuid) AS parent_exists
FROM agentflow_threads t
LEFT JOIN LATERAL (
    SELECT seq, checkpoint_id FROM agentflow_checkpoints
    WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND node = $5
    ORDER BY seq DESC LIMIT 1
) k ON true
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND ($4::text IS NULL OR t.user_id = $4)

-- name: lg_list
-- Checkpoints, newest id first, at most $12: of one thread or (null) of all; of one namespace $5 or of all; with
-- id $6; with an id below $7; and what the columns can tell of a filter: source $8, step $9, run $10. $11 is the
-- last id of the page before.
SELECT k.thread_id, k.thread_no, k.head, k.node, k.seq, k.checkpoint_id, d.deltas, m.*, w.*
FROM (
    SELECT t.thread_id, t.thread_no, t.head, c.node, c.seq, c.checkpoint_id
    FROM agentflow_threads t
    JOIN agentflow_checkpoints c ON c.placement = $1 AND c.tenant_id = $2 AND c.thread_no = t.thread_no
    WHERE t.placement = $1 AND t.tenant_id = $2 AND ($3::text IS NULL OR t.thread_id = $3)
      AND ($4::text IS NULL OR t.user_id = $4) AND t.metadata @> '{"format": "langgraph"}'
      AND ($5::text IS NULL OR c.node = $5) AND ($6::uuid IS NULL OR c.checkpoint_id = $6)
      AND ($7::uuid IS NULL OR c.checkpoint_id < $7) AND ($8::text IS NULL OR c.source = $8)
      AND ($9::int IS NULL OR c.step = $9) AND ($10::text IS NULL OR c.run_id = $10)
      AND ($11::uuid IS NULL OR (c.checkpoint_id, t.thread_no) < ($11, $13::bigint))
    ORDER BY c.checkpoint_id DESC, t.thread_no DESC
    LIMIT $12
) k
CROSS JOIN LATERAL (
    SELECT array_agg(x.delta) AS deltas
    FROM (
        SELECT delta FROM agentflow_checkpoints
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = k.thread_no AND seq <= k.seq
          AND seq >= (SELECT max(f.seq) FROM agentflow_checkpoints f
                      WHERE f.placement = $1 AND f.tenant_id = $2 AND f.thread_no = k.thread_no
                        AND f.seq <= k.seq AND f.is_full)
        ORDER BY seq
    ) x
) d
CROSS JOIN LATERAL (
    SELECT array_agg(x.pos) AS pos, array_agg(x.message_id) AS message_id, array_agg(x.role) AS role,
           array_agg(x.content_kind) AS content_kind, array_agg(x.content) AS content,
           array_agg(x.extra) AS extra, array_agg(x.sent_at) AS sent_at
    FROM (
        SELECT * FROM agentflow_messages
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = k.thread_no AND k.node = '' AND seq <= k.seq
          AND (removed_seq IS NULL OR removed_seq > k.seq)
        ORDER BY pos
    ) x
) m
CROSS JOIN LATERAL (
    SELECT array_agg(x.task_id) AS task_id, array_agg(x.channel) AS channel, array_agg(x.kind) AS kind,
           array_agg(x.value) AS value
    FROM (
        SELECT * FROM agentflow_writes
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = k.thread_no AND checkpoint = k.checkpoint_id::text
        ORDER BY task_path COLLATE "C", task_id COLLATE "C", idx
    ) x
) w
ORDER BY k.checkpoint_id DESC, k.thread_no DESC

-- name: lg_put_writes
-- Results of task $7 (path $8) for checkpoint $6. The thread's row is locked against its deletion, so that a late
-- write stores nothing: no row comes back without the thread, or when it lives another life than $5.
-- A result is written once; the special ones (below 0) again.
WITH t AS (
    SELECT thread_no, placement FROM agentflow_threads
    WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)
      AND ($5::bigint IS NULL OR thread_no = $5)
    FOR KEY SHARE
), w AS (
    INSERT INTO agentflow_writes (thread_no, placement, tenant_id, checkpoint, task_id, task_path,
                                  idx, channel, kind, value)
    SELECT t.thread_no, t.placement, $2, $6, $7, $8, x.*
    FROM t, unnest($9::int[], $10::text[], $11::text[], $12::bytea[]) AS x
    ON CONFLICT (tenant_id, thread_no, checkpoint, task_id, idx, placement) DO UPDATE
    SET channel = excluded.channel, kind = excluded.kind, value = excluded.value WHERE excluded.idx < 0
)
SELECT thread_no FROM t

-- name: lg_rows
-- A thread's checkpoints above $5, oldest first, at most $6.
SELECT t.thread_no, t.head, c.seq, c.node, c.checkpoint_id, c.run_id, c.is_full, c.delta
FROM agentflow_threads t
JOIN agentflow_checkpoints c ON c.placement = $1 AND c.tenant_id = $2 AND c.thread_no = t.thread_no AND c.seq > $5
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND ($4::text IS NULL OR t.user_id = $4)
  AND t.metadata @> '{"format": "langgraph"}'
ORDER BY c.seq
LIMIT $6

-- name: lg_rewrite
-- Take checkpoints $8 (ids $14) out of a thread's history; others then need other deltas ($9, $10, $11). Messages
-- stay while one of the graph's own checkpoints $12 shows them; what was removed after the last of them, $13,
-- is back. Moves the head, so that a writer who read what is gone now is refused.
WITH t AS (
    UPDATE agentflow_threads SET head = head + 1, state = $7, updated_at = now()
    WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)
      AND thread_no = $5 AND head = $6
    RETURNING thread_no
), gone AS (
    DELETE FROM agentflow_checkpoints c USING t
    WHERE c.placement = $1 AND c.tenant_id = $2 AND c.thread_no = t.thread_no AND c.seq = ANY ($8::int[])
), kept AS (
    UPDATE agentflow_checkpoints c SET is_full = n.is_full, delta = n.delta
    FROM t, unnest($9::int[], $10::boolean[], $11::text[]) AS n (seq, is_full, delta)
    WHERE c.placement = $1 AND c.tenant_id = $2 AND c.thread_no = t.thread_no AND c.seq = n.seq
), unseen AS (
    DELETE FROM agentflow_messages m USING t
    WHERE m.placement = $1 AND m.tenant_id = $2 AND m.thread_no = t.thread_no
      AND NOT EXISTS (SELECT FROM unnest($12::int[]) AS s
                      WHERE s >= m.seq AND (m.removed_seq IS NULL OR s < m.removed_seq))
), back AS (
    UPDATE agentflow_messages m SET removed_seq = NULL FROM t
    WHERE m.placement = $1 AND m.tenant_id = $2 AND m.thread_no = t.thread_no
      AND m.seq <= $13 AND m.removed_seq > $13
), w AS (
    DELETE FROM agentflow_writes w USING t
    WHERE w.placement = $1 AND w.tenant_id = $2 AND w.thread_no = t.thread_no AND w.checkpoint = ANY ($14::text[])
)
SELECT thread_no FROM t

-- name: lg_delete_unchanged
-- A thread that is still at head $6.
DELETE FROM agentflow_threads
WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)
  AND thread_no = $5 AND head = $6
RETURNING thread_no

-- name: lg_threads_of_runs
-- Threads above id $3 that hold a checkpoint of runs $5, at most $6.
SELECT t.thread_id
FROM agentflow_threads t
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id > $3 AND ($4::text IS NULL OR t.user_id = $4)
  AND t.metadata @> '{"format": "langgraph"}'
  AND EXISTS (SELECT FROM agentflow_checkpoints c
              WHERE c.placement = $1 AND c.tenant_id = $2 AND c.thread_no = t.thread_no
                AND c.run_id = ANY ($5::text[]))
ORDER BY t.thread_id
LIMIT $6

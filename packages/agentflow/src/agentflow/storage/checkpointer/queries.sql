-- Every statement the checkpointer sends, by name. `$1` is the placement and `$2` the tenant in each one that
-- touches a tenant's rows, bound for every table it reads: the planner then visits one leaf.
-- `$4` there, or as said, is the principal: when not null, other users' threads do not exist.
-- Checkpoints that were packed into archives stand under the thread's number with a minus before it
-- (schema/0005_archives.sql), those of an older version under the number itself.
--
-- Row level security shows a statement the rows of the tenants in `agentflow.tenants` only. A statement that begins with
-- `s` sets that itself, and everything it touches hangs on the row of `s`, so that it happens afterwards: what is
-- inserted is selected from it, what is read stands in a LATERAL with OFFSET 0 below it. UPDATE and DELETE cannot be made
-- to wait so, which is why `append_edits` and its like update by INSERT ... ON CONFLICT.
-- Plain SELECTs are wrapped when they are loaded; the others run behind a set_config of their own (queries.py).

-- name: schema_version
-- The version a database is at; no row without the schema.
SELECT coalesce(max(version), 0) AS version FROM agentflow_schema

-- name: schema_exists
-- Read from the catalog's table: a look-up by name (to_regclass) may be answered from the session's cache, which
-- does not learn of tables that were made while the session waited for the lock below.
SELECT count(*) > 0 AS found FROM pg_catalog.pg_class WHERE relname = 'agentflow_schema' AND pg_table_is_visible(oid)

-- name: schema_lock
-- One process at a time makes the schema; released with the transaction.
SELECT pg_advisory_xact_lock(7102452209)

-- name: placements
-- The placements that have leaves.
SELECT substring(c.relname FROM '[0-9]+$')::int AS placement
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
WHERE p.relname = 'agentflow_threads' AND pg_table_is_visible(p.oid) AND c.relkind = 'r'
ORDER BY placement

-- name: instance_id
SELECT instance_id FROM agentflow_instance

-- name: is_shown_all
-- Whether row level security leaves this role alone.
SELECT NOT row_security_active('agentflow_threads'::regclass) AS is_shown_all

-- name: create_thread
-- First checkpoint of a thread; no row comes back when there is one already, or when the tenant makes its threads in
-- another placement now, or is on its way: then `create_thread_moving` is to be asked.
WITH s AS MATERIALIZED (SELECT set_config('agentflow.tenants', '{' || $2::uuid::text || '}', true) AS tenants), t AS (
    INSERT INTO agentflow_threads (placement, tenant_id, thread_id, head, next_pos, run_id, state,
                                   user_id, name, metadata, expires_at)
    SELECT $1, $2, $3, 1, $4, $5, $6, $7, $8, $9::text::jsonb, now() + $10::interval
    FROM s
    CROSS JOIN LATERAL (
        SELECT coalesce((SELECT creates_in = $1 AND moving_to IS NULL
                         FROM agentflow_placements WHERE tenant_id = $2), true) AS here
        WHERE s.tenants IS NOT NULL OFFSET 0
    ) d
    WHERE d.here
    ON CONFLICT (tenant_id, thread_id, placement) DO NOTHING
    RETURNING thread_no
), c AS (
    INSERT INTO agentflow_checkpoints (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id,
                                       source, node, run_id, delta)
    SELECT t.thread_no, $1, $2, 1, $11, true, $12, $13, $14, $5, $6 FROM t
), m AS (
    INSERT INTO agentflow_messages (thread_no, placement, tenant_id, seq, pos, message_id, role, content_kind,
                                    content, extra, sent_at)
    SELECT t.thread_no, $1, $2, 1, m.*
    FROM t, unnest($15::int[], $16::text[], $17::text[], $18::smallint[], $19::text[], $20::text[],
                   $21::double precision[]) AS m
)
SELECT thread_no, 1 AS head, false AS stop_requested FROM t

-- name: create_thread_moving
-- The same for a tenant whose threads are in several placements, $22: in none of them is there such a thread, and there
-- is no other that the writer does not know of. Uniqueness is a leaf's own, so the statement itself must look.
WITH s AS MATERIALIZED (SELECT set_config('agentflow.tenants', '{' || $2::uuid::text || '}', true) AS tenants), t AS (
    INSERT INTO agentflow_threads (placement, tenant_id, thread_id, head, next_pos, run_id, state,
                                   user_id, name, metadata, expires_at)
    SELECT $1, $2, $3, 1, $4, $5, $6, $7, $8, $9::text::jsonb, now() + $10::interval
    FROM s
    CROSS JOIN LATERAL (
        SELECT coalesce((SELECT creates_in = $1 AND placement = ANY ($22::int[])
                                AND (moving_to IS NULL OR moving_to = ANY ($22::int[]))
                         FROM agentflow_placements WHERE tenant_id = $2), true)
           AND NOT EXISTS (SELECT FROM agentflow_threads
                           WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3) AS here
        WHERE s.tenants IS NOT NULL OFFSET 0
    ) d
    WHERE d.here
    ON CONFLICT (tenant_id, thread_id, placement) DO NOTHING
    RETURNING thread_no
), c AS (
    INSERT INTO agentflow_checkpoints (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id,
                                       source, node, run_id, delta)
    SELECT t.thread_no, $1, $2, 1, $11, true, $12, $13, $14, $5, $6 FROM t
), m AS (
    INSERT INTO agentflow_messages (thread_no, placement, tenant_id, seq, pos, message_id, role, content_kind,
                                    content, extra, sent_at)
    SELECT t.thread_no, $1, $2, 1, m.*
    FROM t, unnest($15::int[], $16::text[], $17::text[], $18::smallint[], $19::text[], $20::text[],
                   $21::double precision[]) AS m
)
SELECT thread_no, 1 AS head, false AS stop_requested FROM t

-- Appending is an upsert although the thread exists: an INSERT finds its leaf by the row's placement, so that the plan is
-- made once and costs the same with any number of leaves. An UPDATE would plan anew or lock every leaf. Where the thread
-- is gone the row would be inserted: then `existed` divides by zero, which undoes the statement.
-- In the conflict's terms `excluded.user_id` is the principal and `excluded.stop_requested` says that a run starts.

-- name: append
-- A further checkpoint without messages; no row comes back when the head is not the expected one.
WITH s AS MATERIALIZED (SELECT set_config('agentflow.tenants', '{' || $2::uuid::text || '}', true) AS tenants), t AS (
    INSERT INTO agentflow_threads AS t (placement, tenant_id, thread_id, next_pos, run_id, state, stop_requested,
                                        expires_at, head, thread_no, user_id)
    SELECT $1, $2, $3, $4, $5, $6, $7, now() + $8::interval, $9::int + 1, $10, $11 FROM s
    ON CONFLICT (tenant_id, thread_id, placement) DO UPDATE
    SET head = excluded.head, next_pos = greatest(t.next_pos, excluded.next_pos), run_id = excluded.run_id,
        state = excluded.state, updated_at = excluded.updated_at,
        stop_requested = t.stop_requested AND NOT excluded.stop_requested,
        expires_at = coalesce(excluded.expires_at, t.expires_at)
    WHERE t.head = excluded.head - 1 AND t.thread_no = excluded.thread_no
      AND (excluded.user_id IS NULL OR t.user_id = excluded.user_id)
    RETURNING t.thread_no, t.head, t.stop_requested, t.created_at
), c AS (
    INSERT INTO agentflow_checkpoints (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id,
                                       source, node, run_id, delta)
    SELECT t.thread_no, $1, $2, t.head, $12, $13, $14, $15, $16, $5, $17 FROM t
)
SELECT thread_no, head, stop_requested, 1 / (created_at < now())::int AS existed FROM t

-- name: append_messages
-- The same with messages.
WITH s AS MATERIALIZED (SELECT set_config('agentflow.tenants', '{' || $2::uuid::text || '}', true) AS tenants), t AS (
    INSERT INTO agentflow_threads AS t (placement, tenant_id, thread_id, next_pos, run_id, state, stop_requested,
                                        expires_at, head, thread_no, user_id)
    SELECT $1, $2, $3, $4, $5, $6, $7, now() + $8::interval, $9::int + 1, $10, $11 FROM s
    ON CONFLICT (tenant_id, thread_id, placement) DO UPDATE
    SET head = excluded.head, next_pos = greatest(t.next_pos, excluded.next_pos), run_id = excluded.run_id,
        state = excluded.state, updated_at = excluded.updated_at,
        stop_requested = t.stop_requested AND NOT excluded.stop_requested,
        expires_at = coalesce(excluded.expires_at, t.expires_at)
    WHERE t.head = excluded.head - 1 AND t.thread_no = excluded.thread_no
      AND (excluded.user_id IS NULL OR t.user_id = excluded.user_id)
    RETURNING t.thread_no, t.head, t.stop_requested, t.created_at
), c AS (
    INSERT INTO agentflow_checkpoints (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id,
                                       source, node, run_id, delta)
    SELECT t.thread_no, $1, $2, t.head, $12, $13, $14, $15, $16, $5, $17 FROM t
), m AS (
    INSERT INTO agentflow_messages (thread_no, placement, tenant_id, seq, pos, message_id, role, content_kind,
                                    content, extra, sent_at)
    SELECT t.thread_no, $1, $2, t.head, m.*
    FROM t, unnest($18::int[], $19::text[], $20::text[], $21::smallint[], $22::text[], $23::text[],
                   $24::double precision[]) AS m
)
SELECT thread_no, head, stop_requested, 1 / (created_at < now())::int AS existed FROM t

-- name: append_group
-- Checkpoints of different threads, ordered by key; new threads too ($16 null, $17 zero). What comes back: places of
-- those that were committed, their threads' numbers, and the places of those that were asked to stop.
-- Texts come joined by $5, which none of them holds: the driver encodes an array element by element. What is the same
-- for all may come once ($2, $3), and what hardly any has not at all: shorter arrays are filled up with nulls.
-- $1: the tenants of all. No delta: this checkpoint holds all fields. $21: places of those that start a run.
WITH s AS MATERIALIZED (SELECT set_config('agentflow.tenants', $1::text, true) AS tenants), b AS (
    SELECT b.i::int AS i, ($2::int[])[least(b.i, cardinality($2::int[]))] AS placement,
           ($3::uuid[])[least(b.i, cardinality($3::uuid[]))] AS tenant_id, b.thread_id,
           coalesce(b.thread_no, nextval('agentflow_thread_no')) AS thread_no, b.expected, b.next_pos, b.step,
           b.run_id, b.state, b.checkpoint_id, b.source, b.node, coalesce(b.delta, b.state) AS delta,
           b.delta IS NULL AS is_full, b.user_id, b.name, coalesce(b.metadata, '{}') AS metadata
    FROM s, unnest(
        string_to_array($6::text, $5::text), $16::bigint[], $17::int[], $18::int[], $19::int[],
        string_to_array($7::text, $5), $20::uuid[], string_to_array($8::text, $5), string_to_array($9::text, $5),
        string_to_array($10::text, $5), string_to_array($11::text, $5, ''), $22::text[], $23::text[], $24::text[]
    )
    WITH ORDINALITY AS b (thread_id, thread_no, expected, next_pos, step, run_id, checkpoint_id, source, node, state,
                          delta, user_id, name, metadata, i)
), t AS (
    INSERT INTO agentflow_threads AS t (placement, tenant_id, thread_id, thread_no, head, next_pos, run_id, state,
                                        user_id, stop_requested, name, metadata, expires_at)
    SELECT placement, tenant_id, thread_id, thread_no, expected + 1, next_pos, run_id, state, user_id,
           expected > 0 AND i = ANY ($21::int[]), name, metadata::jsonb, now() + $4::interval
    FROM b
    WHERE expected > 0
       OR coalesce((SELECT d.creates_in = b.placement AND d.moving_to IS NULL
                    FROM agentflow_placements d WHERE d.tenant_id = b.tenant_id), true)
    ON CONFLICT (tenant_id, thread_id, placement) DO UPDATE
    SET head = excluded.head, next_pos = greatest(t.next_pos, excluded.next_pos), run_id = excluded.run_id,
        state = excluded.state, updated_at = excluded.updated_at,
        stop_requested = t.stop_requested AND NOT excluded.stop_requested,
        expires_at = coalesce(excluded.expires_at, t.expires_at)
    WHERE t.head = excluded.head - 1 AND t.thread_no = excluded.thread_no
      AND (excluded.user_id IS NULL OR t.user_id = excluded.user_id)
    RETURNING t.tenant_id, t.thread_no, t.stop_requested, t.created_at
), o AS MATERIALIZED (
    SELECT b.i, b.placement, b.tenant_id, b.thread_no, b.expected + 1 AS head, t.stop_requested, b.step,
           b.checkpoint_id, b.source, b.node, b.run_id, b.is_full, b.delta,
           1 / (b.expected = 0 OR t.created_at < now())::int AS existed
    FROM b JOIN t ON t.thread_no = b.thread_no AND t.tenant_id = b.tenant_id
), c AS (
    INSERT INTO agentflow_checkpoints (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id,
                                       source, node, run_id, delta)
    SELECT thread_no, placement, tenant_id, head, step, is_full, checkpoint_id, source, node, run_id, delta
    FROM o
), m AS (
    INSERT INTO agentflow_messages (thread_no, placement, tenant_id, seq, pos, message_id, role, content_kind,
                                    content, extra, sent_at)
    SELECT o.thread_no, o.placement, o.tenant_id, o.head, m.pos, coalesce(m.message_id, ''), coalesce(m.role, ''),
           coalesce(m.content_kind, 0), coalesce(m.content, ''), m.extra, m.sent_at
    FROM unnest(
        $25::int[], $26::int[], string_to_array($12::text, $5), string_to_array($13::text, $5), $27::smallint[],
        string_to_array($14::text, $5), string_to_array($15::text, $5, ''), $28::double precision[]
    ) AS m (item, pos, message_id, role, content_kind, content, extra, sent_at)
    JOIN o ON o.i = m.item
)
SELECT array_agg(i) AS places, array_agg(thread_no) AS numbers, array_agg(i) FILTER (WHERE stop_requested) AS stopped,
       min(existed) AS existed
FROM o

-- name: append_edits
-- The same with messages that leave the context too ($25): their rows stay for history.
WITH s AS MATERIALIZED (SELECT set_config('agentflow.tenants', '{' || $2::uuid::text || '}', true) AS tenants), t AS (
    INSERT INTO agentflow_threads AS t (placement, tenant_id, thread_id, next_pos, run_id, state, stop_requested,
                                        expires_at, head, thread_no, user_id)
    SELECT $1, $2, $3, $4, $5, $6, $7, now() + $8::interval, $9::int + 1, $10, $11 FROM s
    ON CONFLICT (tenant_id, thread_id, placement) DO UPDATE
    SET head = excluded.head, next_pos = greatest(t.next_pos, excluded.next_pos), run_id = excluded.run_id,
        state = excluded.state, updated_at = excluded.updated_at,
        stop_requested = t.stop_requested AND NOT excluded.stop_requested,
        expires_at = coalesce(excluded.expires_at, t.expires_at)
    WHERE t.head = excluded.head - 1 AND t.thread_no = excluded.thread_no
      AND (excluded.user_id IS NULL OR t.user_id = excluded.user_id)
    RETURNING t.thread_no, t.head, t.stop_requested, t.created_at
), c AS (
    INSERT INTO agentflow_checkpoints (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id,
                                       source, node, run_id, delta)
    SELECT t.thread_no, $1, $2, t.head, $12, $13, $14, $15, $16, $5, $17 FROM t
), m AS (
    INSERT INTO agentflow_messages (thread_no, placement, tenant_id, seq, pos, message_id, role, content_kind,
                                    content, extra, sent_at)
    SELECT t.thread_no, $1, $2, t.head, m.*
    FROM t, unnest($18::int[], $19::text[], $20::text[], $21::smallint[], $22::text[], $23::text[],
                   $24::double precision[]) AS m
), r AS (
    INSERT INTO agentflow_messages (thread_no, created_at, sent_at, placement, pos, seq, removed_seq, content_kind,
                                    tenant_id, message_id, role, content, extra)
    SELECT x.thread_no, x.created_at, x.sent_at, x.placement, x.pos, x.seq, t.head, x.content_kind, x.tenant_id,
           x.message_id, x.role, x.content, x.extra
    FROM t
    CROSS JOIN LATERAL (
        SELECT * FROM agentflow_messages m
        WHERE m.placement = $1 AND m.tenant_id = $2 AND m.thread_no = t.thread_no AND m.pos = ANY ($25::int[])
          AND m.removed_seq IS NULL
        OFFSET 0
    ) x
    ON CONFLICT (tenant_id, thread_no, pos, seq, placement) DO UPDATE SET removed_seq = excluded.removed_seq
)
SELECT thread_no, head, stop_requested, 1 / (created_at < now())::int AS existed FROM t

-- name: append_tools
-- The same with tools that ended: their keys $26 and what they answered $27.
WITH s AS MATERIALIZED (SELECT set_config('agentflow.tenants', '{' || $2::uuid::text || '}', true) AS tenants), t AS (
    INSERT INTO agentflow_threads AS t (placement, tenant_id, thread_id, next_pos, run_id, state, stop_requested,
                                        expires_at, head, thread_no, user_id)
    SELECT $1, $2, $3, $4, $5, $6, $7, now() + $8::interval, $9::int + 1, $10, $11 FROM s
    ON CONFLICT (tenant_id, thread_id, placement) DO UPDATE
    SET head = excluded.head, next_pos = greatest(t.next_pos, excluded.next_pos), run_id = excluded.run_id,
        state = excluded.state, updated_at = excluded.updated_at,
        stop_requested = t.stop_requested AND NOT excluded.stop_requested,
        expires_at = coalesce(excluded.expires_at, t.expires_at)
    WHERE t.head = excluded.head - 1 AND t.thread_no = excluded.thread_no
      AND (excluded.user_id IS NULL OR t.user_id = excluded.user_id)
    RETURNING t.thread_no, t.head, t.stop_requested, t.created_at
), c AS (
    INSERT INTO agentflow_checkpoints (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id,
                                       source, node, run_id, delta)
    SELECT t.thread_no, $1, $2, t.head, $12, $13, $14, $15, $16, $5, $17 FROM t
), m AS (
    INSERT INTO agentflow_messages (thread_no, placement, tenant_id, seq, pos, message_id, role, content_kind,
                                    content, extra, sent_at)
    SELECT t.thread_no, $1, $2, t.head, m.*
    FROM t, unnest($18::int[], $19::text[], $20::text[], $21::smallint[], $22::text[], $23::text[],
                   $24::double precision[]) AS m
), r AS (
    INSERT INTO agentflow_messages (thread_no, created_at, sent_at, placement, pos, seq, removed_seq, content_kind,
                                    tenant_id, message_id, role, content, extra)
    SELECT x.thread_no, x.created_at, x.sent_at, x.placement, x.pos, x.seq, t.head, x.content_kind, x.tenant_id,
           x.message_id, x.role, x.content, x.extra
    FROM t
    CROSS JOIN LATERAL (
        SELECT * FROM agentflow_messages m
        WHERE m.placement = $1 AND m.tenant_id = $2 AND m.thread_no = t.thread_no AND m.pos = ANY ($25::int[])
          AND m.removed_seq IS NULL
        OFFSET 0
    ) x
    ON CONFLICT (tenant_id, thread_no, pos, seq, placement) DO UPDATE SET removed_seq = excluded.removed_seq
), l AS (
    INSERT INTO agentflow_tool_calls (thread_no, started_at, finished_at, placement, seq, idx, attempt, tenant_id,
                                      tool_key, started_by, call_id, name, node, run_id, result)
    SELECT x.thread_no, x.started_at, now(), x.placement, x.seq, x.idx, x.attempt, x.tenant_id, x.tool_key,
           x.started_by, x.call_id, x.name, x.node, x.run_id, x.answer
    FROM t
    CROSS JOIN LATERAL (
        SELECT l.*, r.answer
        FROM unnest($26::uuid[], $27::text[]) AS r (key, answer)
        JOIN agentflow_tool_calls l ON l.tool_key = r.key
        WHERE l.placement = $1 AND l.tenant_id = $2 AND l.thread_no = t.thread_no AND l.finished_at IS NULL
        OFFSET 0
    ) x
    ON CONFLICT (tenant_id, thread_no, tool_key, placement) DO UPDATE
    SET finished_at = excluded.finished_at, result = excluded.result
)
SELECT thread_no, head, stop_requested, 1 / (created_at < now())::int AS existed FROM t

-- name: start_tools
-- Intents of tools, if the thread is at head $5 and of life $6; no row comes back when it is not. The thread's row
-- stays as it is until the intents are committed. A start that is not the one sent before ($8) is one more attempt.
WITH s AS MATERIALIZED (SELECT set_config('agentflow.tenants', '{' || $2::uuid::text || '}', true) AS tenants), t AS MATERIALIZED (
    SELECT x.*
    FROM s
    CROSS JOIN LATERAL (
        SELECT thread_no, placement FROM agentflow_threads
        WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)
          AND head = $5 AND thread_no = $6 AND s.tenants IS NOT NULL
        OFFSET 0
        FOR SHARE
    ) x
)
INSERT INTO agentflow_tool_calls AS l (thread_no, placement, tenant_id, seq, run_id, started_by,
                                       tool_key, call_id, name, node, idx)
SELECT t.thread_no, t.placement, $2, $5, $7, $8, c.*
FROM t, unnest($9::uuid[], $10::text[], $11::text[], $12::text[], $13::int[]) AS c
ON CONFLICT (tenant_id, thread_no, tool_key, placement) DO UPDATE
SET attempt = l.attempt + (l.finished_at IS NULL AND l.started_by <> excluded.started_by)::int,
    started_by = excluded.started_by
RETURNING tool_key, attempt, result

-- name: finish_tools
-- What tools answered, of life $5: keys $6, answers $7. The first answer stays.
UPDATE agentflow_tool_calls l SET finished_at = now(), result = r.result
FROM unnest($6::uuid[], $7::text[]) AS r (tool_key, result), agentflow_threads t
WHERE l.placement = $1 AND l.tenant_id = $2 AND l.thread_no = $5 AND l.tool_key = r.tool_key
  AND l.finished_at IS NULL
  AND t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND t.thread_no = $5
  AND ($4::text IS NULL OR t.user_id = $4)
RETURNING l.tool_key

-- name: tool_calls
-- A thread's tool ledger.
SELECT l.tool_key AS key, l.call_id, l.name, l.node, l.run_id, l.seq, l.attempt, l.started_at, l.finished_at, l.result
FROM agentflow_threads t
JOIN agentflow_tool_calls l ON l.placement = $1 AND l.tenant_id = $2 AND l.thread_no = t.thread_no
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND ($4::text IS NULL OR t.user_id = $4)
ORDER BY l.seq, l.node, l.idx

-- name: why_not
-- Why a write found nothing to change: $4 the head it expected, $5 the principal.
SELECT t.placement, t.head, t.thread_no, t.stop_requested, c.checkpoint_id,
       ($5::text IS NULL OR t.user_id = $5) AS visible
FROM agentflow_threads t
LEFT JOIN agentflow_checkpoints c
       ON c.placement = $1 AND c.tenant_id = $2 AND c.thread_no IN (t.thread_no, -t.thread_no)
      AND c.seq = $4::int + 1
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3

-- name: placement_of
-- Where tenant $2 has its threads, if it ever moved.
SELECT placement, moving_to, creates_in FROM agentflow_placements WHERE tenant_id = $2 AND $1::int IS NOT NULL

-- name: versions
-- Lives and heads of threads of one placement: $2 their tenants, $3 ids, $4 principals. One look-up each, which OFFSET
-- holds the planner to: a plan made while the table was small would else read all threads of the tenants.
SELECT w.i::int AS i, t.thread_no, t.head
FROM unnest($2::uuid[], $3::text[], $4::text[])
     WITH ORDINALITY AS w (tenant_id, thread_id, principal, i)
CROSS JOIN LATERAL (
    SELECT thread_no, head FROM agentflow_threads
    WHERE placement = $1 AND tenant_id = w.tenant_id AND thread_id = w.thread_id
      AND (w.principal IS NULL OR user_id = w.principal)
    OFFSET 0
) t

-- name: load
-- A thread and its context in one answer, the newest message first: all of it, or the last $5.
SELECT t.placement, t.thread_no, t.head, t.next_pos, t.state, m.*
FROM agentflow_threads t
CROSS JOIN LATERAL (
    SELECT array_agg(x.pos) AS pos, array_agg(x.message_id) AS message_id, array_agg(x.role) AS role,
           array_agg(x.content_kind) AS content_kind, array_agg(x.content) AS content,
           array_agg(x.extra) AS extra, array_agg(x.sent_at) AS sent_at
    FROM (
        SELECT * FROM agentflow_messages
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND removed_seq IS NULL
        ORDER BY pos DESC
        LIMIT $5
    ) x
) m
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND ($4::text IS NULL OR t.user_id = $4)

-- name: load_group
-- Threads of one placement as by `load`, whole: $2 their tenants, $3 ids, $4 principals. Looked up as by `versions`.
SELECT w.i::int AS i, t.placement, t.thread_no, t.head, t.next_pos, t.state, m.*
FROM unnest($2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY AS w (tenant_id, thread_id, principal, i)
CROSS JOIN LATERAL (
    SELECT * FROM agentflow_threads
    WHERE placement = $1 AND tenant_id = w.tenant_id AND thread_id = w.thread_id
      AND (w.principal IS NULL OR user_id = w.principal)
    OFFSET 0
) t
CROSS JOIN LATERAL (
    SELECT array_agg(x.pos) AS pos, array_agg(x.message_id) AS message_id, array_agg(x.role) AS role,
           array_agg(x.content_kind) AS content_kind, array_agg(x.content) AS content,
           array_agg(x.extra) AS extra, array_agg(x.sent_at) AS sent_at
    FROM (
        SELECT * FROM agentflow_messages
        WHERE placement = $1 AND tenant_id = w.tenant_id AND thread_no = t.thread_no AND removed_seq IS NULL
        ORDER BY pos DESC
    ) x
) m

-- name: load_at
-- A thread at version $5: the deltas since the last full checkpoint, the archive that holds the version or ends
-- below it, if any, and the context as it was.
SELECT t.thread_no, t.head, t.next_pos, c.*, m.*,
       (SELECT a.archive FROM agentflow_checkpoints a
        WHERE a.placement = $1 AND a.tenant_id = $2 AND a.thread_no IN (t.thread_no, -t.thread_no)
          AND a.first_seq <= $5
        ORDER BY a.seq DESC LIMIT 1) AS archive
FROM agentflow_threads t
CROSS JOIN LATERAL (
    SELECT array_agg(x.delta) AS deltas, array_agg(x.seq) AS seqs, (array_agg(x.is_full))[1] AS starts_full
    FROM (
        SELECT seq, delta, is_full FROM agentflow_checkpoints
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND seq <= $5 AND archive IS NULL
          AND seq >= coalesce((SELECT max(f.seq) FROM agentflow_checkpoints f
                               WHERE f.placement = $1 AND f.tenant_id = $2 AND f.thread_no = t.thread_no
                                 AND f.seq <= $5 AND f.is_full), 1)
        ORDER BY seq
    ) x
) c
CROSS JOIN LATERAL (
    SELECT array_agg(x.pos) AS pos, array_agg(x.message_id) AS message_id, array_agg(x.role) AS role,
           array_agg(x.content_kind) AS content_kind, array_agg(x.content) AS content,
           array_agg(x.extra) AS extra, array_agg(x.sent_at) AS sent_at
    FROM (
        SELECT * FROM agentflow_messages
        WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND seq <= $5
          AND (removed_seq IS NULL OR removed_seq > $5)
        ORDER BY pos
    ) x
) m
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND ($4::text IS NULL OR t.user_id = $4)

-- name: history
-- Checkpoints below $5, newest first, at most $6; an archive counts as one, and may hold $5 and newer ones too.
SELECT c.seq, c.checkpoint_id, c.source, c.node, c.step, c.run_id, c.created_at, c.archive
FROM agentflow_threads t
CROSS JOIN LATERAL (
    (SELECT * FROM agentflow_checkpoints
     WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no
       AND ($5::int IS NULL OR seq < $5 OR first_seq < $5)
     ORDER BY seq DESC LIMIT $6)
    UNION ALL
    (SELECT * FROM agentflow_checkpoints
     WHERE placement = $1 AND tenant_id = $2 AND thread_no = -t.thread_no AND ($5::int IS NULL OR first_seq < $5)
     ORDER BY seq DESC LIMIT $6)
) c
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND ($4::text IS NULL OR t.user_id = $4)
ORDER BY c.seq DESC
LIMIT $6

-- name: get_thread
SELECT thread_id, head, user_id, name, metadata::text AS metadata, run_id, created_at, updated_at, expires_at,
       NULL::text AS status, state
FROM agentflow_threads
WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)

-- name: list_threads
-- $3 the principal, $4 a part of the id or name (no pattern), $5 offset, $6 limit, $7 characters of each id
-- that a search leaves out. The status is cut out of the state's text, of the listed threads only: to parse it
-- would fail where a field holds a NUL, and no string in it can hold these quotes unescaped.
SELECT thread_id, head, user_id, name, metadata::text AS metadata, run_id, created_at, updated_at, expires_at,
       substring(state FROM
           '"execution_meta":\{"current_node":"(?:[^"\\]|\\.)*","step":[0-9]+,"status":"([a-z_]+)"') AS status
FROM (
    SELECT * FROM agentflow_threads
    WHERE placement = $1 AND tenant_id = $2 AND ($3::text IS NULL OR user_id = $3)
      AND ($4::text IS NULL OR strpos(lower(substr(thread_id, $7::int + 1)), lower($4)) > 0
           OR strpos(lower(name), lower($4)) > 0)
    ORDER BY updated_at DESC, thread_id DESC
    OFFSET $5 LIMIT $6
) t
ORDER BY updated_at DESC, thread_id DESC

-- name: list_messages
-- $5 a part of the content (no pattern), $6 offset, $7 limit. One row of nulls: a thread without such messages.
SELECT m.pos, m.message_id, m.role, m.content_kind, m.content, m.extra, m.sent_at
FROM agentflow_threads t
LEFT JOIN LATERAL (
    SELECT * FROM agentflow_messages
    WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no AND removed_seq IS NULL
      AND ($5::text IS NULL OR strpos(lower(content), lower($5)) > 0)
    ORDER BY pos
    OFFSET $6 LIMIT $7
) m ON true
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND ($4::text IS NULL OR t.user_id = $4)

-- name: messages_page
-- Messages of a thread as they were at version $6 of its life $5 (both null: now), behind position $7, but for the
-- first $8; at most $9 of them, and behind the first no more than $10 bytes. Their texts are left out of outlines
-- ($11), where they cannot hold a tool call. One row of nulls: a thread without such messages. Sizes are read
-- without the texts themselves, which may lie elsewhere.
SELECT t.thread_no, coalesce($6, t.head) AS version,
       m.pos, m.message_id, m.role, m.content_kind, m.content, m.extra, m.sent_at
FROM agentflow_threads t
LEFT JOIN LATERAL (
    SELECT x.pos, x.message_id, x.role, x.content_kind, x.sent_at,
           CASE WHEN $11::boolean AND x.content_kind = 0 THEN '' ELSE x.content END AS content,
           CASE WHEN $11 THEN NULL ELSE x.extra END AS extra
    FROM (
        SELECT p.*, row_number() OVER (ORDER BY p.pos) AS place,
               sum(octet_length(p.content) + coalesce(octet_length(p.extra), 0)) OVER (ORDER BY p.pos) AS bytes
        FROM (
            SELECT * FROM agentflow_messages
            WHERE placement = $1 AND tenant_id = $2 AND thread_no = t.thread_no
              AND seq <= coalesce($6::int, t.head) AND (removed_seq IS NULL OR removed_seq > $6) AND pos > $7
            ORDER BY pos
            OFFSET $8 LIMIT $9
        ) p
    ) x
    WHERE x.place = 1 OR x.bytes <= $10
    ORDER BY x.pos
) m ON true
WHERE t.placement = $1 AND t.tenant_id = $2 AND t.thread_id = $3 AND ($4::text IS NULL OR t.user_id = $4)
  AND ($5::bigint IS NULL OR t.thread_no = $5) AND t.head >= coalesce($6, 0)
ORDER BY m.pos

-- name: delete_thread
DELETE FROM agentflow_threads
WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)
RETURNING thread_no

-- name: request_stop
UPDATE agentflow_threads SET stop_requested = true
WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)
RETURNING thread_no

-- name: stop_requested
SELECT stop_requested FROM agentflow_threads
WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)

-- name: delete_expired
-- Housekeeping over all tenants, on the database's clock: $1 threads at most, older than $2 or past their time.
-- Threads a writer holds at this moment are left for the next round. Those that live are left: that wait for an answer
-- (LangGraph's by the writes of its last checkpoint), or say that they run and did within a day.
DELETE FROM agentflow_threads t
USING (
    SELECT d.placement, d.tenant_id, d.thread_id
    FROM agentflow_threads d
    CROSS JOIN LATERAL (
        SELECT substring(d.state FROM
                   '"execution_meta":\{"current_node":"(?:[^"\\]|\\.)*","step":[0-9]+,"status":"([a-z_]+)"') AS status
    ) s
    WHERE (d.expires_at <= now() OR d.updated_at <= now() - $2::interval)
      AND NOT coalesce(s.status = 'running' AND d.updated_at > now() - interval '1 day', false)
      AND NOT coalesce(s.status IN ('running', 'interrupted_before', 'interrupted_after')
                       AND strpos(d.state, '"interrupts":[{') > 0, false)
      AND NOT (starts_with(d.state, '{"langgraph":') AND EXISTS (
          SELECT FROM agentflow_writes w
          WHERE w.placement = d.placement AND w.tenant_id = d.tenant_id AND w.thread_no = d.thread_no
            AND w.channel = '__interrupt__'
            AND w.checkpoint = (SELECT c.checkpoint_id::text FROM agentflow_checkpoints c
                                WHERE c.placement = d.placement AND c.tenant_id = d.tenant_id
                                  AND c.thread_no = d.thread_no AND c.node = '' ORDER BY c.seq DESC LIMIT 1)))
    LIMIT $1
    FOR UPDATE OF d SKIP LOCKED
) gone
WHERE t.placement = gone.placement AND t.tenant_id = gone.tenant_id AND t.thread_id = gone.thread_id
RETURNING t.thread_no

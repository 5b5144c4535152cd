-- What an export reads and an import writes, by name. `{places}` are the placements that the tenant's threads may be in,
-- written as numbers, and `{placement}` the one where new ones are made. $1 is the tenant.
-- What hangs below threads is looked up thread by thread, which OFFSET holds the planner to: without statistics, or with those
-- of when the tenant was small, it would read all of the tenant for each part.

-- name: settings
-- Shows the tenant's rows; what is loaded is counted by `count_loaded`; plans are made for the leaves at hand, and look up.
SELECT set_config('agentflow.tenants', '{' || $1::uuid::text || '}', true), set_config('agentflow.uncounted', 'on', true),
       set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true)

-- name: where_is
-- Where the tenant's threads are.
SELECT t.slug, t.state, coalesce(p.placement, t.placement) AS placement, coalesce(p.moving_to, t.moving_to) AS moving_to
FROM agentflow_tenants t LEFT JOIN agentflow_placements p ON p.tenant_id = t.tenant_id
WHERE t.tenant_id = $1

-- name: count_threads
-- $2 the prefix of stored ids, $3 the user, $4 the one thread.
SELECT count(*) AS threads FROM agentflow_threads
WHERE placement IN ({places}) AND tenant_id = $1 AND starts_with(thread_id, $2)
  AND ($3::text IS NULL OR user_id = $3) AND ($4::text IS NULL OR thread_id = $4)

-- name: next_threads
-- Threads behind $5 in the order of ids, $6 at most, with how many rows they have had.
SELECT thread_id, head + next_pos AS rows FROM agentflow_threads
WHERE placement IN ({places}) AND tenant_id = $1 AND starts_with(thread_id, $2)
  AND ($3::text IS NULL OR user_id = $3) AND ($4::text IS NULL OR thread_id = $4) AND thread_id > $5
ORDER BY thread_id
LIMIT $6

-- name: part
-- The threads behind $5, up to $6: stands for `{part}` below.
SELECT thread_id, thread_no FROM agentflow_threads
WHERE placement IN ({places}) AND tenant_id = $1 AND starts_with(thread_id, $2)
  AND ($3::text IS NULL OR user_id = $3) AND ($4::text IS NULL OR thread_id = $4)
  AND thread_id > $5 AND thread_id <= $6
ORDER BY thread_id OFFSET 0

-- name: any_packed
-- Whether a thread behind $5, up to $6, has packed checkpoints.
SELECT EXISTS (
    SELECT FROM ({part}) t
    CROSS JOIN LATERAL (
        SELECT FROM agentflow_checkpoints
        WHERE placement IN ({places}) AND tenant_id = $1 AND thread_no IN (t.thread_no, -t.thread_no) AND archive IS NOT NULL
        LIMIT 1
    ) c
) AS packed

-- name: threads
-- A line each, of the threads behind $5, up to $6. Times are spelled out, so that no setting of a session changes a byte.
SELECT row_to_json(l) FROM (
    SELECT substr(t.thread_id, length($2) + 1) AS thread, t.head, t.next_pos, t.user_id AS "user", t.name, t.run_id AS run,
           to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
           to_char(t.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
           to_char(t.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS expires_at,
           t.metadata, t.state
    FROM agentflow_threads t
    WHERE t.placement IN ({places}) AND t.tenant_id = $1 AND starts_with(t.thread_id, $2)
      AND ($3::text IS NULL OR t.user_id = $3) AND ($4::text IS NULL OR t.thread_id = $4)
      AND t.thread_id > $5 AND t.thread_id <= $6
    ORDER BY t.thread_id
) l

-- name: checkpoints
-- Those that are not packed.
SELECT row_to_json(l) FROM (
    SELECT substr(t.thread_id, length($2) + 1) AS thread, c.seq,
           to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
           c.step, c.is_full AS "full", c.checkpoint_id AS id, c.source, c.node, c.run_id AS run, c.delta
    FROM ({part}) t
    CROSS JOIN LATERAL (
        SELECT * FROM agentflow_checkpoints
        WHERE placement IN ({places}) AND tenant_id = $1 AND thread_no = t.thread_no AND archive IS NULL
        ORDER BY seq OFFSET 0
    ) c
    ORDER BY t.thread_id, c.seq
) l

-- name: packed_checkpoints
-- The same as rows, with archives among them where their checkpoints belong.
SELECT substr(t.thread_id, length($2) + 1) AS thread, c.seq, c.created_at, c.step, c.is_full, c.checkpoint_id, c.source,
       c.node, c.run_id, c.delta, c.archive
FROM ({part}) t
CROSS JOIN LATERAL (
    SELECT * FROM agentflow_checkpoints
    WHERE placement IN ({places}) AND tenant_id = $1 AND thread_no IN (t.thread_no, -t.thread_no)
    ORDER BY seq OFFSET 0
) c
ORDER BY t.thread_id, c.seq

-- name: messages
SELECT row_to_json(l) FROM (
    SELECT substr(t.thread_id, length($2) + 1) AS thread, m.pos, m.seq, m.removed_seq AS removed,
           to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
           m.sent_at, m.content_kind AS kind, m.message_id AS id, m.role, m.content, m.extra
    FROM ({part}) t
    CROSS JOIN LATERAL (
        SELECT * FROM agentflow_messages
        WHERE placement IN ({places}) AND tenant_id = $1 AND thread_no = t.thread_no
        ORDER BY pos, seq OFFSET 0
    ) m
    ORDER BY t.thread_id, m.pos, m.seq
) l

-- name: tools
SELECT row_to_json(l) FROM (
    SELECT substr(t.thread_id, length($2) + 1) AS thread, c.tool_key AS key, c.seq, c.idx, c.attempt,
           to_char(c.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started_at,
           to_char(c.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS finished_at,
           c.started_by, c.call_id, c.name, c.node, c.run_id AS run, c.result
    FROM ({part}) t
    CROSS JOIN LATERAL (
        SELECT * FROM agentflow_tool_calls
        WHERE placement IN ({places}) AND tenant_id = $1 AND thread_no = t.thread_no
        ORDER BY tool_key OFFSET 0
    ) c
    ORDER BY t.thread_id, c.tool_key
) l

-- name: writes
SELECT row_to_json(l) FROM (
    SELECT substr(t.thread_id, length($2) + 1) AS thread, w.checkpoint, w.task_id AS task, w.idx, w.task_path AS path,
           w.channel, w.kind, encode(w.value, 'hex') AS value
    FROM ({part}) t
    CROSS JOIN LATERAL (
        SELECT * FROM agentflow_writes
        WHERE placement IN ({places}) AND tenant_id = $1 AND thread_no = t.thread_no
        ORDER BY checkpoint COLLATE "C", task_id COLLATE "C", idx OFFSET 0
    ) w
    ORDER BY t.thread_id, w.checkpoint COLLATE "C", w.task_id COLLATE "C", w.idx
) l

-- name: existing
-- Which of the stored ids $2 there are.
SELECT thread_id FROM agentflow_threads
WHERE placement IN ({places}) AND tenant_id = $1 AND thread_id = ANY ($2::text[])
ORDER BY thread_id

-- name: claim
-- Whose work the import $2 is stays so until the transaction ends; no row when it is not $3's any more.
SELECT after FROM agentflow_exports
WHERE tenant_id = $1 AND export_id = $2 AND holder = $3 AND state = 'running' FOR UPDATE

-- name: hold_tenant
-- Whoever wants to move or suspend the tenant waits for the end of the transaction.
SELECT state, moving_to FROM agentflow_tenants WHERE tenant_id = $1 FOR SHARE

-- name: load_threads
INSERT INTO agentflow_threads (placement, tenant_id, thread_id, head, next_pos, user_id, name, run_id, created_at,
                               updated_at, expires_at, metadata, state)
SELECT {placement}, $1, r.thread_id, r.head, r.next_pos, r.user_id, r.name, r.run_id, r.created_at, r.updated_at,
       r.expires_at, r.metadata::jsonb, r.state
FROM unnest($2::text[], $3::int[], $4::int[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::timestamptz[],
            $10::timestamptz[], $11::text[], $12::text[])
     AS r (thread_id, head, next_pos, user_id, name, run_id, created_at, updated_at, expires_at, metadata, state)
RETURNING thread_id, thread_no

-- name: load_checkpoints
-- Into the leaf itself, as messages: through the parent each row would be kept for the triggers that count, which do not here.
WITH made AS (
    INSERT INTO agentflow_checkpoints_p{placement} (placement, tenant_id, thread_no, seq, created_at, step, is_full, checkpoint_id,
                                       source, node, run_id, delta)
    SELECT {placement}, $1, r.*
    FROM unnest($2::bigint[], $3::int[], $4::timestamptz[], $5::int[], $6::boolean[], $7::uuid[], $8::text[], $9::text[],
                $10::text[], $11::text[]) AS r
    RETURNING octet_length(delta) AS bytes
)
SELECT coalesce(sum(bytes), 0)::bigint AS bytes FROM made

-- name: load_messages
WITH made AS (
    INSERT INTO agentflow_messages_p{placement} (placement, tenant_id, thread_no, pos, seq, removed_seq, created_at, sent_at,
                                    content_kind, message_id, role, content, extra)
    SELECT {placement}, $1, r.*
    FROM unnest($2::bigint[], $3::int[], $4::int[], $5::int[], $6::timestamptz[], $7::float8[], $8::smallint[], $9::text[],
                $10::text[], $11::text[], $12::text[]) AS r
    RETURNING octet_length(content) + coalesce(octet_length(extra), 0) AS bytes
)
SELECT coalesce(sum(bytes), 0)::bigint AS bytes FROM made

-- name: load_tools
WITH made AS (
    INSERT INTO agentflow_tool_calls (placement, tenant_id, thread_no, tool_key, seq, idx, attempt, started_at, finished_at,
                                      started_by, call_id, name, node, run_id, result)
    SELECT {placement}, $1, r.*
    FROM unnest($2::bigint[], $3::uuid[], $4::int[], $5::int[], $6::int[], $7::timestamptz[], $8::timestamptz[],
                $9::uuid[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[]) AS r
    RETURNING 1
)
SELECT 0::bigint AS bytes

-- name: load_writes
WITH made AS (
    INSERT INTO agentflow_writes (placement, tenant_id, thread_no, checkpoint, task_id, idx, task_path, channel, kind, value)
    SELECT {placement}, $1, r.*
    FROM unnest($2::bigint[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::bytea[]) AS r
    RETURNING 1
)
SELECT 0::bigint AS bytes

-- name: count_loaded
-- What is kept from now on: nobody ran anything for it.
INSERT INTO agentflow_usage_events (tenant_id, threads, bytes) VALUES ($1, $2, $3)

-- name: note_loaded
-- How far it is, in the transaction that brought it there.
UPDATE agentflow_exports SET step = 'load', after = $3, threads_done = threads_done + $4
WHERE tenant_id = $1 AND export_id = $2

-- Looking for threads by what they are, and what is done to those that are found. `$1` is the placement, `$2` the tenant
-- and `$3` the principal. The conditions are the same in each, null is any: $4 ids, $5 metadata that is contained,
-- $6 the user, $7 a part of what a message says and $8 the same as JSON writes it, $9 a part of the name, $10 to $13
-- changed before and after, made before and after, $14 how the latest run stands, as `status_of` reads a state.
-- No index serves them: they look at each of the tenant's threads, found by the primary key, and at nobody else's.
-- States are looked at late, as long ones are stored elsewhere, and messages last, thread by thread; of content blocks only
-- those that hold the text somewhere are taken apart.
-- A NUL has no place in text: its escape becomes a space, unless the backslash before u0000 is itself a part of the text.

-- name: search_threads
-- The page behind place $17 $18, at most $19, by $15 (a time's name, or nothing), latest first with $16. The order is
-- made before the messages are looked at, and OFFSET 0 has that done thread by thread, so that a page ends the search.
SELECT t.thread_id, t.head, t.user_id, t.name, t.metadata::text AS metadata, t.run_id, t.created_at, t.updated_at,
       t.expires_at,
       substring(t.state FROM
           '"execution_meta":\{"current_node":"(?:[^"\\]|\\.)*","step":[0-9]+,"status":"([a-z_]+)"') AS status
FROM (
    SELECT t.thread_no, t.thread_id, t.head, t.user_id, t.name, t.metadata, t.run_id, t.created_at, t.updated_at,
           t.expires_at, t.state, k.sort_key
    FROM agentflow_threads t
    CROSS JOIN LATERAL (
        SELECT CASE $15::text WHEN 'updated_at' THEN (extract(epoch FROM t.updated_at) * 1000000)::bigint
                              WHEN 'created_at' THEN (extract(epoch FROM t.created_at) * 1000000)::bigint
                              ELSE 0 END
               * CASE WHEN $16::boolean THEN -1 ELSE 1 END AS sort_key
    ) k
    WHERE t.placement = $1 AND t.tenant_id = $2 AND ($3::text IS NULL OR t.user_id = $3)
      AND ($4::text[] IS NULL OR t.thread_id = ANY ($4::text[]))
      AND ($5::text IS NULL OR t.metadata @> $5::text::jsonb)
      AND ($6::text IS NULL OR t.user_id = $6)
      AND ($9::text IS NULL OR strpos(lower(t.name), lower($9)) > 0)
      AND ($10::timestamptz IS NULL OR t.updated_at < $10) AND ($11::timestamptz IS NULL OR t.updated_at >= $11)
      AND ($12::timestamptz IS NULL OR t.created_at < $12) AND ($13::timestamptz IS NULL OR t.created_at >= $13)
      AND ($17::bigint IS NULL OR (k.sort_key, t.thread_id) > ($17, $18))
    ORDER BY k.sort_key, t.thread_id
    OFFSET 0
) t
WHERE ($14::text IS NULL OR CASE substring(t.state FROM '"execution_meta":\{"current_node":"(?:[^"\\]|\\.)*","step":[0-9]+,"status":"([a-z_]+)"')
      WHEN 'running' THEN 'running' WHEN 'error' THEN 'error'
      WHEN 'interrupted_before' THEN 'interrupted' WHEN 'interrupted_after' THEN 'interrupted' ELSE 'idle' END = $14)
  AND ($7::text IS NULL OR EXISTS (
    SELECT FROM agentflow_messages m
    WHERE m.placement = $1 AND m.tenant_id = $2 AND m.thread_no = t.thread_no AND m.removed_seq IS NULL
      AND CASE WHEN m.content_kind = 0 THEN strpos(lower(m.content), lower($7)) > 0
               ELSE strpos(lower(m.content), lower($8)) > 0 AND EXISTS (
                   SELECT FROM regexp_matches(m.content, '"(?:text|output|summary)":"((?:[^"\\]|\\.)*)"', 'g') AS x (said)
                   WHERE strpos(lower(('"' || regexp_replace(x.said[1], '(?<!\\)((?:\\\\)*)\\u0000', '\1 ', 'g') || '"')::json #>> '{}'), lower($7)) > 0
               ) END
    OFFSET 0
))
ORDER BY t.sort_key, t.thread_id
LIMIT $19

-- name: count_threads
SELECT count(*) AS threads
FROM agentflow_threads t
WHERE t.placement = $1 AND t.tenant_id = $2 AND ($3::text IS NULL OR t.user_id = $3)
  AND ($4::text[] IS NULL OR t.thread_id = ANY ($4::text[]))
  AND ($5::text IS NULL OR t.metadata @> $5::text::jsonb)
  AND ($6::text IS NULL OR t.user_id = $6)
  AND ($9::text IS NULL OR strpos(lower(t.name), lower($9)) > 0)
  AND ($10::timestamptz IS NULL OR t.updated_at < $10) AND ($11::timestamptz IS NULL OR t.updated_at >= $11)
  AND ($12::timestamptz IS NULL OR t.created_at < $12) AND ($13::timestamptz IS NULL OR t.created_at >= $13)
  AND ($14::text IS NULL OR CASE substring(t.state FROM '"execution_meta":\{"current_node":"(?:[^"\\]|\\.)*","step":[0-9]+,"status":"([a-z_]+)"')
      WHEN 'running' THEN 'running' WHEN 'error' THEN 'error'
      WHEN 'interrupted_before' THEN 'interrupted' WHEN 'interrupted_after' THEN 'interrupted' ELSE 'idle' END = $14)
  AND ($7::text IS NULL OR EXISTS (
    SELECT FROM agentflow_messages m
    WHERE m.placement = $1 AND m.tenant_id = $2 AND m.thread_no = t.thread_no AND m.removed_seq IS NULL
      AND CASE WHEN m.content_kind = 0 THEN strpos(lower(m.content), lower($7)) > 0
               ELSE strpos(lower(m.content), lower($8)) > 0 AND EXISTS (
                   SELECT FROM regexp_matches(m.content, '"(?:text|output|summary)":"((?:[^"\\]|\\.)*)"', 'g') AS x (said)
                   WHERE strpos(lower(('"' || regexp_replace(x.said[1], '(?<!\\)((?:\\\\)*)\\u0000', '\1 ', 'g') || '"')::json #>> '{}'), lower($7)) > 0
               ) END
))

-- name: delete_threads
-- At most $15. A thread that a writer holds is waited for, and must meet the conditions afterwards, too.
WITH gone AS (
    SELECT t.placement, t.thread_id
    FROM agentflow_threads t
    WHERE t.placement = $1 AND t.tenant_id = $2 AND ($3::text IS NULL OR t.user_id = $3)
      AND ($4::text[] IS NULL OR t.thread_id = ANY ($4::text[]))
      AND ($5::text IS NULL OR t.metadata @> $5::text::jsonb)
      AND ($6::text IS NULL OR t.user_id = $6)
      AND ($9::text IS NULL OR strpos(lower(t.name), lower($9)) > 0)
      AND ($10::timestamptz IS NULL OR t.updated_at < $10) AND ($11::timestamptz IS NULL OR t.updated_at >= $11)
      AND ($12::timestamptz IS NULL OR t.created_at < $12) AND ($13::timestamptz IS NULL OR t.created_at >= $13)
      AND ($14::text IS NULL OR CASE substring(t.state FROM '"execution_meta":\{"current_node":"(?:[^"\\]|\\.)*","step":[0-9]+,"status":"([a-z_]+)"')
          WHEN 'running' THEN 'running' WHEN 'error' THEN 'error'
          WHEN 'interrupted_before' THEN 'interrupted' WHEN 'interrupted_after' THEN 'interrupted' ELSE 'idle' END = $14)
      AND ($7::text IS NULL OR EXISTS (
        SELECT FROM agentflow_messages m
        WHERE m.placement = $1 AND m.tenant_id = $2 AND m.thread_no = t.thread_no AND m.removed_seq IS NULL
          AND CASE WHEN m.content_kind = 0 THEN strpos(lower(m.content), lower($7)) > 0
                   ELSE strpos(lower(m.content), lower($8)) > 0 AND EXISTS (
                       SELECT FROM regexp_matches(m.content, '"(?:text|output|summary)":"((?:[^"\\]|\\.)*)"', 'g') AS x (said)
                       WHERE strpos(lower(('"' || regexp_replace(x.said[1], '(?<!\\)((?:\\\\)*)\\u0000', '\1 ', 'g') || '"')::json #>> '{}'), lower($7)) > 0
                   ) END
    ))
    ORDER BY t.thread_id
    LIMIT $15
    FOR UPDATE OF t
)
DELETE FROM agentflow_threads d USING gone g
WHERE d.placement = $1 AND d.tenant_id = $2 AND d.placement = g.placement AND d.thread_id = g.thread_id
RETURNING d.thread_id, d.thread_no

-- name: update_thread
-- $5 whether the name becomes $6; $7 metadata to add and $8 keys to take away, unless it gets longer than $9 then;
-- $10 whether it expires at $11.
UPDATE agentflow_threads
SET name = CASE WHEN $5::boolean THEN $6::text ELSE name END,
    metadata = CASE WHEN $7::text IS NULL THEN metadata ELSE (metadata || $7::text::jsonb) - $8::text[] END,
    expires_at = CASE WHEN $10::boolean THEN $11::timestamptz ELSE expires_at END
WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)
  AND ($7::text IS NULL OR octet_length(((metadata || $7::text::jsonb) - $8::text[])::text) <= $9::int)
RETURNING thread_id, head, user_id, name, metadata::text AS metadata, run_id, created_at, updated_at, expires_at,
          NULL::text AS status, state

-- name: copy_number
-- For a copy, which recognises by it that it has been made already.
SELECT nextval('agentflow_thread_no') AS thread_no

-- name: copy_thread
-- The thread $3 with everything below it as thread $5, numbered $6, made in placement $7; one snapshot. An existing thread
-- stays as it is. `here`: whether the tenant makes its threads there now and $8 are all the placements it has any in.
-- With $9 only a thread whose metadata holds that. What is copied is kept, but nobody ran anything for it.
WITH s AS (
    SELECT * FROM agentflow_threads
    WHERE placement = $1 AND tenant_id = $2 AND thread_id = $3 AND ($4::text IS NULL OR user_id = $4)
      AND metadata @> $9::text::jsonb
), h AS (
    SELECT coalesce((SELECT creates_in = $7 AND placement = ANY ($8::int[])
                            AND (moving_to IS NULL OR moving_to = ANY ($8::int[]))
                     FROM agentflow_placements WHERE tenant_id = $2), true) AS here,
           set_config('agentflow.uncounted', 'copied', true) AS counting
), t AS (
    INSERT INTO agentflow_threads (thread_no, placement, tenant_id, thread_id, head, next_pos, run_id, state,
                                   user_id, name, metadata, expires_at)
    SELECT $6, $7, $2, $5, head, next_pos, run_id, state, user_id, name, metadata, expires_at
    FROM s, h
    WHERE h.here AND h.counting = 'copied'
      AND NOT EXISTS (SELECT FROM agentflow_threads WHERE placement = $1 AND tenant_id = $2 AND thread_id = $5)
    ON CONFLICT (tenant_id, thread_id, placement) DO NOTHING
    RETURNING thread_no
), c AS (
    INSERT INTO agentflow_checkpoints (thread_no, created_at, placement, tenant_id, seq, step, is_full,
                                       checkpoint_id, source, node, run_id, delta, first_seq, archive)
    SELECT CASE WHEN c.thread_no < 0 THEN -t.thread_no ELSE t.thread_no END, c.created_at, $7, $2, c.seq, c.step, c.is_full, c.checkpoint_id, c.source, c.node,
           c.run_id, c.delta, c.first_seq, c.archive
    FROM t, s, agentflow_checkpoints c
    WHERE c.placement = $1 AND c.tenant_id = $2 AND c.thread_no IN (s.thread_no, -s.thread_no)
    RETURNING octet_length(delta) + coalesce(octet_length(archive), 0) AS size_bytes
), m AS (
    INSERT INTO agentflow_messages (thread_no, created_at, placement, tenant_id, seq, removed_seq, pos, message_id,
                                    role, content_kind, content, extra, sent_at)
    SELECT t.thread_no, m.created_at, $7, $2, m.seq, m.removed_seq, m.pos, m.message_id, m.role, m.content_kind,
           m.content, m.extra, m.sent_at
    FROM t, s, agentflow_messages m
    WHERE m.placement = $1 AND m.tenant_id = $2 AND m.thread_no = s.thread_no
    RETURNING octet_length(content) + coalesce(octet_length(extra), 0) AS size_bytes
), l AS (
    INSERT INTO agentflow_tool_calls (thread_no, started_at, finished_at, placement, tenant_id, seq, idx, attempt,
                                      tool_key, started_by, call_id, name, node, run_id, result)
    SELECT t.thread_no, l.started_at, l.finished_at, $7, $2, l.seq, l.idx, l.attempt, l.tool_key, l.started_by,
           l.call_id, l.name, l.node, l.run_id, l.result
    FROM t, s, agentflow_tool_calls l
    WHERE l.placement = $1 AND l.tenant_id = $2 AND l.thread_no = s.thread_no AND l.finished_at IS NOT NULL
), w AS (
    INSERT INTO agentflow_writes (thread_no, placement, tenant_id, checkpoint, task_id, task_path, idx, channel,
                                  kind, value)
    SELECT t.thread_no, $7, $2, w.checkpoint, w.task_id, w.task_path, w.idx, w.channel, w.kind, w.value
    FROM t, s, agentflow_writes w
    WHERE w.placement = $1 AND w.tenant_id = $2 AND w.thread_no = s.thread_no
)
SELECT EXISTS (SELECT FROM s) AS found, (SELECT here FROM h) AS here,
       EXISTS (SELECT FROM t) OR EXISTS (SELECT FROM agentflow_threads
                                         WHERE placement = $1 AND tenant_id = $2 AND thread_id = $5
                                           AND thread_no = $6) AS copied,
       (SELECT head FROM s) AS head,
       coalesce((SELECT sum(size_bytes) FROM c), 0)::bigint
       + coalesce((SELECT sum(size_bytes) FROM m), 0)::bigint AS size_bytes

-- Retention: what is deleted because its time is over, and what a dry run says of it. A thread lives while somebody may go on
-- with it: a run of it waits or works, it waits for an answer (an interrupt, LangGraph's too), or its last checkpoint says
-- that it runs and is younger than a day: a process that was killed leaves that behind for ever.
-- Each statement is planned for the placement it is given, so that it locks that leaf alone (`plan_for_this_placement`).

-- name: plan_for_this_placement
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true)

-- name: placements_of_threads
SELECT CAST(substring(c.relname FROM '[0-9]+$') AS int) AS placement
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r'
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND p.relname = 'agentflow_threads' AND pg_table_is_visible(p.oid)
ORDER BY placement

-- name: due_threads
-- Of the next :most threads of a placement, over all of its tenants: those whose time is over, on the database's clock, as two
-- arrays. The other columns say where to go on; null at the end. What lives is sorted out by `agentflow_delete_due`.
WITH page AS MATERIALIZED (
    SELECT t.tenant_id, t.thread_id, t.updated_at, t.expires_at
    FROM agentflow_threads t
    WHERE t.placement = :placement
      AND (t.tenant_id, t.thread_id) > (CAST(:tenant_id AS uuid), CAST(:thread_id AS text))
    ORDER BY t.tenant_id, t.thread_id LIMIT :most
)
SELECT l.tenant_id, l.thread_id, d.tenant_ids, d.thread_ids
FROM (SELECT 1) one
LEFT JOIN LATERAL (SELECT tenant_id, thread_id FROM page ORDER BY tenant_id DESC, thread_id DESC LIMIT 1) l ON true
CROSS JOIN LATERAL (
    SELECT array_agg(p.tenant_id) AS tenant_ids, array_agg(p.thread_id) AS thread_ids
    FROM page p LEFT JOIN agentflow_tenants n ON n.tenant_id = p.tenant_id
    WHERE p.expires_at <= now()
       OR p.updated_at <= now() - least(make_interval(days => n.retention_days), make_interval(secs => CAST(:retention_s AS float8)))
) d

-- name: delete_due_threads
-- Those of the given that are due still and do not live, with rests in between; how long the work took there.
SELECT threads, versions, took_s, rest_s
FROM agentflow_delete_due(:placement, CAST(:tenant_ids AS uuid[]), CAST(:thread_ids AS text[]), CAST(:retention_s AS float8),
                          CAST(:rest_share AS float8))

-- name: long_threads_of_tenants
-- Of the next :most threads of a placement: those with more versions than their tenant keeps, left alone for :idle_s, as three
-- arrays; LangGraph's are left, their checkpoints are looked up by id.
WITH page AS MATERIALIZED (
    SELECT t.tenant_id, t.thread_id, t.thread_no, t.head, t.updated_at, strpos(t.state, '{"langgraph":') = 1 AS is_langgraphs
    FROM agentflow_threads t
    WHERE t.placement = :placement
      AND (t.tenant_id, t.thread_id) > (CAST(:tenant_id AS uuid), CAST(:thread_id AS text))
    ORDER BY t.tenant_id, t.thread_id LIMIT :most
)
SELECT l.tenant_id, l.thread_id, d.tenant_ids, d.thread_ids, d.kept
FROM (SELECT 1) one
LEFT JOIN LATERAL (SELECT tenant_id, thread_id FROM page ORDER BY tenant_id DESC, thread_id DESC LIMIT 1) l ON true
CROSS JOIN LATERAL (
    SELECT array_agg(p.tenant_id) AS tenant_ids, array_agg(p.thread_id) AS thread_ids, array_agg(n.keep_checkpoints) AS kept
    FROM page p JOIN agentflow_tenants n ON n.tenant_id = p.tenant_id AND p.head > n.keep_checkpoints
    WHERE NOT p.is_langgraphs AND p.updated_at <= now() - make_interval(secs => :idle_s)
      AND EXISTS (SELECT FROM agentflow_checkpoints c
                  WHERE c.placement = :placement AND c.tenant_id = p.tenant_id
                    AND c.thread_no IN (p.thread_no, -p.thread_no)
                    AND coalesce(c.first_seq, c.seq) <= p.head - n.keep_checkpoints)
) d

-- name: weigh_threads
-- Of the next :most threads of a tenant in a placement: how many there are, how many are due, why of those some stay, and what
-- the others hold. :retention_days and :keep_checkpoints are what is asked about; null is for ever, and all.
WITH page AS MATERIALIZED (
    SELECT t.tenant_id, t.thread_id, t.thread_no, t.head, t.state,
           coalesce(t.expires_at <= now(), false) AS is_expired,
           coalesce(t.updated_at <= now() - make_interval(days => CAST(:retention_days AS int)), false) AS is_old,
           t.updated_at > now() - interval '1 day' AS is_young
    FROM agentflow_threads t
    WHERE t.placement = :placement AND t.tenant_id = :tenant_id AND t.thread_id > CAST(:thread_id AS text)
    ORDER BY t.thread_id LIMIT :most
), judged AS MATERIALIZED (
    SELECT p.thread_id, p.thread_no, p.head, p.is_expired, p.is_old, p.is_expired OR p.is_old AS is_due, r.has_run,
           coalesce(s.status = 'running' AND p.is_young, false) AS runs,
           coalesce(s.status IN ('running', 'interrupted_before', 'interrupted_after')
                    AND strpos(p.state, '"interrupts":[{') > 0, false)
           OR (starts_with(p.state, '{"langgraph":') AND EXISTS (
               SELECT FROM agentflow_writes w
               WHERE w.placement = :placement AND w.tenant_id = :tenant_id AND w.thread_no = p.thread_no
                 AND w.channel = '__interrupt__'
                 AND w.checkpoint = (SELECT CAST(c.checkpoint_id AS text) FROM agentflow_checkpoints c
                                     WHERE c.placement = :placement AND c.tenant_id = :tenant_id
                                       AND c.thread_no = p.thread_no AND c.node = '' ORDER BY c.seq DESC LIMIT 1))) AS waits,
           NOT starts_with(p.state, '{"langgraph":') AS is_prunable
    FROM page p
    CROSS JOIN LATERAL (
        SELECT substring(p.state FROM
                   '"execution_meta":\{"current_node":"(?:[^"\\]|\\.)*","step":[0-9]+,"status":"([a-z_]+)"') AS status
    ) s
    CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM agentflow_runs r
                       WHERE r.tenant_id = :tenant_id AND r.thread_id = p.thread_id
                         AND r.status IN ('pending', 'running')) AS has_run
    ) r
)
SELECT count(*) AS threads, max(j.thread_id) AS last_id,
       count(*) FILTER (WHERE j.is_due) AS due,
       count(*) FILTER (WHERE j.is_due AND (j.has_run OR j.runs)) AS kept_running,
       count(*) FILTER (WHERE j.is_due AND j.waits AND NOT (j.has_run OR j.runs)) AS kept_waiting,
       count(*) FILTER (WHERE j.is_expired AND NOT (j.has_run OR j.runs OR j.waits)) AS expired,
       count(*) FILTER (WHERE j.is_old AND NOT j.is_expired AND NOT (j.has_run OR j.runs OR j.waits)) AS unchanged,
       coalesce(sum(c.rows), 0) AS checkpoints, coalesce(sum(m.rows), 0) AS messages,
       coalesce(sum(c.size_bytes), 0) + coalesce(sum(m.size_bytes), 0) AS size_bytes,
       coalesce(sum(o.versions), 0) AS old_versions
FROM judged j
LEFT JOIN LATERAL (
    SELECT sum(c.seq - coalesce(c.first_seq, c.seq) + 1) AS rows,
           sum(octet_length(c.delta) + coalesce(octet_length(c.archive), 0)) AS size_bytes
    FROM agentflow_checkpoints c
    WHERE c.placement = :placement AND c.tenant_id = :tenant_id AND c.thread_no IN (j.thread_no, -j.thread_no)
) c ON j.is_due AND NOT (j.has_run OR j.runs OR j.waits)
LEFT JOIN LATERAL (
    SELECT count(*) AS rows, sum(octet_length(m.content) + coalesce(octet_length(m.extra), 0)) AS size_bytes
    FROM agentflow_messages m
    WHERE m.placement = :placement AND m.tenant_id = :tenant_id AND m.thread_no = j.thread_no
) m ON j.is_due AND NOT (j.has_run OR j.runs OR j.waits)
LEFT JOIN LATERAL (
    SELECT sum(least(c.seq, j.head - CAST(:keep_checkpoints AS int)) - coalesce(c.first_seq, c.seq) + 1) AS versions
    FROM agentflow_checkpoints c
    WHERE c.placement = :placement AND c.tenant_id = :tenant_id AND c.thread_no IN (j.thread_no, -j.thread_no)
      AND coalesce(c.first_seq, c.seq) <= j.head - CAST(:keep_checkpoints AS int)
) o ON j.is_prunable AND j.head > CAST(:keep_checkpoints AS int) AND (NOT j.is_due OR j.has_run OR j.runs OR j.waits)

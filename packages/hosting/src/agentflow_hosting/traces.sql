-- The statements of what runs did. Those of the API name the tenants first (`show_tenant`); the worker's see every tenant.

-- name: keep_traces
-- One row an attempt; the same attempt told again after a lost reply adds nothing.
INSERT INTO agentflow_run_traces (tenant_id, thread_id, run_id, thread_no, head, status, started_at, finished_at, steps,
                                  llm_calls, tool_calls, tokens_in, tokens_out, spans, events, spans_lost, attempt, day)
SELECT g.tenant_id, g.thread_id, g.run_id, g.thread_no, g.head, g.status, g.started_at, g.finished_at, g.steps,
       g.llm_calls, g.tool_calls, g.tokens_in, g.tokens_out, g.spans, g.events, g.spans_lost, g.attempt,
       CAST(g.finished_at AT TIME ZONE 'UTC' AS date)
FROM jsonb_to_recordset(CAST(:traces AS jsonb)) AS g (
    tenant_id uuid, thread_id text, run_id text, thread_no bigint, head int, status text, started_at timestamptz,
    finished_at timestamptz, steps int, llm_calls int, tool_calls int, tokens_in bigint, tokens_out bigint,
    spans jsonb, events jsonb, spans_lost int, attempt text)
WHERE EXISTS (SELECT FROM agentflow_tenants n WHERE n.tenant_id = g.tenant_id)
ORDER BY g.tenant_id, g.thread_id, g.run_id
ON CONFLICT DO NOTHING

-- name: get_trace
-- The attempts at a run in the latest life of its thread, the last first. A look into the index of each day that is kept.
SELECT thread_no, status, head, started_at, finished_at, steps, llm_calls, tool_calls, tokens_in, tokens_out,
       CAST(spans AS text) AS spans, CAST(events AS text) AS events, spans_lost
FROM agentflow_run_traces
WHERE tenant_id = :tenant_id AND thread_id = :thread_id AND run_id = :run_id
ORDER BY thread_no DESC, finished_at DESC
LIMIT :most

-- name: make_trace_days
-- From today to a week ahead: whoever makes days may be away. Who writes late finds the day that was today then.
SELECT agentflow_make_trace_days(CAST(now() AT TIME ZONE 'UTC' AS date), CAST(now() AT TIME ZONE 'UTC' AS date) + 8) AS made

-- name: drop_trace_days
-- Those of which every run ended so long ago.
SELECT agentflow_drop_trace_days(CAST((now() - make_interval(secs => :older_than_s)) AT TIME ZONE 'UTC' AS date)) AS dropped

-- name: forget_traces_without_thread
-- Of the next traces by key: those whose thread has expired, or was deleted and perhaps made again. A tenant that moves
-- has its threads in two places and is left for later. Gives where to go on, null at the end.
WITH page AS MATERIALIZED (
    SELECT tenant_id, thread_id, run_id, attempt, day, thread_no FROM agentflow_run_traces
    WHERE (tenant_id, thread_id, run_id, attempt)
          > (CAST(:tenant_id AS uuid), CAST(:thread_id AS text), CAST(:run_id AS text), CAST(:attempt AS text))
    ORDER BY tenant_id, thread_id, run_id, attempt LIMIT :most
),
gone AS (
    DELETE FROM agentflow_run_traces t USING page p JOIN agentflow_tenants n ON n.tenant_id = p.tenant_id AND n.moving_to IS NULL
    WHERE t.tenant_id = p.tenant_id AND t.thread_id = p.thread_id AND t.run_id = p.run_id AND t.attempt = p.attempt
      AND t.day = p.day
      AND NOT EXISTS (SELECT FROM agentflow_threads h
                      WHERE h.placement = n.placement AND h.tenant_id = p.tenant_id AND h.thread_id = p.thread_id
                        AND h.thread_no = p.thread_no)
    RETURNING 1
)
SELECT l.tenant_id, l.thread_id, l.run_id, l.attempt, (SELECT count(*) FROM gone) AS forgotten, (SELECT count(*) FROM page) AS seen
FROM (SELECT 1) one LEFT JOIN LATERAL (
    SELECT tenant_id, thread_id, run_id, attempt FROM page
    ORDER BY tenant_id DESC, thread_id DESC, run_id DESC, attempt DESC LIMIT 1) l ON true

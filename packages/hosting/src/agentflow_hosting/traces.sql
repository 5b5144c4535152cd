-- The statements of what runs did. Those of the API name the tenants first (`show_tenant`); the worker's see every tenant.

-- name: keep_traces
-- One row a run. A run that went on, after a pause of its process, adds to what it did before, as far as there is room;
-- the same attempt told again after a lost reply adds nothing.
INSERT INTO agentflow_run_traces AS t (tenant_id, thread_id, run_id, thread_no, head, status, started_at, finished_at,
                                       steps, llm_calls, tool_calls, tokens_in, tokens_out, spans, events, spans_lost)
SELECT g.tenant_id, g.thread_id, g.run_id, g.thread_no, g.head, g.status, g.started_at, g.finished_at,
       g.steps, g.llm_calls, g.tool_calls, g.tokens_in, g.tokens_out, g.spans, g.events, g.spans_lost
FROM jsonb_to_recordset(CAST(:traces AS jsonb)) AS g (
    tenant_id uuid, thread_id text, run_id text, thread_no bigint, head int, status text, started_at timestamptz,
    finished_at timestamptz, steps int, llm_calls int, tool_calls int, tokens_in bigint, tokens_out bigint,
    spans jsonb, events jsonb, spans_lost int)
WHERE EXISTS (SELECT FROM agentflow_tenants n WHERE n.tenant_id = g.tenant_id)
ORDER BY g.tenant_id, g.thread_id, g.run_id
ON CONFLICT (tenant_id, thread_id, run_id) DO UPDATE
SET thread_no = excluded.thread_no, head = excluded.head, status = excluded.status, finished_at = excluded.finished_at,
    started_at = CASE WHEN t.thread_no = excluded.thread_no THEN least(t.started_at, excluded.started_at) ELSE excluded.started_at END,
    steps = excluded.steps + CASE WHEN t.thread_no = excluded.thread_no THEN t.steps ELSE 0 END,
    llm_calls = excluded.llm_calls + CASE WHEN t.thread_no = excluded.thread_no THEN t.llm_calls ELSE 0 END,
    tool_calls = excluded.tool_calls + CASE WHEN t.thread_no = excluded.thread_no THEN t.tool_calls ELSE 0 END,
    tokens_in = excluded.tokens_in + CASE WHEN t.thread_no = excluded.thread_no THEN t.tokens_in ELSE 0 END,
    tokens_out = excluded.tokens_out + CASE WHEN t.thread_no = excluded.thread_no THEN t.tokens_out ELSE 0 END,
    spans_lost = excluded.spans_lost + CASE WHEN t.thread_no <> excluded.thread_no THEN 0 ELSE t.spans_lost
        + CASE WHEN jsonb_array_length(t.spans) + jsonb_array_length(excluded.spans) > :most_spans
               THEN jsonb_array_length(t.spans) ELSE 0 END END,
    spans = CASE WHEN t.thread_no = excluded.thread_no
                      AND jsonb_array_length(t.spans) + jsonb_array_length(excluded.spans) <= :most_spans
                 THEN t.spans || excluded.spans ELSE excluded.spans END,
    events = CASE WHEN t.thread_no = excluded.thread_no
                       AND jsonb_array_length(t.events) + jsonb_array_length(excluded.events) <= :most_spans
                  THEN t.events || excluded.events ELSE excluded.events END
WHERE t.thread_no <> excluded.thread_no OR t.finished_at < excluded.finished_at

-- name: get_trace
SELECT status, head, started_at, finished_at, steps, llm_calls, tool_calls, tokens_in, tokens_out,
       CAST(spans AS text) AS spans, CAST(events AS text) AS events, spans_lost
FROM agentflow_run_traces
WHERE tenant_id = :tenant_id AND thread_id = :thread_id AND run_id = :run_id

-- name: forget_old_traces
WITH old AS (
    SELECT tenant_id, thread_id, run_id FROM agentflow_run_traces
    WHERE finished_at < now() - make_interval(secs => :older_than_s)
    ORDER BY finished_at LIMIT :most
),
gone AS (DELETE FROM agentflow_run_traces t USING old o
         WHERE t.tenant_id = o.tenant_id AND t.thread_id = o.thread_id AND t.run_id = o.run_id RETURNING 1)
SELECT count(*) AS forgotten FROM gone

-- name: forget_traces_without_thread
-- Of the next traces by key: those whose thread has expired, or was deleted and perhaps made again. A tenant that moves
-- has its threads in two places and is left for later. Gives where to go on, null at the end.
WITH page AS MATERIALIZED (
    SELECT tenant_id, thread_id, run_id, thread_no FROM agentflow_run_traces
    WHERE (tenant_id, thread_id, run_id) > (CAST(:tenant_id AS uuid), CAST(:thread_id AS text), CAST(:run_id AS text))
    ORDER BY tenant_id, thread_id, run_id LIMIT :most
),
gone AS (
    DELETE FROM agentflow_run_traces t USING page p JOIN agentflow_tenants n ON n.tenant_id = p.tenant_id AND n.moving_to IS NULL
    WHERE t.tenant_id = p.tenant_id AND t.thread_id = p.thread_id AND t.run_id = p.run_id
      AND NOT EXISTS (SELECT FROM agentflow_threads h
                      WHERE h.placement = n.placement AND h.tenant_id = p.tenant_id AND h.thread_id = p.thread_id
                        AND h.thread_no = p.thread_no)
    RETURNING 1
)
SELECT l.tenant_id, l.thread_id, l.run_id, (SELECT count(*) FROM gone) AS forgotten, (SELECT count(*) FROM page) AS seen
FROM (SELECT 1) one LEFT JOIN LATERAL (
    SELECT tenant_id, thread_id, run_id FROM page ORDER BY tenant_id DESC, thread_id DESC, run_id DESC LIMIT 1) l ON true

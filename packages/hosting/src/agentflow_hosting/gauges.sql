-- What the database holds, in numbers for whoever runs the service. For a login that sees every tenant.

-- name: tenant_gauges
-- The tenants that keep most, and all the others as one, whose id is null.
WITH sizes AS MATERIALIZED (
    SELECT t.tenant_id, t.slug, t.plan, t.placement,
           coalesce(k.threads, 0) + coalesce(e.threads, 0) AS threads, coalesce(k.bytes, 0) + coalesce(e.bytes, 0) AS bytes
    FROM agentflow_tenants t
    LEFT JOIN agentflow_usage_totals k ON k.tenant_id = t.tenant_id
    LEFT JOIN (SELECT tenant_id, sum(threads)::bigint AS threads, sum(bytes)::bigint AS bytes
               FROM agentflow_usage_events GROUP BY tenant_id) e ON e.tenant_id = t.tenant_id
),
largest AS (SELECT * FROM sizes ORDER BY bytes DESC, tenant_id LIMIT :most)
SELECT tenant_id, slug, plan, placement, threads::bigint AS threads, bytes::bigint AS bytes FROM largest
UNION ALL
SELECT NULL, NULL, NULL, NULL, sum(s.threads)::bigint, sum(s.bytes)::bigint
FROM sizes s WHERE s.tenant_id NOT IN (SELECT tenant_id FROM largest)
HAVING count(*) > 0

-- name: partition_gauges
-- Each placement's leaves: bytes with indexes, and rows as the planner knows them, which is about.
SELECT CAST(substring(c.relname FROM '[0-9]+$') AS int) AS placement,
       CAST(sum(pg_total_relation_size(c.oid)) AS bigint) AS bytes, CAST(sum(greatest(c.reltuples, 0)) AS bigint) AS rows
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r'
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND pg_table_is_visible(p.oid)
WHERE p.relname IN ('agentflow_threads', 'agentflow_checkpoints', 'agentflow_messages', 'agentflow_tool_calls',
                    'agentflow_writes')
GROUP BY 1
ORDER BY 1

-- name: run_gauges
-- Runs that wait, since when the one that waits longest could begin, and those that are worked on. One whose holder is not
-- heard of any more waits.
SELECT count(*) FILTER (WHERE w.waits) AS queued, count(*) FILTER (WHERE NOT w.waits) AS active,
       CAST(coalesce(extract(epoch FROM now() - min(r.ready_at) FILTER (WHERE w.waits AND r.ready_at <= now())), 0) AS float8)
       AS age_s
FROM agentflow_runs r
CROSS JOIN LATERAL (SELECT r.status = 'pending' OR r.held_until < now() AS waits) w
WHERE r.status IN ('pending', 'running')

-- name: operation_gauges
-- Long work by kind and state: all that is open, and what ended within a day.
SELECT kind, state, count(*) AS count FROM agentflow_operations
WHERE finished_at IS NULL OR finished_at > now() - interval '1 day' GROUP BY 1, 2
UNION ALL
SELECT kind, state, count(*) FROM agentflow_exports
WHERE finished_at IS NULL OR finished_at > now() - interval '1 day' GROUP BY 1, 2
UNION ALL
SELECT CASE kind WHEN 'tenant' THEN 'offboard' ELSE 'forget_user' END, state, count(*) FROM agentflow_offboardings
WHERE finished_at IS NULL OR finished_at > now() - interval '1 day' GROUP BY 1, 2

-- name: stored_spans_gauge
SELECT CAST(coalesce(sum(pg_total_relation_size(c.oid)), 0) AS bigint) AS bytes
FROM pg_catalog.pg_class c
WHERE pg_table_is_visible(c.oid) AND c.relkind = 'r'
  AND (c.relname = 'agentflow_run_traces'
       OR c.oid IN (SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
                    WHERE p.relname = 'agentflow_run_traces' AND pg_table_is_visible(p.oid)))

-- name: show_all_for_gauges
-- For what an operator asked: every tenant's rows, until the transaction ends.
SELECT set_config('agentflow.tenants', coalesce(CAST(array_agg(tenant_id) AS text), ''), true) FROM agentflow_tenants

-- name: offboarding_backlog
-- Offboardings, and users being forgotten, that are at work: not those in their grace, nor dry runs.
SELECT count(*) AS open FROM agentflow_offboardings WHERE finished_at IS NULL AND state NOT IN ('measuring', 'grace')

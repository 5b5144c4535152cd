-- What tenants used, by name. Hours and the events that are not yet part of them are read in one snapshot, so that nothing is
-- missed or counted twice while they are rolled up.

-- name: used
-- What a tenant keeps, and spent on the UTC day of the database's clock.
SELECT coalesce(sum(u.threads), 0)::bigint AS threads, coalesce(sum(u.bytes), 0)::bigint AS bytes,
       coalesce(sum(u.tokens_in + u.tokens_out) FILTER (WHERE u.at >= d.start), 0)::bigint AS tokens,
       coalesce(sum(u.checkpoints) FILTER (WHERE u.at >= d.start), 0)::bigint AS checkpoints,
       floor(extract(epoch FROM d.start) / 86400)::bigint AS day
FROM (SELECT date_trunc('day', now(), 'UTC') AS start) d
LEFT JOIN (
    SELECT at, threads, bytes, tokens_in, tokens_out, checkpoints FROM agentflow_usage_events
    WHERE tenant_id = :tenant_id
    UNION ALL
    SELECT hour, threads, bytes, tokens_in, tokens_out, checkpoints FROM agentflow_usage_hours
    WHERE tenant_id = :tenant_id
) u ON true
GROUP BY d.start

-- name: usage
-- A tenant's usage from :since until before :until, by :unit (hour or day, UTC), oldest first.
SELECT date_trunc(:unit, u.at, 'UTC') AS start, sum(u.runs)::bigint AS runs, sum(u.checkpoints)::bigint AS checkpoints,
       sum(u.tokens_in)::bigint AS tokens_in, sum(u.tokens_out)::bigint AS tokens_out, sum(u.bytes)::bigint AS bytes,
       sum(u.threads)::bigint AS threads
FROM (
    SELECT at, runs, checkpoints, tokens_in, tokens_out, bytes, threads FROM agentflow_usage_events
    WHERE tenant_id = :tenant_id AND at >= :since AND at < :until
    UNION ALL
    SELECT hour, runs, checkpoints, tokens_in, tokens_out, bytes, threads FROM agentflow_usage_hours
    WHERE tenant_id = :tenant_id AND hour >= :since AND hour < :until
) u
GROUP BY 1 ORDER BY 1

-- name: show_tenants
-- Whose rows the transaction is about: under row level security there are no others.
SELECT set_config('agentflow.tenants', :shown, true)

-- name: page_of_tenants
-- Tenants in the order of slugs after :after, at most :limit.
SELECT tenant_id, slug FROM agentflow_tenants WHERE slug > :after ORDER BY slug LIMIT :limit

-- name: usage_of_several
-- What each of these tenants used from :since until before :until; no row for one that did nothing.
SELECT u.tenant_id, sum(u.runs)::bigint AS runs, sum(u.checkpoints)::bigint AS checkpoints,
       sum(u.tokens_in)::bigint AS tokens_in, sum(u.tokens_out)::bigint AS tokens_out, sum(u.bytes)::bigint AS bytes,
       sum(u.threads)::bigint AS threads
FROM (
    SELECT tenant_id, runs, checkpoints, tokens_in, tokens_out, bytes, threads FROM agentflow_usage_events
    WHERE tenant_id = ANY (CAST(:tenant_ids AS uuid[])) AND at >= :since AND at < :until
    UNION ALL
    SELECT tenant_id, runs, checkpoints, tokens_in, tokens_out, bytes, threads FROM agentflow_usage_hours
    WHERE tenant_id = ANY (CAST(:tenant_ids AS uuid[])) AND hour >= :since AND hour < :until
) u
GROUP BY u.tenant_id

-- name: kept_by_several
-- What each of these tenants keeps now. Cost: a row a tenant, and what was not rolled up yet.
SELECT t.tenant_id, (coalesce(k.threads, 0) + coalesce(e.threads, 0))::bigint AS threads,
       (coalesce(k.bytes, 0) + coalesce(e.bytes, 0))::bigint AS bytes
FROM unnest(CAST(:tenant_ids AS uuid[])) AS t (tenant_id)
LEFT JOIN agentflow_usage_totals k ON k.tenant_id = t.tenant_id
LEFT JOIN (
    SELECT tenant_id, sum(threads)::bigint AS threads, sum(bytes)::bigint AS bytes FROM agentflow_usage_events
    WHERE tenant_id = ANY (CAST(:tenant_ids AS uuid[])) GROUP BY tenant_id
) e ON e.tenant_id = t.tenant_id

-- name: roll_up
-- Add at most :batch events to their hours, in one statement: each is in exactly one of the two, also when this is killed or
-- run by many at once (each takes others). Returns how many.
WITH picked AS (
    SELECT tenant_id, event_id FROM agentflow_usage_events LIMIT :batch FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM agentflow_usage_events e USING picked p
    WHERE e.tenant_id = p.tenant_id AND e.event_id = p.event_id
    RETURNING e.*
), added AS (
    INSERT INTO agentflow_usage_hours AS h (tenant_id, hour, tokens_in, tokens_out, bytes, runs, checkpoints, threads)
    SELECT tenant_id, date_trunc('hour', at, 'UTC'), sum(tokens_in), sum(tokens_out), sum(bytes), sum(runs),
           sum(checkpoints), sum(threads)
    FROM gone GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (tenant_id, hour) DO UPDATE
    SET tokens_in = h.tokens_in + excluded.tokens_in, tokens_out = h.tokens_out + excluded.tokens_out,
        bytes = h.bytes + excluded.bytes, runs = h.runs + excluded.runs,
        checkpoints = h.checkpoints + excluded.checkpoints, threads = h.threads + excluded.threads
)
SELECT count(*) AS rolled FROM gone

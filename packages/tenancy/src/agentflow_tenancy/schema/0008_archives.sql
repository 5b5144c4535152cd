-- Archives stand under negative numbers: a thread that was copied with an archive and later checkpoints is one thread.

CREATE OR REPLACE FUNCTION agentflow_count_checkpoints() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('agentflow.uncounted', true) = 'copied' THEN
        INSERT INTO agentflow_usage_events (tenant_id, threads, bytes)
        SELECT tenant_id, count(DISTINCT abs(thread_no)), sum(octet_length(delta) + coalesce(octet_length(archive), 0))
        FROM made GROUP BY tenant_id;
    ELSIF EXISTS (SELECT FROM made OFFSET 4) THEN
        INSERT INTO agentflow_usage_events (tenant_id, runs, checkpoints, threads, bytes)
        SELECT tenant_id, count(*) FILTER (WHERE archive IS NULL AND source IN ('input', 'fork')),
               count(*) FILTER (WHERE archive IS NULL), count(*) FILTER (WHERE archive IS NULL AND seq = 1),
               sum(octet_length(delta) + coalesce(octet_length(archive), 0))
        FROM made GROUP BY tenant_id;
    ELSE
        INSERT INTO agentflow_usage_events (tenant_id, runs, checkpoints, threads, bytes)
        SELECT tenant_id, (archive IS NULL AND source IN ('input', 'fork'))::int, (archive IS NULL)::int,
               (archive IS NULL AND seq = 1)::int, octet_length(delta) + coalesce(octet_length(archive), 0)
        FROM made;
    END IF;
    RETURN NULL;
END
$$
--;

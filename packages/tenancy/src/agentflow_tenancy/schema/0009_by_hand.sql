-- What is done to a thread by hand: a fork is no run unless it goes on from there at once, as a replay does (`__start__`), and
-- messages that a client adds spent none of the tokens that it says they did. A line `--;` ends a statement.

CREATE OR REPLACE FUNCTION agentflow_count_checkpoints() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('agentflow.uncounted', true) = 'copied' THEN
        INSERT INTO agentflow_usage_events (tenant_id, threads, bytes)
        SELECT tenant_id, count(DISTINCT abs(thread_no)), sum(octet_length(delta) + coalesce(octet_length(archive), 0))
        FROM made GROUP BY tenant_id;
    ELSIF EXISTS (SELECT FROM made OFFSET 4) THEN
        INSERT INTO agentflow_usage_events (tenant_id, runs, checkpoints, threads, bytes)
        SELECT tenant_id, count(*) FILTER (WHERE archive IS NULL AND (source = 'input' OR source = 'fork' AND node = '__start__')),
               count(*) FILTER (WHERE archive IS NULL), count(*) FILTER (WHERE archive IS NULL AND seq = 1),
               sum(octet_length(delta) + coalesce(octet_length(archive), 0))
        FROM made GROUP BY tenant_id;
    ELSE
        INSERT INTO agentflow_usage_events (tenant_id, runs, checkpoints, threads, bytes)
        SELECT tenant_id, (archive IS NULL AND (source = 'input' OR source = 'fork' AND node = '__start__'))::int, (archive IS NULL)::int,
               (archive IS NULL AND seq = 1)::int, octet_length(delta) + coalesce(octet_length(archive), 0)
        FROM made;
    END IF;
    RETURN NULL;
END
$$
--;
CREATE OR REPLACE FUNCTION agentflow_count_messages() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    place int;
    usual text := current_setting('plan_cache_mode');
BEGIN
    IF EXISTS (SELECT FROM made OFFSET 4) THEN
        INSERT INTO agentflow_usage_events (tenant_id, bytes)
        SELECT tenant_id, sum(octet_length(content) + coalesce(octet_length(extra), 0))
        FROM made GROUP BY tenant_id;
    ELSE
        INSERT INTO agentflow_usage_events (tenant_id, bytes)
        SELECT tenant_id, octet_length(content) + coalesce(octet_length(extra), 0) FROM made;
    END IF;
    IF EXISTS (SELECT FROM made WHERE strpos(extra, '"usages":') > 0)
       AND coalesce(current_setting('agentflow.uncounted', true), '') <> 'copied' THEN
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
        FOR place IN SELECT DISTINCT placement FROM made WHERE strpos(extra, '"usages":') > 0 LOOP
            INSERT INTO agentflow_usage_events (tenant_id, tokens_in, tokens_out)
            SELECT m.tenant_id, coalesce(sum(t.tokens_in), 0), coalesce(sum(t.tokens_out), 0)
            FROM made m
            JOIN agentflow_checkpoints c
              ON c.placement = place AND c.tenant_id = m.tenant_id AND c.thread_no = m.thread_no AND c.seq = m.seq
            CROSS JOIN LATERAL agentflow_tokens_of(m.extra) t
            WHERE m.placement = place AND strpos(m.extra, '"usages":') > 0
              AND c.source NOT IN ('input', 'fork', 'rollback') AND NOT (c.source = 'update' AND c.node = '')
              AND NOT EXISTS (SELECT FROM agentflow_messages o
                              WHERE o.placement = place AND o.tenant_id = m.tenant_id
                                AND o.thread_no = m.thread_no AND o.pos = m.pos AND o.seq < m.seq)
            GROUP BY m.tenant_id;
        END LOOP;
        PERFORM set_config('plan_cache_mode', usual, true);
    END IF;
    RETURN NULL;
END
$$
--;

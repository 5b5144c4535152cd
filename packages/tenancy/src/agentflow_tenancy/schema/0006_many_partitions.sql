-- What a deployment with a partition for each of many tenants asks of the triggers and of the policy. A line `--;` ends a
-- statement.

-- A plan that holds for every placement locks every leaf (four of them each time, so that two transactions at 1000
-- partitions ask for more locks than a server has): these plan for the one they touch.
ALTER FUNCTION agentflow_delete_children() SET plan_cache_mode = 'force_custom_plan'
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
    IF EXISTS (SELECT FROM made WHERE strpos(extra, '"usages":') > 0) THEN
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
        FOR place IN SELECT DISTINCT placement FROM made WHERE strpos(extra, '"usages":') > 0 LOOP
            INSERT INTO agentflow_usage_events (tenant_id, tokens_in, tokens_out)
            SELECT m.tenant_id, coalesce(sum(t.tokens_in), 0), coalesce(sum(t.tokens_out), 0)
            FROM made m
            JOIN agentflow_checkpoints c
              ON c.placement = place AND c.tenant_id = m.tenant_id AND c.thread_no = m.thread_no AND c.seq = m.seq
            CROSS JOIN LATERAL agentflow_tokens_of(m.extra) t
            WHERE m.placement = place AND strpos(m.extra, '"usages":') > 0
              AND c.source NOT IN ('input', 'fork', 'rollback')
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

-- What tenants keep, as far as it was rolled up: the policy looks every minute, and hours become many. Hours that are
-- forgotten one day change nothing.
CREATE TABLE agentflow_usage_totals (
    tenant_id uuid PRIMARY KEY,
    bytes     bigint NOT NULL,
    threads   bigint NOT NULL
)
--;
CREATE FUNCTION agentflow_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO agentflow_usage_totals AS t (tenant_id, bytes, threads)
    VALUES (NEW.tenant_id, NEW.bytes - coalesce(OLD.bytes, 0), NEW.threads - coalesce(OLD.threads, 0))
    ON CONFLICT (tenant_id) DO UPDATE SET bytes = t.bytes + excluded.bytes, threads = t.threads + excluded.threads;
    RETURN NULL;
END
$$
--;
LOCK agentflow_usage_hours IN SHARE ROW EXCLUSIVE MODE
--;
INSERT INTO agentflow_usage_totals (tenant_id, bytes, threads)
SELECT tenant_id, sum(bytes), sum(threads) FROM agentflow_usage_hours GROUP BY tenant_id
--;
CREATE TRIGGER agentflow_add_up AFTER INSERT OR UPDATE ON agentflow_usage_hours
    FOR EACH ROW EXECUTE FUNCTION agentflow_add_up()
--;
CREATE POLICY agentflow_tenant ON agentflow_usage_totals
    USING (tenant_id = ANY ((SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
CREATE POLICY agentflow_operator ON agentflow_usage_totals TO agentflow_operator USING (true)
--;
ALTER TABLE agentflow_usage_totals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
--;
GRANT SELECT, INSERT, UPDATE, DELETE ON agentflow_usage_totals TO agentflow_operator
--;
GRANT SELECT ON agentflow_usage_totals TO agentflow_app
--;

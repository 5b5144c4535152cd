-- What tenants used: events, written in the transaction of the work they count, and hours that they are added up to.
-- A line `--;` ends a statement.

-- Several checkpoints of a tenant that committed in one statement may be one event. Its id is its own: copies of a thread
-- have checkpoints with the same ids. `threads` and `bytes` are what is kept: less than zero when something was deleted.
CREATE TABLE agentflow_usage_events (
    tenant_id   uuid NOT NULL,
    event_id    uuid NOT NULL DEFAULT gen_random_uuid(),
    at          timestamptz NOT NULL DEFAULT now(),
    tokens_in   bigint NOT NULL DEFAULT 0,
    tokens_out  bigint NOT NULL DEFAULT 0,
    bytes       bigint NOT NULL DEFAULT 0,
    runs        int NOT NULL DEFAULT 0,
    checkpoints int NOT NULL DEFAULT 0,
    threads     int NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, event_id)
)
--;
-- Small, and emptied again and again: vacuum it often.
ALTER TABLE agentflow_usage_events SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)
--;
CREATE TABLE agentflow_usage_hours (
    tenant_id   uuid NOT NULL,
    hour        timestamptz NOT NULL,
    tokens_in   bigint NOT NULL,
    tokens_out  bigint NOT NULL,
    bytes       bigint NOT NULL,
    runs        bigint NOT NULL,
    checkpoints bigint NOT NULL,
    threads     bigint NOT NULL,
    PRIMARY KEY (tenant_id, hour)
)
--;

-- Tokens of a message's `extra`, as models reported them; nulls for one without. A JSON text that Postgres cannot read,
-- such as one with NUL, is searched for the same words.
CREATE FUNCTION agentflow_tokens_of(extra text, OUT tokens_in bigint, OUT tokens_out bigint) LANGUAGE plpgsql STABLE AS $$
DECLARE
    usages json;
BEGIN
    usages := extra::json -> 'usages';
    tokens_in := least(greatest((usages ->> 'prompt_tokens')::numeric, 0), 1e12);
    tokens_out := least(greatest((usages ->> 'completion_tokens')::numeric, 0), 1e12);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    tokens_in := substring(extra FROM '"usages":\{[^{}]*"prompt_tokens":(\d{1,12})[,}]');
    tokens_out := substring(extra FROM '"usages":\{[^{}]*"completion_tokens":(\d{1,12})[,}]');
END
$$
--;

-- The triggers count statements that name a parent, which all of this product's do. Rows that move between placements, and
-- only they, go through uncounted: whoever moves them says SET LOCAL agentflow.uncounted = 'on'.
-- A few rows are inserted one by one, many added up first: each is the faster there.
CREATE FUNCTION agentflow_count_checkpoints() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM made OFFSET 4) THEN
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
CREATE TRIGGER agentflow_count_checkpoints AFTER INSERT ON agentflow_checkpoints REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT WHEN (coalesce(current_setting('agentflow.uncounted', true), '') <> 'on')
    EXECUTE FUNCTION agentflow_count_checkpoints()
--;

-- Tokens count once: not those of an edited message (it takes the place of one before), nor what clients claim in their
-- input, nor what a fork or a rollback brings back.
CREATE FUNCTION agentflow_count_messages() RETURNS trigger LANGUAGE plpgsql AS $$
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
        INSERT INTO agentflow_usage_events (tenant_id, tokens_in, tokens_out)
        SELECT m.tenant_id, coalesce(sum(t.tokens_in), 0), coalesce(sum(t.tokens_out), 0)
        FROM made m
        JOIN agentflow_checkpoints c
          ON c.placement = m.placement AND c.tenant_id = m.tenant_id AND c.thread_no = m.thread_no AND c.seq = m.seq
        CROSS JOIN LATERAL agentflow_tokens_of(m.extra) t
        WHERE strpos(m.extra, '"usages":') > 0 AND c.source NOT IN ('input', 'fork', 'rollback')
          AND NOT EXISTS (SELECT FROM agentflow_messages o
                          WHERE o.placement = m.placement AND o.tenant_id = m.tenant_id
                            AND o.thread_no = m.thread_no AND o.pos = m.pos AND o.seq < m.seq)
        GROUP BY m.tenant_id;
    END IF;
    RETURN NULL;
END
$$
--;
CREATE TRIGGER agentflow_count_messages AFTER INSERT ON agentflow_messages REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT WHEN (coalesce(current_setting('agentflow.uncounted', true), '') <> 'on')
    EXECUTE FUNCTION agentflow_count_messages()
--;

-- What is deleted is no longer kept.
CREATE FUNCTION agentflow_uncount_threads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO agentflow_usage_events (tenant_id, threads)
    SELECT tenant_id, -count(*) FROM gone GROUP BY tenant_id;
    RETURN NULL;
END
$$
--;
CREATE TRIGGER agentflow_uncount_threads AFTER DELETE ON agentflow_threads REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT WHEN (coalesce(current_setting('agentflow.uncounted', true), '') <> 'on')
    EXECUTE FUNCTION agentflow_uncount_threads()
--;
CREATE FUNCTION agentflow_uncount_checkpoints() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO agentflow_usage_events (tenant_id, bytes)
    SELECT tenant_id, -sum(octet_length(delta) + coalesce(octet_length(archive), 0))
    FROM gone GROUP BY tenant_id;
    RETURN NULL;
END
$$
--;
CREATE TRIGGER agentflow_uncount_checkpoints AFTER DELETE ON agentflow_checkpoints REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT WHEN (coalesce(current_setting('agentflow.uncounted', true), '') <> 'on')
    EXECUTE FUNCTION agentflow_uncount_checkpoints()
--;
CREATE FUNCTION agentflow_uncount_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO agentflow_usage_events (tenant_id, bytes)
    SELECT tenant_id, -sum(octet_length(content) + coalesce(octet_length(extra), 0))
    FROM gone GROUP BY tenant_id;
    RETURN NULL;
END
$$
--;
CREATE TRIGGER agentflow_uncount_messages AFTER DELETE ON agentflow_messages REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT WHEN (coalesce(current_setting('agentflow.uncounted', true), '') <> 'on')
    EXECUTE FUNCTION agentflow_uncount_messages()
--;

-- What is there already is kept from now on.
INSERT INTO agentflow_usage_hours (tenant_id, hour, tokens_in, tokens_out, bytes, runs, checkpoints, threads)
SELECT tenant_id, date_trunc('hour', now(), 'UTC'), 0, 0, sum(bytes), 0, 0, sum(threads)
FROM (
    SELECT tenant_id, 0 AS bytes, 1 AS threads FROM agentflow_threads
    UNION ALL
    SELECT tenant_id, octet_length(delta) + coalesce(octet_length(archive), 0), 0 FROM agentflow_checkpoints
    UNION ALL
    SELECT tenant_id, octet_length(content) + coalesce(octet_length(extra), 0), 0 FROM agentflow_messages
) kept
GROUP BY tenant_id
--;

-- The same walls as around what is counted: who is not an operator sees the tenants that its statement names.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['agentflow_usage_events', 'agentflow_usage_hours'] LOOP
        EXECUTE format('CREATE POLICY agentflow_tenant ON %I USING (tenant_id = ANY ('
                       '(SELECT nullif(current_setting(''agentflow.tenants'', true), '''')::uuid[])::uuid[]))', table_name);
        EXECUTE format('CREATE POLICY agentflow_operator ON %I TO agentflow_operator USING (true)', table_name);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO agentflow_operator', table_name);
    END LOOP;
END
$$
--;
-- The API adds what its runs did, and reads; nobody but the operator changes what was counted.
GRANT SELECT, INSERT ON agentflow_usage_events TO agentflow_app
--;
GRANT SELECT ON agentflow_usage_hours TO agentflow_app
--;

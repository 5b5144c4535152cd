-- What runs did by the day: a day that is old is dropped, not deleted. And whose trace a waiting run belongs to. A line `--;`
-- ends a statement.

ALTER TABLE agentflow_runs ADD COLUMN traceparent text CHECK (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$')
--;
ALTER TABLE agentflow_run_traces RENAME TO agentflow_run_traces_before
--;
ALTER INDEX agentflow_run_traces_pkey RENAME TO agentflow_run_traces_before_pkey
--;
-- One row an attempt at a run, by the UTC day of its end. `attempt` is the id of its span, so that told twice it is there once;
-- whoever reads a run adds its attempts up. No DEFAULT partition: a day's rows would have to be moved out of it first.
CREATE TABLE agentflow_run_traces (
    tenant_id    uuid NOT NULL REFERENCES agentflow_tenants,
    thread_id    text COLLATE "C" NOT NULL,
    run_id       text COLLATE "C" NOT NULL,
    thread_no    bigint NOT NULL,
    head         int NOT NULL,
    status       text NOT NULL,
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz NOT NULL,
    steps        int NOT NULL,
    llm_calls    int NOT NULL,
    tool_calls   int NOT NULL,
    tokens_in    bigint NOT NULL,
    tokens_out   bigint NOT NULL,
    spans        jsonb NOT NULL CHECK (jsonb_typeof(spans) = 'array'),
    events       jsonb NOT NULL CHECK (jsonb_typeof(events) = 'array'),
    spans_lost   int NOT NULL DEFAULT 0,
    attempt      text COLLATE "C" NOT NULL DEFAULT '',
    day          date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
    PRIMARY KEY (tenant_id, thread_id, run_id, attempt, day),
    CHECK (started_at <= finished_at)
) PARTITION BY RANGE (day)
--;
CREATE POLICY agentflow_tenant ON agentflow_run_traces USING (tenant_id = ANY (
    (SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
CREATE POLICY agentflow_operator ON agentflow_run_traces TO agentflow_operator USING (true)
--;
ALTER TABLE agentflow_run_traces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
--;
GRANT SELECT, INSERT, UPDATE, DELETE ON agentflow_run_traces TO agentflow_operator, agentflow_app
--;
-- Makes what is missing of these days; how many that was. Made apart and then attached, which keeps nobody from the others, and
-- given up when somebody holds the table for long: whoever calls does so again. Nobody has a right on a day itself.
CREATE FUNCTION agentflow_make_trace_days(first_day date, last_day date) RETURNS int LANGUAGE plpgsql
    SET search_path FROM CURRENT SET lock_timeout = '2s' AS $$
DECLARE
    wanted date;
    leaf text;
    made int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('agentflow_make_trace_days', 0));
    FOR wanted IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
        leaf := 'agentflow_run_traces_p' || to_char(wanted, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(leaf) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE agentflow_run_traces INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', leaf);
        EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)', leaf);
        EXECUTE format('ALTER TABLE agentflow_run_traces ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', leaf, wanted, wanted + 1);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$
--;
-- Drops the days before this one, each as a whole, whatever is in it; how many that were.
CREATE FUNCTION agentflow_drop_trace_days(before date) RETURNS int LANGUAGE plpgsql
    SET search_path FROM CURRENT SET lock_timeout = '2s' AS $$
DECLARE
    leaf text;
    dropped int := 0;
BEGIN
    FOR leaf IN
        SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'agentflow_run_traces'::regclass AND c.relname < 'agentflow_run_traces_p' || to_char(before, 'YYYYMMDD')
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', leaf);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$
--;
SELECT agentflow_make_trace_days(
    least((SELECT min(finished_at) FROM agentflow_run_traces_before), now())::date - 1, (now() AT TIME ZONE 'UTC')::date + 8)
--;
INSERT INTO agentflow_run_traces
SELECT tenant_id, thread_id, run_id, thread_no, head, status, started_at, finished_at, steps, llm_calls, tool_calls, tokens_in,
       tokens_out, spans, events, spans_lost, '', (finished_at AT TIME ZONE 'UTC')::date
FROM agentflow_run_traces_before
--;
DROP TABLE agentflow_run_traces_before
--;

-- What runs did: one row a run, kept for a while after its end. A line `--;` ends a statement.

-- `thread_no` is the life of the thread that the run belongs to, `head` the version that it left, `spans` and `events` are
-- bounded by whoever writes them, and `spans_lost` counts what did not fit.
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
    PRIMARY KEY (tenant_id, thread_id, run_id),
    CHECK (started_at <= finished_at)
)
--;
CREATE INDEX agentflow_run_traces_by_time ON agentflow_run_traces (finished_at)
--;
ALTER TABLE agentflow_run_traces SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)
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

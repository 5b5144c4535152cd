-- Runs as records, and what they said, kept for readers who were cut off. A line `--;` ends a statement.

-- A run of a hosted agent on a thread. `input` is what it was asked, as JSON. The holder carries it out while `held_until`
-- lies ahead; whoever comes after that takes it over and goes on from the last checkpoint. `chunks` counts what it has said,
-- `crashes` how often a holder was not heard of any more.
CREATE TABLE agentflow_runs (
    tenant_id    uuid NOT NULL REFERENCES agentflow_tenants,
    run_id       uuid NOT NULL,
    thread_id    text COLLATE "C" NOT NULL,
    user_id      text,
    key_id       text NOT NULL,
    agent        text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('background', 'stream')),
    strategy     text NOT NULL CHECK (strategy IN ('enqueue', 'reject', 'interrupt', 'rollback')),
    status       text NOT NULL CHECK (status IN ('pending', 'running', 'success', 'error', 'interrupted', 'cancelled')),
    input        text NOT NULL,
    metadata     text NOT NULL DEFAULT '{}',
    cancel       text CHECK (cancel IN ('interrupt', 'rollback')),
    attempts     int NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    crashes      int NOT NULL DEFAULT 0 CHECK (crashes BETWEEN 0 AND attempts),
    chunks       bigint NOT NULL DEFAULT 0 CHECK (chunks >= 0),
    error        text,
    webhook      text,
    order_no     bigint GENERATED ALWAYS AS IDENTITY,
    ready_at     timestamptz NOT NULL DEFAULT now(),
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    holder       uuid,
    held_until   timestamptz,
    PRIMARY KEY (tenant_id, run_id),
    CONSTRAINT agentflow_runs_finished
        CHECK ((status IN ('success', 'error', 'interrupted', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT agentflow_runs_held CHECK ((status = 'running') = (holder IS NOT NULL AND held_until IS NOT NULL)),
    CONSTRAINT agentflow_runs_started
        CHECK ((started_at IS NOT NULL AND attempts > 0) OR (attempts = 0 AND status IN ('pending', 'cancelled'))),
    CONSTRAINT agentflow_runs_error CHECK ((status = 'error') = (error IS NOT NULL)),
    CONSTRAINT agentflow_runs_cancelled CHECK (status <> 'cancelled' OR cancel IS NOT NULL)
)
--;
-- Those that somebody has to work on, by tenant: few, whatever the number of runs.
CREATE INDEX agentflow_runs_open ON agentflow_runs (tenant_id, order_no) WHERE status IN ('pending', 'running')
--;
CREATE INDEX agentflow_runs_of_thread ON agentflow_runs (tenant_id, thread_id, order_no)
--;
CREATE INDEX agentflow_runs_by_time ON agentflow_runs (tenant_id, order_no)
--;
CREATE INDEX agentflow_runs_ended ON agentflow_runs (finished_at) WHERE finished_at IS NOT NULL
--;
ALTER TABLE agentflow_runs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, fillfactor = 80)
--;
-- What is over stays over, and nobody takes back what was said.
CREATE FUNCTION agentflow_check_run_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.finished_at IS NOT NULL AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'run % is over (%)', OLD.run_id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.chunks < OLD.chunks OR NEW.attempts < OLD.attempts THEN
        RAISE EXCEPTION 'run % cannot go back', OLD.run_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
--;
CREATE TRIGGER agentflow_check_run_step BEFORE UPDATE ON agentflow_runs
    FOR EACH ROW EXECUTE FUNCTION agentflow_check_run_step()
--;

-- What a run said: each chunk as the JSON text that its readers get, numbered from 0 without gaps.
CREATE TABLE agentflow_run_chunks (
    tenant_id  uuid NOT NULL,
    run_id     uuid NOT NULL,
    seq        bigint NOT NULL CHECK (seq >= 0),
    body       text NOT NULL,
    PRIMARY KEY (tenant_id, run_id, seq)
)
--;
ALTER TABLE agentflow_run_chunks SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000)
--;
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['agentflow_runs', 'agentflow_run_chunks'] LOOP
        EXECUTE format('CREATE POLICY agentflow_tenant ON %I USING (tenant_id = ANY ('
                       '(SELECT nullif(current_setting(''agentflow.tenants'', true), '''')::uuid[])::uuid[]))', table_name);
        EXECUTE format('CREATE POLICY agentflow_operator ON %I TO agentflow_operator USING (true)', table_name);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO agentflow_operator, agentflow_app', table_name);
    END LOOP;
END
$$
--;

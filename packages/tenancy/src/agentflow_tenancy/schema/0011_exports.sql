-- Exports and imports of tenants' threads, as records that outlive whoever carries them out. A line `--;` ends a statement.

-- `thread_id` and `user_id` narrow what is exported, as the tenant knows them. `after` is the last thread that is done, and
-- `size_bytes` what the file held then: a crash goes on from there. The holder works on it while `held_until` lies ahead;
-- whoever comes after that takes it over. The file goes when `expires_at` has come.
CREATE TABLE agentflow_exports (
    tenant_id        uuid NOT NULL REFERENCES agentflow_tenants,
    export_id        uuid NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('export', 'import')),
    thread_id        text COLLATE "C",
    user_id          text,
    state            text NOT NULL DEFAULT 'queued'
                     CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled', 'expired')),
    step             text NOT NULL CHECK (step IN ('check', 'load', 'write', 'end')),
    cancel_requested boolean NOT NULL DEFAULT false,
    after            text COLLATE "C" NOT NULL DEFAULT '',
    threads_total    bigint,
    threads_done     bigint NOT NULL DEFAULT 0,
    size_bytes       bigint NOT NULL DEFAULT 0,
    digest           bytea CHECK (octet_length(digest) = 32),
    attempts         int NOT NULL DEFAULT 0,
    error            text,
    error_code       text,
    requested_by     text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    expires_at       timestamptz,
    holder           uuid,
    held_until       timestamptz,
    PRIMARY KEY (tenant_id, export_id),
    CHECK ((state IN ('queued', 'running')) = (finished_at IS NULL)),
    CHECK (state <> 'running' OR (started_at IS NOT NULL AND holder IS NOT NULL AND held_until IS NOT NULL)),
    CHECK (kind = 'export' OR digest IS NOT NULL),
    CHECK (kind = 'import' OR state <> 'done' OR (digest IS NOT NULL AND expires_at IS NOT NULL))
)
--;
-- Those that somebody has to work on, and those whose file is still to go: few, whatever the number of records.
CREATE INDEX agentflow_exports_open ON agentflow_exports (created_at) WHERE state IN ('queued', 'running')
--;
CREATE INDEX agentflow_exports_kept ON agentflow_exports (expires_at) WHERE state = 'done' AND kind = 'export'
--;
CREATE INDEX agentflow_exports_by_time ON agentflow_exports (tenant_id, created_at, export_id)
--;
CREATE POLICY agentflow_tenant ON agentflow_exports USING (tenant_id = ANY (
    (SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
CREATE POLICY agentflow_operator ON agentflow_exports TO agentflow_operator USING (true)
--;
ALTER TABLE agentflow_exports ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
--;
GRANT SELECT, INSERT, UPDATE ON agentflow_exports TO agentflow_app
--;
GRANT SELECT, INSERT, UPDATE, DELETE ON agentflow_exports TO agentflow_operator
--;

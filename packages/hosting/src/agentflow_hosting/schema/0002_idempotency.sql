-- One effect for one key. A line `--;` ends a statement.

-- What was asked under a key, and what was answered. Until there is an answer somebody works on it while `held_until` lies
-- ahead; whoever asks again after that goes on with the same `effect_id`, which names what the first one may have done.
CREATE TABLE agentflow_idempotency (
    tenant_id    uuid NOT NULL REFERENCES agentflow_tenants,
    key          text COLLATE "C" NOT NULL,
    fingerprint  bytea NOT NULL,
    effect_id    uuid NOT NULL,
    attempts     int NOT NULL DEFAULT 1,
    status       int,
    body         text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    held_until   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key),
    CHECK (status IS NULL OR status BETWEEN 200 AND 599)
)
--;
CREATE INDEX agentflow_idempotency_by_time ON agentflow_idempotency (created_at)
--;
CREATE POLICY agentflow_tenant ON agentflow_idempotency USING (tenant_id = ANY (
    (SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
CREATE POLICY agentflow_operator ON agentflow_idempotency TO agentflow_operator USING (true)
--;
ALTER TABLE agentflow_idempotency ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
--;
GRANT SELECT, INSERT, UPDATE, DELETE ON agentflow_idempotency TO agentflow_operator, agentflow_app
--;

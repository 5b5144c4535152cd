-- Tools that run at a tenant's clients, by agent and tool node. A line `--;` ends a statement.
CREATE TABLE agentflow_remote_tools (
    tenant_id   uuid NOT NULL REFERENCES agentflow_tenants,
    agent       text COLLATE "C" NOT NULL,
    node        text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    description text NOT NULL,
    parameters  text NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, agent, node, name)
)
--;
CREATE POLICY agentflow_tenant ON agentflow_remote_tools USING (tenant_id = ANY (
    (SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
CREATE POLICY agentflow_operator ON agentflow_remote_tools TO agentflow_operator USING (true)
--;
ALTER TABLE agentflow_remote_tools ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
--;
GRANT SELECT, INSERT, UPDATE, DELETE ON agentflow_remote_tools TO agentflow_operator, agentflow_app
--;

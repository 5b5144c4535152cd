-- The second wall between tenants, and where a tenant's threads are.

-- Where the threads of tenants that moved are. No row: in the placement that their scope names, since ever.
-- A tenant on its way has threads in both, each whole in one of them. `creates_in` is where new threads go; -1 for the
-- moment in which nobody may make any. Statements that make a thread compare it, so that however old a writer's idea of
-- the placement is, no thread is made where the mover has been already.
CREATE TABLE agentflow_placements (
    tenant_id  uuid PRIMARY KEY,
    changed_at timestamptz NOT NULL DEFAULT now(),
    placement  int NOT NULL,
    moving_to  int,
    creates_in int NOT NULL
)
--;

-- Row level security: who is not the owner of these tables sees the rows of the tenants that its statement named
-- (`agentflow.tenants`, set by the statement itself and gone with it), and none without. The sub-select makes it one
-- look at the setting for each statement instead of each row.
CREATE POLICY agentflow_tenant ON agentflow_placements
    USING (tenant_id = ANY ((SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
CREATE POLICY agentflow_tenant ON agentflow_threads
    USING (tenant_id = ANY ((SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
CREATE POLICY agentflow_tenant ON agentflow_checkpoints
    USING (tenant_id = ANY ((SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
CREATE POLICY agentflow_tenant ON agentflow_messages
    USING (tenant_id = ANY ((SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
CREATE POLICY agentflow_tenant ON agentflow_tool_calls
    USING (tenant_id = ANY ((SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
CREATE POLICY agentflow_tenant ON agentflow_writes
    USING (tenant_id = ANY ((SELECT nullif(current_setting('agentflow.tenants', true), '')::uuid[])::uuid[]))
--;
ALTER TABLE agentflow_placements ENABLE ROW LEVEL SECURITY
--;
ALTER TABLE agentflow_threads ENABLE ROW LEVEL SECURITY
--;
ALTER TABLE agentflow_checkpoints ENABLE ROW LEVEL SECURITY
--;
ALTER TABLE agentflow_messages ENABLE ROW LEVEL SECURITY
--;
ALTER TABLE agentflow_tool_calls ENABLE ROW LEVEL SECURITY
--;
ALTER TABLE agentflow_writes ENABLE ROW LEVEL SECURITY
--;
INSERT INTO agentflow_schema (version) VALUES (4)
--;

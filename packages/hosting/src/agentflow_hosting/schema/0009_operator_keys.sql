-- The operator's idempotency keys stand beside those of tenants, under a name that no tenant has. A line `--;` ends a statement.

ALTER TABLE agentflow_tenants ADD CONSTRAINT agentflow_tenants_not_operator
    CHECK (tenant_id <> '00000000-0000-0000-0000-000000000000')
--;
ALTER TABLE agentflow_idempotency DROP CONSTRAINT agentflow_idempotency_tenant_id_fkey
--;

-- Idempotency keys of tenants refer to them again: a claim that is committed late holds up the end of its tenant, or is refused. A
-- line `--;` ends a statement.

-- What such claims left so far.
DELETE FROM agentflow_idempotency k
WHERE k.tenant_id <> '00000000-0000-0000-0000-000000000000'
  AND NOT EXISTS (SELECT FROM agentflow_tenants t WHERE t.tenant_id = k.tenant_id)
--;
-- Of the operator's keys, which are no tenant's, it is null.
ALTER TABLE agentflow_idempotency ADD COLUMN of_tenant_id uuid
    GENERATED ALWAYS AS (nullif(tenant_id, '00000000-0000-0000-0000-000000000000')) STORED
    CONSTRAINT agentflow_idempotency_of_tenant_id_fkey REFERENCES agentflow_tenants
--;

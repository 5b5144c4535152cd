-- What an operator sets for a tenant, what a tenant sets for its keys, and who changed what. A line `--;` ends a statement.

ALTER TABLE agentflow_tenants
    ADD COLUMN name text NOT NULL DEFAULT '',
    ADD COLUMN plan text NOT NULL DEFAULT 'standard',
    ADD COLUMN limits jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN retention_days int CHECK (retention_days >= 1),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN suspended_at timestamptz
--;
-- Where its threads are being moved to, if they are; see agentflow_placements.
ALTER TABLE agentflow_tenants ADD COLUMN IF NOT EXISTS moving_to int CHECK (moving_to <> placement)
--;
UPDATE agentflow_tenants SET suspended_at = now() WHERE state = 'suspended'
--;
ALTER TABLE agentflow_tenants ADD CONSTRAINT agentflow_tenants_suspended
    CHECK ((state = 'suspended') = (suspended_at IS NOT NULL))
--;

ALTER TABLE agentflow_api_keys
    ADD COLUMN limits jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN created_by text NOT NULL DEFAULT '',
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN replaced_by text COLLATE "C" REFERENCES agentflow_api_keys
--;

-- Written in the transaction of the change it tells of, and never changed. No secrets.
CREATE TABLE agentflow_audit_log (
    audit_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    tenant_id  uuid,
    -- operator, or key:<id>
    actor      text NOT NULL,
    action     text NOT NULL,
    -- a key's id, a slug
    target     text NOT NULL,
    details    jsonb NOT NULL DEFAULT '{}',
    address    text,
    request_id text
)
--;
CREATE INDEX agentflow_audit_log_of_tenant ON agentflow_audit_log (tenant_id, audit_id)
--;
GRANT SELECT, INSERT ON agentflow_audit_log TO agentflow_app, agentflow_operator
--;

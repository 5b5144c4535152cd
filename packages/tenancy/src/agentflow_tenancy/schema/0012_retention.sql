-- How much of its threads a tenant keeps. A line `--;` ends a statement.

-- null: every version. Threads that nobody writes to lose the older ones.
ALTER TABLE agentflow_tenants ADD COLUMN keep_checkpoints int CHECK (keep_checkpoints >= 1)
--;
-- What was done after a backup was restored: see `agentflow.restore` in docs/guide/27-backup.md.
CREATE TABLE agentflow_restores (
    restore_id text PRIMARY KEY,
    tombstones bigint NOT NULL CHECK (tombstones >= 0),
    applied_at timestamptz NOT NULL DEFAULT now()
)
--;
GRANT SELECT ON agentflow_restores TO agentflow_app
--;
GRANT SELECT, INSERT ON agentflow_restores TO agentflow_operator
--;

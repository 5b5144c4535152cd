-- Long work for a tenant, as a record that outlives whoever does it. A line `--;` ends a statement.

-- A tenant's own partitions: numbers from here on.
CREATE SEQUENCE agentflow_placement_no AS int START 1000
--;

-- A move. `source` and `target` are placements; a null target is a partition that is still to be made. `step` is where it
-- goes on after a crash. The holder works on it while `held_until` lies ahead; whoever comes after that takes it over.
CREATE TABLE agentflow_operations (
    operation_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id        uuid NOT NULL REFERENCES agentflow_tenants,
    kind             text NOT NULL CHECK (kind IN ('promote', 'demote', 'move')),
    source           int NOT NULL,
    target           int CHECK (target <> source),
    state            text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    step             text NOT NULL DEFAULT 'prepare'
                     CHECK (step IN ('prepare', 'announce', 'fence', 'move', 'finish', 'clean', 'end')),
    cancel_requested boolean NOT NULL DEFAULT false,
    threads_total    bigint,
    threads_moved    bigint NOT NULL DEFAULT 0,
    rows_moved       bigint NOT NULL DEFAULT 0,
    attempts         int NOT NULL DEFAULT 0,
    error            text,
    requested_by     text NOT NULL,
    reason           text NOT NULL DEFAULT '',
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    holder           uuid,
    held_until       timestamptz,
    CHECK ((state IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (state <> 'running' OR (started_at IS NOT NULL AND holder IS NOT NULL AND held_until IS NOT NULL)),
    CHECK (state NOT IN ('done', 'failed') OR started_at IS NOT NULL)
)
--;
-- One move of a tenant at a time.
CREATE UNIQUE INDEX agentflow_operations_open ON agentflow_operations (tenant_id) WHERE state IN ('queued', 'running')
--;
CREATE INDEX agentflow_operations_of_tenant ON agentflow_operations (tenant_id, created_at)
--;
GRANT SELECT, INSERT, UPDATE ON agentflow_operations TO agentflow_app, agentflow_operator
--;
GRANT SELECT, INSERT, UPDATE, DELETE ON agentflow_placements TO agentflow_operator
--;
GRANT USAGE ON SEQUENCE agentflow_placement_no TO agentflow_operator
--;

-- Who may touch what. Roles belong to the whole server, rights to this database. A line `--;` ends a statement.

-- `agentflow_app`: the API and the runs. Sees the tenants that its statement names, and of the leaves nothing at all: a
-- right on a leaf would go round the policies of its parent.
-- `agentflow_operator`: migrations, moves, retention, purges. Sees every tenant.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['agentflow_app', 'agentflow_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of this server was faster
            END;
        END IF;
    END LOOP;
    -- The owner is no exception to forced row level security, unless it is a superuser.
    IF NOT pg_has_role(current_user, 'agentflow_operator', 'USAGE') THEN
        EXECUTE format('GRANT agentflow_operator TO %I', current_user);
    END IF;
END
$$
--;
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['agentflow_threads', 'agentflow_checkpoints', 'agentflow_messages',
                                      'agentflow_tool_calls', 'agentflow_writes', 'agentflow_placements'] LOOP
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY agentflow_operator ON %I TO agentflow_operator USING (true)', table_name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO agentflow_operator', table_name);
    END LOOP;
END
$$
--;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON agentflow_threads, agentflow_checkpoints, agentflow_messages, agentflow_tool_calls, agentflow_writes
    TO agentflow_app
--;
GRANT SELECT ON agentflow_placements TO agentflow_app
--;
GRANT SELECT ON agentflow_schema, agentflow_instance TO agentflow_app, agentflow_operator
--;
GRANT USAGE ON SEQUENCE agentflow_thread_no TO agentflow_app, agentflow_operator
--;
GRANT SELECT, INSERT, UPDATE ON agentflow_tenants, agentflow_api_keys TO agentflow_app, agentflow_operator
--;

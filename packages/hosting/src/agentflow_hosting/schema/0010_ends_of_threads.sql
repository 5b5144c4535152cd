-- With a thread go its runs, in the transaction that deletes it: nothing is left behind by whoever dies half-way. A line
-- `--;` ends a statement.

-- What they said and did goes too; a run that still works is told so when it writes next. Not where a thread changes places
-- (`agentflow.uncounted`). Whoever deletes for one tenant has named it; housekeeping names none, and leaves runs that wait
-- for their first attempt: they will make the thread anew. One DELETE per tenant, bound, so that each uses its index.
CREATE FUNCTION agentflow_delete_runs() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
    SET plan_cache_mode = 'force_custom_plan' AS $$
DECLARE
    life record;
    of_runs uuid[];
    for_a_tenant boolean := coalesce(current_setting('agentflow.tenants', true), '') <> '';
BEGIN
    FOR life IN SELECT tenant_id, array_agg(thread_id) AS ids FROM gone GROUP BY tenant_id LOOP
        WITH deleted AS (
            DELETE FROM agentflow_runs r
            WHERE r.tenant_id = life.tenant_id AND r.thread_id = ANY (life.ids)
              AND (for_a_tenant OR r.status <> 'pending' OR r.attempts > 0)
            RETURNING r.run_id
        )
        SELECT array_agg(run_id) INTO of_runs FROM deleted;
        DELETE FROM agentflow_run_chunks c WHERE c.tenant_id = life.tenant_id AND c.run_id = ANY (of_runs);
        DELETE FROM agentflow_run_traces t WHERE t.tenant_id = life.tenant_id AND t.thread_id = ANY (life.ids);
    END LOOP;
    RETURN NULL;
END
$$
--;
CREATE TRIGGER agentflow_delete_runs AFTER DELETE ON agentflow_threads REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT WHEN (coalesce(current_setting('agentflow.uncounted', true), '') <> 'on')
    EXECUTE FUNCTION agentflow_delete_runs()
--;

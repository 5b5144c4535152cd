-- With a thread go all of its runs, also when an operator types the statement. A line `--;` ends a statement.

-- The one exception says so itself (`agentflow.housekeeping`): retention asks for runs before it deletes, and one that comes
-- in the same moment stays, to make the thread anew. A typed statement has asked nobody, and is meant.
CREATE OR REPLACE FUNCTION agentflow_delete_runs() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
    SET plan_cache_mode = 'force_custom_plan' AS $$
DECLARE
    life record;
    of_runs uuid[];
    spares_new boolean := coalesce(current_setting('agentflow.housekeeping', true), '') = 'on';
BEGIN
    FOR life IN SELECT tenant_id, array_agg(thread_id) AS ids FROM gone GROUP BY tenant_id LOOP
        WITH deleted AS (
            DELETE FROM agentflow_runs r
            WHERE r.tenant_id = life.tenant_id AND r.thread_id = ANY (life.ids)
              AND (NOT spares_new OR r.status <> 'pending' OR r.attempts > 0)
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

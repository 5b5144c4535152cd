-- Sweeps: a batch is one call, and a run that begins while its thread is swept stays, also one that is at work at once. A
-- line `--;` ends a statement.

-- Housekeeping looked for open runs before it deleted: those that are open here came in between. They make the thread anew.
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
              AND NOT (spares_new AND r.status IN ('pending', 'running'))
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

-- Deletes those of the given threads of a placement that are due still and do not live, with all that hangs below them. One
-- call, one transaction: a caller that shares two processors with everybody else waits once for each batch and not five times.
-- Each statement in here sees what was committed before it began, so a run that was asked for before the rows were held is
-- seen. What is deleted need not survive a crash at once: it would be swept again. Each thread is looked up by its key, and
-- so is what is below it, whatever the statistics say: in a leaf of some thousand threads each batch would read all of them.
CREATE FUNCTION agentflow_delete_due(place int, tenant_ids uuid[], thread_ids text[], retention_s float8,
                                     OUT threads bigint, OUT versions bigint, OUT took_s float8)
    LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = 'force_custom_plan'
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    began timestamptz := clock_timestamp();
    held_tenants uuid[];
    held_threads text[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true), set_config('agentflow.housekeeping', 'on', true);
    -- Nobody begins to write those that are held.
    SELECT array_agg(h.tenant_id), array_agg(h.thread_id) INTO held_tenants, held_threads
    FROM (
        SELECT t.tenant_id, t.thread_id
        FROM unnest(tenant_ids, thread_ids) AS g (tenant_id, thread_id)
        JOIN agentflow_threads t ON t.placement = place AND t.tenant_id = g.tenant_id AND t.thread_id = g.thread_id
        LEFT JOIN agentflow_tenants n ON n.tenant_id = g.tenant_id
        CROSS JOIN LATERAL (
            SELECT substring(t.state FROM
                       '"execution_meta":\{"current_node":"(?:[^"\\]|\\.)*","step":[0-9]+,"status":"([a-z_]+)"') AS status
        ) s
        WHERE (t.expires_at <= now()
               OR t.updated_at <= now() - least(make_interval(days => n.retention_days), make_interval(secs => retention_s)))
          AND NOT coalesce(s.status = 'running' AND t.updated_at > now() - interval '1 day', false)
          AND NOT coalesce(s.status IN ('running', 'interrupted_before', 'interrupted_after')
                           AND strpos(t.state, '"interrupts":[{') > 0, false)
          AND NOT (starts_with(t.state, '{"langgraph":') AND EXISTS (
              SELECT FROM agentflow_writes w
              WHERE w.placement = place AND w.tenant_id = t.tenant_id AND w.thread_no = t.thread_no
                AND w.channel = '__interrupt__'
                AND w.checkpoint = (SELECT CAST(c.checkpoint_id AS text) FROM agentflow_checkpoints c
                                    WHERE c.placement = place AND c.tenant_id = t.tenant_id AND c.thread_no = t.thread_no
                                      AND c.node = '' ORDER BY c.seq DESC LIMIT 1)))
        ORDER BY t.tenant_id, t.thread_id
        FOR UPDATE OF t SKIP LOCKED
    ) h;
    WITH gone AS (
        DELETE FROM agentflow_threads t
        USING unnest(held_tenants, held_threads) AS g (tenant_id, thread_id)
        WHERE t.placement = place AND t.tenant_id = g.tenant_id AND t.thread_id = g.thread_id
          AND NOT EXISTS (SELECT FROM agentflow_runs r
                          WHERE r.tenant_id = g.tenant_id AND r.thread_id = g.thread_id AND r.status IN ('pending', 'running'))
        RETURNING t.head
    )
    SELECT count(*), coalesce(sum(head), 0) INTO threads, versions FROM gone;
    took_s := extract(epoch FROM clock_timestamp() - began);
END
$$
--;

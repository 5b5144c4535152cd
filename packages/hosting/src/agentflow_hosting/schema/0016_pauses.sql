-- Sweeps rest within a batch, too. A line `--;` ends a statement.

-- The library's own (its 0005), but for the first lines: whoever has deleted all below says so (`agentflow.below_gone`), and does
-- not look for it again, a quarter of the time of a batch. No version of the library's schema: both do for every version.
CREATE OR REPLACE FUNCTION agentflow_delete_children() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
    SET plan_cache_mode = 'force_custom_plan' AS $$
DECLARE
    life record;
BEGIN
    IF coalesce(current_setting('agentflow.below_gone', true), '') = 'on' THEN
        RETURN NULL;
    END IF;
    FOR life IN
        SELECT tenant_id, placement, array_agg(thread_no) AS numbers, array_agg(-thread_no) AS of_archives
        FROM gone GROUP BY tenant_id, placement
    LOOP
        DELETE FROM agentflow_checkpoints c
        WHERE c.tenant_id = life.tenant_id AND c.placement = life.placement
          AND c.thread_no = ANY (life.numbers || life.of_archives);
        DELETE FROM agentflow_messages m
        WHERE m.tenant_id = life.tenant_id AND m.placement = life.placement AND m.thread_no = ANY (life.numbers);
        DELETE FROM agentflow_tool_calls l
        WHERE l.tenant_id = life.tenant_id AND l.placement = life.placement AND l.thread_no = ANY (life.numbers);
        DELETE FROM agentflow_writes w
        WHERE w.tenant_id = life.tenant_id AND w.placement = life.placement AND w.thread_no = ANY (life.numbers);
    END LOOP;
    RETURN NULL;
END
$$
--;
-- As before (0014), but what is below the threads goes first, table by table, with a rest after each: a server's process that
-- works for some milliseconds keeps a processor for so long, and neighbours that share it wait. Rests are `rest` times as long
-- as the work before them; `took_s` is the work alone, `rest_s` the rest that is still to be taken, with nothing held. The rows are held meanwhile: nobody writes below them. Whoever calls
-- without `rest` is of a version before, and rests by itself.
DROP FUNCTION agentflow_delete_due(int, uuid[], text[], float8)
--;
CREATE FUNCTION agentflow_delete_due(place int, tenant_ids uuid[], thread_ids text[], retention_s float8, rest float8 DEFAULT 0,
                                     OUT threads bigint, OUT versions bigint, OUT took_s float8, OUT rest_s float8)
    LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = 'force_custom_plan'
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    mark timestamptz := clock_timestamp();
    held_tenants uuid[];
    held_threads text[];
    life record;
    numbers bigint[];
    few CONSTANT int := 24;
    parts int;
BEGIN
    took_s := 0;
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
    threads := 0;
    versions := 0;
    FOR life IN
        SELECT t.tenant_id AS whose, array_agg(t.thread_id) AS ids, array_agg(t.thread_no) AS numbers,
               sum(t.head) AS heads
        FROM unnest(held_tenants, held_threads) AS g (tenant_id, thread_id)
        JOIN agentflow_threads t ON t.placement = place AND t.tenant_id = g.tenant_id AND t.thread_id = g.thread_id
        WHERE NOT EXISTS (SELECT FROM agentflow_runs r
                          WHERE r.tenant_id = g.tenant_id AND r.thread_id = g.thread_id AND r.status IN ('pending', 'running'))
        GROUP BY t.tenant_id
    LOOP
        -- Checkpoints and messages of some threads in turn; in the end the threads.
        parts := (cardinality(life.numbers) + few - 1) / few;
        FOR part IN 0..2 * parts LOOP
            took_s := took_s + extract(epoch FROM clock_timestamp() - mark);
            PERFORM pg_sleep(rest * extract(epoch FROM clock_timestamp() - mark));
            mark := clock_timestamp();
            numbers := life.numbers[part / 2 * few + 1 : part / 2 * few + few];
            IF part = 2 * parts THEN
                DELETE FROM agentflow_tool_calls l
                WHERE l.placement = place AND l.tenant_id = life.whose AND l.thread_no = ANY (life.numbers);
                DELETE FROM agentflow_writes w
                WHERE w.placement = place AND w.tenant_id = life.whose AND w.thread_no = ANY (life.numbers);
                PERFORM set_config('agentflow.below_gone', 'on', true);
                DELETE FROM agentflow_threads t
                WHERE t.placement = place AND t.tenant_id = life.whose AND t.thread_id = ANY (life.ids);
            ELSIF part % 2 = 0 THEN
                DELETE FROM agentflow_checkpoints c
                WHERE c.placement = place AND c.tenant_id = life.whose
                  AND c.thread_no = ANY (numbers || ARRAY(SELECT -n FROM unnest(numbers) n));
            ELSE
                DELETE FROM agentflow_messages m
                WHERE m.placement = place AND m.tenant_id = life.whose AND m.thread_no = ANY (numbers);
            END IF;
        END LOOP;
        threads := threads + cardinality(life.ids);
        versions := versions + life.heads;
    END LOOP;
    took_s := took_s + extract(epoch FROM clock_timestamp() - mark);
    rest_s := rest * extract(epoch FROM clock_timestamp() - mark);
END
$$
--;
-- Whether a tenant that goes has keys is looked up, and not read among all keys of a day. Nothing changes the column: updates
-- stay HOT.
CREATE INDEX agentflow_idempotency_of_tenant ON agentflow_idempotency (of_tenant_id) WHERE of_tenant_id IS NOT NULL
--;

-- An archive stands under its thread's number with a minus before it. The key's index holds archives in a place of their
-- own then, an entry a thread, and where the rows were that were packed its pages become empty and are used again. Amidst
-- them, each archive would keep a page of entries that nothing fills: numbers only grow. Archives of an older version stay
-- where they are, under the number itself.

CREATE OR REPLACE FUNCTION agentflow_delete_children() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
    SET plan_cache_mode = 'force_custom_plan' AS $$
DECLARE
    life record;
BEGIN
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
INSERT INTO agentflow_schema (version) VALUES (5)
--;

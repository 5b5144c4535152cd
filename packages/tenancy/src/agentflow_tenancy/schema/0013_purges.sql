-- A batch of a purge is one call. A line `--;` ends a statement.

-- Deletes the next threads of a tenant that leaves, behind `after_id` in the order of ids, of about so many rows, with all that
-- hangs below them; notes in the same transaction how many rows of which table went. As nine round trips each of them waited
-- for a processor behind the writers, three quarters of a batch's time, and batches that aimed at some milliseconds as the
-- caller saw it became small. Whose work the offboarding is any more deletes nothing: `is_held` is false. Without a row that
-- it may be found by no holder is asked for. `last_id` is null when there was none left; `rows` is about how many they had.
-- It names the leaves: through the parents each row would be kept for the triggers that count, which do not when all of a
-- tenant goes. Archives stand under negative numbers. Each statement in here sees what was committed before it began: who
-- wrote a thread has ended once it is held, and what they wrote is deleted. What is deleted need not survive a crash at once,
-- since its count would be lost with it; the receipt's commit waits for both.
CREATE FUNCTION agentflow_purge_threads(of_offboarding uuid, of_holder uuid, place int, whose uuid, after_id text, most_rows bigint, rest float8,
                                        OUT is_held boolean, OUT last_id text, OUT rows bigint, OUT threads bigint, OUT took_s float8,
                                        OUT rest_s float8)
    LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = 'force_custom_plan' SET enable_seqscan = off AS $$
DECLARE
    one record;
    ids text[] := '{}';
    numbers bigint[];
    gone jsonb := '{}';
    went bigint;
    child text;
    mark timestamptz := clock_timestamp();
BEGIN
    took_s := 0;
    rest_s := 0;
    PERFORM set_config('synchronous_commit', 'off', true), set_config('agentflow.uncounted', 'on', true),
            set_config('agentflow.below_gone', 'on', true);
    rows := 0;
    threads := 0;
    PERFORM FROM agentflow_offboardings o
    WHERE o.offboarding_id = of_offboarding
      AND (of_holder IS NULL OR (o.holder = of_holder AND o.state IN ('purging', 'verifying')))
    FOR NO KEY UPDATE;
    is_held := FOUND OR of_holder IS NULL;
    IF NOT is_held THEN
        RETURN;
    END IF;
    FOR one IN
        SELECT t.thread_id, t.head + t.next_pos + 1 AS about FROM agentflow_threads t
        WHERE t.placement = place AND t.tenant_id = whose AND t.thread_id > after_id
        ORDER BY t.thread_id LIMIT 512
    LOOP
        EXIT WHEN rows > 0 AND rows + one.about > most_rows;
        rows := rows + one.about;
        ids := ids || one.thread_id;
        last_id := one.thread_id;
    END LOOP;
    IF last_id IS NOT NULL THEN
        SELECT array_agg(h.thread_no) INTO numbers
        FROM (
            SELECT t.thread_no FROM agentflow_threads t
            WHERE t.placement = place AND t.tenant_id = whose AND t.thread_id = ANY (ids)
            ORDER BY t.thread_id FOR UPDATE
        ) h;
        FOREACH child IN ARRAY ARRAY['checkpoints', 'messages', 'tool_calls', 'writes'] LOOP
            EXECUTE format('DELETE FROM agentflow_%s_p%s WHERE placement = %s AND tenant_id = $1 AND thread_no = ANY ($2)',
                           child, place, place)
            USING whose, numbers || CASE WHEN child = 'checkpoints' THEN ARRAY(SELECT -n FROM unnest(numbers) n) END;
            GET DIAGNOSTICS went = ROW_COUNT;
            gone := gone || jsonb_build_object('agentflow_' || child, went);
            IF went > 0 THEN
            took_s := took_s + extract(epoch FROM clock_timestamp() - mark);
        PERFORM pg_sleep(rest * extract(epoch FROM clock_timestamp() - mark));
        mark := clock_timestamp();
            END IF;
        END LOOP;
        EXECUTE format('DELETE FROM agentflow_threads_p%s WHERE placement = %s AND tenant_id = $1 AND thread_id = ANY ($2)',
                       place, place)
        USING whose, ids;
        GET DIAGNOSTICS threads = ROW_COUNT;
        gone := gone || jsonb_build_object('agentflow_threads', threads);
        UPDATE agentflow_offboardings o
        SET threads_purged = o.threads_purged + agentflow_purge_threads.threads,
            counts = o.counts || (SELECT coalesce(jsonb_object_agg(g.key, coalesce((o.counts ->> g.key)::bigint, 0) + g.value::bigint), '{}')
                                  FROM jsonb_each_text(gone) g WHERE g.value <> '0')
        WHERE o.offboarding_id = of_offboarding;
    END IF;
    took_s := took_s + extract(epoch FROM clock_timestamp() - mark);
    rest_s := rest * extract(epoch FROM clock_timestamp() - mark);
END
$$
--;

-- What else hangs below a thread: the tools it called, and writes that wait for their checkpoint.

-- The tool ledger. A row says that a tool was started; with `finished_at` also what it answered. It is written
-- before the tool runs and finished at the latest in the transaction of the checkpoint that holds the answer, so that
-- a finished tool is never run again, and one that was running at a crash runs again with the same key.
-- `seq` is the version the thread was at; `idx` the call's place among those of its node. `started_by` names the
-- latest start, so that sending it again after a lost reply counts no attempt.
CREATE TABLE agentflow_tool_calls (
    thread_no   bigint NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    placement   int NOT NULL,
    seq         int NOT NULL,
    idx         int NOT NULL,
    attempt     int NOT NULL DEFAULT 1,
    tenant_id   uuid NOT NULL,
    tool_key    uuid NOT NULL,
    started_by  uuid NOT NULL,
    call_id     text NOT NULL,
    name        text NOT NULL,
    node        text NOT NULL,
    run_id      text NOT NULL,
    result      text,
    CHECK ((finished_at IS NULL) = (result IS NULL)),
    PRIMARY KEY (tenant_id, thread_no, tool_key, placement)
) PARTITION BY LIST (placement)
--;

-- Results of tasks that finished while others of their step had not: LangGraph's pending writes, one row a channel.
CREATE TABLE agentflow_writes (
    thread_no  bigint NOT NULL,
    placement  int NOT NULL,
    idx        int NOT NULL,
    tenant_id  uuid NOT NULL,
    checkpoint text NOT NULL,
    task_id    text NOT NULL,
    task_path  text NOT NULL DEFAULT '',
    channel    text NOT NULL,
    kind       text NOT NULL,
    value      bytea NOT NULL,
    PRIMARY KEY (tenant_id, thread_no, checkpoint, task_id, idx, placement)
) PARTITION BY LIST (placement)
--;

-- A LangGraph graph's nested namespaces are nodes whose names begin with a bar: a subgraph that starts asks for
-- its namespace's last checkpoint, and mostly there is none. Other checkpoints pay nothing for this index.
CREATE INDEX agentflow_checkpoints_nested ON agentflow_checkpoints (tenant_id, thread_no, node, seq)
    WHERE left(node, 1) = '|'
--;

CREATE OR REPLACE FUNCTION agentflow_delete_children() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    life record;
BEGIN
    FOR life IN
        SELECT tenant_id, placement, array_agg(thread_no) AS numbers FROM gone GROUP BY tenant_id, placement
    LOOP
        DELETE FROM agentflow_checkpoints c
        WHERE c.tenant_id = life.tenant_id AND c.placement = life.placement AND c.thread_no = ANY (life.numbers);
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

CREATE OR REPLACE FUNCTION agentflow_truncate_children() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    placement int := TG_ARGV[0]::int;
BEGIN
    EXECUTE format('TRUNCATE agentflow_checkpoints_p%s, agentflow_messages_p%s, agentflow_tool_calls_p%s, '
                   'agentflow_writes_p%s', placement, placement, placement, placement);
    RETURN NULL;
END
$$
--;

INSERT INTO agentflow_schema (version) VALUES (2)
--;

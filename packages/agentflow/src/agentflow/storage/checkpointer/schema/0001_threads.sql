-- Threads, their checkpoints and their messages. Applied by the first use and by the migrations alike.
-- A line `--;` ends a statement.

CREATE TABLE agentflow_schema (
    version    int PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
)
--;

-- One row. The id goes into every cache key, so that databases that share a Redis, or a database
-- made anew, never see each other's entries.
CREATE TABLE agentflow_instance (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    instance_id uuid NOT NULL DEFAULT gen_random_uuid()
)
--;
INSERT INTO agentflow_instance DEFAULT VALUES
--;

-- Names a thread's life in few bytes. Unique; never used for order.
CREATE SEQUENCE agentflow_thread_no
--;

-- One row a thread: its head, and the fields of its state at the head. `state` is text and not jsonb,
-- which would lose key order and refuse NUL. No index on a column that checkpoints change: updates stay HOT.
CREATE TABLE agentflow_threads (
    thread_no      bigint NOT NULL DEFAULT nextval('agentflow_thread_no'),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz,
    placement      int NOT NULL,
    head           int NOT NULL CHECK (head >= 1),
    next_pos       int NOT NULL CHECK (next_pos >= 0),
    stop_requested boolean NOT NULL DEFAULT false,
    tenant_id      uuid NOT NULL,
    thread_id      text COLLATE "C" NOT NULL CHECK (octet_length(thread_id) BETWEEN 1 AND 512),
    user_id        text,
    name           text,
    run_id         text NOT NULL,
    metadata       jsonb NOT NULL DEFAULT '{}',
    state          text NOT NULL,
    PRIMARY KEY (tenant_id, thread_id, placement)
) PARTITION BY LIST (placement)
--;

-- One row a node boundary: what the step changed, or with `is_full` all fields, so that reading any
-- version folds a bounded number of rows.
CREATE TABLE agentflow_checkpoints (
    thread_no     bigint NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    placement     int NOT NULL,
    seq           int NOT NULL CHECK (seq >= 1),
    step          int NOT NULL,
    is_full       boolean NOT NULL,
    checkpoint_id uuid NOT NULL,
    tenant_id     uuid NOT NULL,
    source        text NOT NULL CHECK (source IN ('input', 'node', 'branch', 'update', 'fork')),
    node          text NOT NULL,
    run_id        text NOT NULL,
    delta         text NOT NULL,
    PRIMARY KEY (tenant_id, thread_no, seq, placement)
) PARTITION BY LIST (placement)
--;

-- One row a message, written once. The context at version S is the rows with seq <= S that were not
-- removed by then, in the order of pos. `content` is the plain text (kind 0) or a JSON array of blocks (kind 1).
CREATE TABLE agentflow_messages (
    thread_no    bigint NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    sent_at      double precision,
    placement    int NOT NULL,
    pos          int NOT NULL CHECK (pos >= 0),
    seq          int NOT NULL CHECK (seq >= 1),
    removed_seq  int CHECK (removed_seq > seq),
    content_kind smallint NOT NULL CHECK (content_kind IN (0, 1)),
    tenant_id    uuid NOT NULL,
    message_id   text NOT NULL,
    role         text NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    content      text NOT NULL,
    extra        text,
    PRIMARY KEY (tenant_id, thread_no, pos, seq, placement)
) PARTITION BY LIST (placement)
--;

-- A thread's rows never outlive it, also when an operator deletes threads by hand. Foreign keys between
-- partitioned tables would refuse to detach a partition. One DELETE per tenant and placement, both bound,
-- so that each touches one leaf of one tenant.
CREATE FUNCTION agentflow_delete_children() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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
    END LOOP;
    RETURN NULL;
END
$$
--;
CREATE TRIGGER agentflow_delete_children AFTER DELETE ON agentflow_threads
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION agentflow_delete_children()
--;

-- On each leaf, with its number: truncating threads, or one leaf of them, empties the leaves below.
CREATE FUNCTION agentflow_truncate_children() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format('TRUNCATE agentflow_checkpoints_p%s, agentflow_messages_p%s', TG_ARGV[0]::int, TG_ARGV[0]::int);
    RETURN NULL;
END
$$
--;

INSERT INTO agentflow_schema (version) VALUES (1)
--;

-- Who is told of runs: workers of those to carry out, and addresses of those that are over. A line `--;` ends a statement.

-- How telling a run's address went: `webhook_answer` is the last HTTP status, none when there was no answer.
ALTER TABLE agentflow_runs
    ADD COLUMN webhook_attempts     int NOT NULL DEFAULT 0 CHECK (webhook_attempts >= 0),
    ADD COLUMN webhook_answer       int,
    ADD COLUMN webhook_error        text,
    ADD COLUMN webhook_tried_at     timestamptz,
    ADD COLUMN webhook_delivered_at timestamptz,
    ADD CONSTRAINT agentflow_runs_webhook CHECK (
        (webhook_attempts > 0) = (webhook_tried_at IS NOT NULL)
        AND (webhook_attempts = 0 OR (webhook IS NOT NULL AND finished_at IS NOT NULL))
        AND (webhook_delivered_at IS NULL OR (webhook_attempts > 0 AND webhook_error IS NULL)))
--;
-- The queue turns over all the time and is short.
ALTER TABLE agentflow_pgqueuer SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0, fillfactor = 70)
--;
-- Services put tickets in and see none of them. The worker's login owns the tables.
GRANT INSERT ON agentflow_pgqueuer TO agentflow_operator, agentflow_app
--;
GRANT USAGE ON SEQUENCE agentflow_pgqueuer_id_seq TO agentflow_operator, agentflow_app
--;
-- A ticket for whoever is to look for runs. It says nothing but that there may be one: looking finds the fairest. In the
-- transaction that makes the run wait, so that neither is there without the other. Without PgQueuer's `dedupe_key`: a ticket
-- that somebody is done with counts as long as it is not deleted, and would swallow the next one.
CREATE FUNCTION agentflow_announce_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO agentflow_pgqueuer (priority, status, entrypoint, execute_after) VALUES (0, 'queued', 'run', NEW.ready_at);
    RETURN NULL;
END
$$
--;
CREATE TRIGGER agentflow_announce_new_run AFTER INSERT ON agentflow_runs
    FOR EACH ROW WHEN (NEW.status = 'pending') EXECUTE FUNCTION agentflow_announce_run()
--;
CREATE TRIGGER agentflow_announce_run_again AFTER UPDATE ON agentflow_runs
    FOR EACH ROW WHEN (NEW.status = 'pending' AND (OLD.status <> 'pending' OR NEW.ready_at < OLD.ready_at))
    EXECUTE FUNCTION agentflow_announce_run()
--;
-- A run that is over makes room for the next one of its thread, and its address is told.
CREATE FUNCTION agentflow_announce_end() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    next_run agentflow_runs;
BEGIN
    SELECT * INTO next_run FROM agentflow_runs
    WHERE tenant_id = NEW.tenant_id AND thread_id = NEW.thread_id AND order_no > NEW.order_no AND status = 'pending'
    ORDER BY order_no LIMIT 1;
    -- Not `INSERT ... SELECT`: also without a row it would notify, and commits that notify wait for each other.
    IF FOUND THEN
        INSERT INTO agentflow_pgqueuer (priority, status, entrypoint, execute_after) VALUES (0, 'queued', 'run', next_run.ready_at);
    END IF;
    IF NEW.webhook IS NOT NULL THEN
        INSERT INTO agentflow_pgqueuer (priority, status, entrypoint, payload)
        VALUES (0, 'queued', 'webhook',
                convert_to(json_build_object('tenant_id', NEW.tenant_id, 'run_id', NEW.run_id)::text, 'UTF8'));
    END IF;
    RETURN NULL;
END
$$
--;
CREATE TRIGGER agentflow_announce_end AFTER UPDATE ON agentflow_runs
    FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL) EXECUTE FUNCTION agentflow_announce_end()
--;

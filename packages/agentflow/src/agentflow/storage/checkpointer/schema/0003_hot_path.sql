-- What the hot path asks of the tables.

-- Only the library writes these rows, from typed values that it has checked. PostgreSQL reads and compiles each CHECK
-- anew for every statement, which was a sixth of a lone checkpoint's time (docs/decisions/0009).
ALTER TABLE agentflow_threads DROP CONSTRAINT IF EXISTS agentflow_threads_head_check,
    DROP CONSTRAINT IF EXISTS agentflow_threads_next_pos_check, DROP CONSTRAINT IF EXISTS agentflow_threads_thread_id_check
--;
ALTER TABLE agentflow_checkpoints DROP CONSTRAINT IF EXISTS agentflow_checkpoints_seq_check,
    DROP CONSTRAINT IF EXISTS agentflow_checkpoints_source_check
--;
ALTER TABLE agentflow_messages DROP CONSTRAINT IF EXISTS agentflow_messages_pos_check,
    DROP CONSTRAINT IF EXISTS agentflow_messages_seq_check, DROP CONSTRAINT IF EXISTS agentflow_messages_check,
    DROP CONSTRAINT IF EXISTS agentflow_messages_content_kind_check,
    DROP CONSTRAINT IF EXISTS agentflow_messages_role_check
--;
-- An idle thread's checkpoints are packed: those from `first_seq` on become one row, compressed (archive.py has the
-- format). Its own columns say nothing then.
ALTER TABLE agentflow_checkpoints ADD COLUMN first_seq int, ADD COLUMN archive bytea
--;
INSERT INTO agentflow_schema (version) VALUES (3)
--;

-- The leaves lose the checks that their parents lost, and those that served their own ATTACH: from then on the
-- partition bound says the same.
ALTER TABLE agentflow_threads_p{placement} DROP CONSTRAINT IF EXISTS agentflow_threads_head_check,
    DROP CONSTRAINT IF EXISTS agentflow_threads_next_pos_check, DROP CONSTRAINT IF EXISTS agentflow_threads_thread_id_check,
    DROP CONSTRAINT IF EXISTS agentflow_threads_p{placement}_placement_check
--;
ALTER TABLE agentflow_checkpoints_p{placement} DROP CONSTRAINT IF EXISTS agentflow_checkpoints_seq_check,
    DROP CONSTRAINT IF EXISTS agentflow_checkpoints_source_check,
    DROP CONSTRAINT IF EXISTS agentflow_checkpoints_p{placement}_placement_check
--;
ALTER TABLE agentflow_messages_p{placement} DROP CONSTRAINT IF EXISTS agentflow_messages_pos_check,
    DROP CONSTRAINT IF EXISTS agentflow_messages_seq_check, DROP CONSTRAINT IF EXISTS agentflow_messages_check,
    DROP CONSTRAINT IF EXISTS agentflow_messages_content_kind_check,
    DROP CONSTRAINT IF EXISTS agentflow_messages_role_check,
    DROP CONSTRAINT IF EXISTS agentflow_messages_p{placement}_placement_check
--;

-- The leaves of one placement; `{placement}` is a whole number. Made beside and attached: with the CHECK
-- in place ATTACH reads no rows and locks out no writer.
-- The threads leaf leaves room on its pages, so that a checkpoint's update stays on its page (HOT).

CREATE TABLE agentflow_threads_p{placement} (
    LIKE agentflow_threads INCLUDING ALL, CHECK (placement = {placement})
) WITH (fillfactor = 60)
--;
CREATE TABLE agentflow_checkpoints_p{placement} (
    LIKE agentflow_checkpoints INCLUDING ALL, CHECK (placement = {placement})
)
--;
CREATE TABLE agentflow_messages_p{placement} (
    LIKE agentflow_messages INCLUDING ALL, CHECK (placement = {placement})
)
--;
-- Triggers are not copied: these serve statements that name the leaf itself.
CREATE TRIGGER agentflow_delete_children AFTER DELETE ON agentflow_threads_p{placement}
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION agentflow_delete_children()
--;
CREATE TRIGGER agentflow_truncate_children AFTER TRUNCATE ON agentflow_threads_p{placement}
    FOR EACH STATEMENT EXECUTE FUNCTION agentflow_truncate_children('{placement}')
--;
ALTER TABLE agentflow_messages ATTACH PARTITION agentflow_messages_p{placement} FOR VALUES IN ({placement})
--;
ALTER TABLE agentflow_checkpoints ATTACH PARTITION agentflow_checkpoints_p{placement} FOR VALUES IN ({placement})
--;
ALTER TABLE agentflow_threads ATTACH PARTITION agentflow_threads_p{placement} FOR VALUES IN ({placement})
--;

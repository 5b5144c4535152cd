-- The leaves that version 2 adds to a placement; see partition_0001.sql.

CREATE TABLE agentflow_tool_calls_p{placement} (
    LIKE agentflow_tool_calls INCLUDING ALL, CHECK (placement = {placement})
)
--;
CREATE TABLE agentflow_writes_p{placement} (
    LIKE agentflow_writes INCLUDING ALL, CHECK (placement = {placement})
)
--;
ALTER TABLE agentflow_tool_calls ATTACH PARTITION agentflow_tool_calls_p{placement} FOR VALUES IN ({placement})
--;
ALTER TABLE agentflow_writes ATTACH PARTITION agentflow_writes_p{placement} FOR VALUES IN ({placement})
--;

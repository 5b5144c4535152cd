"""Background work of AgentFlow Cloud."""

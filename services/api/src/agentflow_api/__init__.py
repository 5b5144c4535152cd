"""The HTTP API of AgentFlow Cloud."""

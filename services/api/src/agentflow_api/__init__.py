"""The HTTP API of AgentFlow Cloud: Litestar on granian, one folder a resource."""

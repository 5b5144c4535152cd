"""Background work of AgentFlow Cloud: what must happen without a request."""

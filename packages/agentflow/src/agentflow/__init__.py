"""AgentFlow: graphs of agents whose every step is durable. Start at `agentflow.core.graph.StateGraph`."""

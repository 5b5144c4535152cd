"""`agentflow-cloud`: the command that runs and looks after the service."""

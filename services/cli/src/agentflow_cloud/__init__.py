"""The command `agentflow-cloud`: migrates the database and runs the development stack."""

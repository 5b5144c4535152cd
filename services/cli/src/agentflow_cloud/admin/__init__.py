"""The operator's commands, `tenant` and `key`: clients of a running service."""

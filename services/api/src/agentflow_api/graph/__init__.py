"""Running hosted agents, and what they look like."""

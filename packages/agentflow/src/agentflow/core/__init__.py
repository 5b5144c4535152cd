"""The graph and its state."""

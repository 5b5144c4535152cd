"""What a tenant sees of its own, by its API key."""

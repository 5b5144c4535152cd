"""Whether the service is up."""

"""What this deployment counts, for Prometheus."""

"""What tenants check webhooks with."""

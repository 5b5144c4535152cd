"""Pages of a tenant: its threads and what happened in them, its keys, its usage."""

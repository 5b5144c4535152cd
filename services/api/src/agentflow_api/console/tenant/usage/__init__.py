"""What a tenant used, beside what it may use."""

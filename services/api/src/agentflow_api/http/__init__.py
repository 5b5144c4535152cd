"""What every route shares: envelope, errors, bodies, credentials."""

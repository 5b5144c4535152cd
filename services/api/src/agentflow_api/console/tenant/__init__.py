"""A tenant's pages."""

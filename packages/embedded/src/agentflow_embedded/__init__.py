"""A real PostgreSQL and a real Valkey out of wheels, for `make run` and the test suite."""

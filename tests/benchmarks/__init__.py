"""What the system costs, measured: `make bench`."""

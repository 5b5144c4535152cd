"""Where threads live."""

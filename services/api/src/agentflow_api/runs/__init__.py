"""Runs as resources: made, waited for, read along, cancelled."""

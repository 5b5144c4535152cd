"""What the runs of a thread did."""

"""What is measured: ours, and the references it is measured against."""

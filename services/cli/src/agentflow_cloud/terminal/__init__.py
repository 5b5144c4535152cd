"""What a command shows: drawn on a terminal, plain lines everywhere else."""

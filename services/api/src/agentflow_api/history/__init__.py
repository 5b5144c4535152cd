"""What a thread was, and what comes of it: history, forks, copies."""

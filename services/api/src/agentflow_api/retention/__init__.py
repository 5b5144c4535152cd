"""How long threads are kept, and what that would delete."""

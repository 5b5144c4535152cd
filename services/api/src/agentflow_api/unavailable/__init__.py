"""Routes that clients know and that this deployment has nothing behind: they say so."""
